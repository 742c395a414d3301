"""What a command is, and the options that several commands share."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable

from jsonargparse import ActionYesNo, ArgumentParser

SWITCH = ActionYesNo(no_prefix="no-")


@dataclasses.dataclass(frozen=True)
class Command:
    """A command: its line of help, what declares its arguments, what runs it; whether torchrun's processes split it.

    One that has kinds is run by one of them.
    """

    help: str
    arguments: Callable[[ArgumentParser], None] = lambda p: None
    run: Callable[..., None] = lambda: None
    split: bool = False
    kinds: dict[str, Command] = dataclasses.field(default_factory=dict)


def image_size(p: ArgumentParser, text: str) -> None:
    """The size that pictures are brought to."""
    p.add_argument("--image-size", "--image_size", type=int, default=None, help=text)


def speed(p: ArgumentParser) -> None:
    """How fast the network is to be."""
    p.add_argument(
        "--precision", type=typing.Literal["auto", "fp32", "bf16"], default="auto",
        help="of the network: as it was trained, where the hardware has it, if left out",
    )  # fmt: skip
    p.add_argument("--compile", action=SWITCH, default=False, help="compile the network first: pays on long work")


def trust(p: ArgumentParser) -> None:
    """Whether a run may have plug-ins imported."""
    p.add_argument(
        "--trust-plugins", action=SWITCH, default=False, help="import installed plug-ins that the run's config names"
    )


def device_and_seed(p: ArgumentParser) -> None:
    """Where to compute, and the seed."""
    p.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda")
    p.add_argument("--seed", type=int, default=0, help="of everything random")
