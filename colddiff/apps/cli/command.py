"""What a command is, and the options that several commands share."""

from __future__ import annotations

import dataclasses
import typing
from importlib import import_module
from types import ModuleType
from typing import Any

from jsonargparse import ActionYesNo, ArgumentParser

SWITCH = ActionYesNo(no_prefix="no-")


@dataclasses.dataclass(frozen=True)
class Command:
    """A command: its line of help, its file in `commands`, and whether torchrun's processes split its work.

    The file has `add_arguments(parser)` and `run(**arguments)`; it is imported when it is needed. A command that has
    kinds is run by one of them.
    """

    help: str
    file: str = ""
    split: bool = False
    kinds: dict[str, Command] = dataclasses.field(default_factory=dict)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        if self.file:
            self._module().add_arguments(parser)

    def run(self, **arguments: Any) -> None:
        """Do it."""
        self._module().run(**arguments)

    def _module(self) -> ModuleType:
        return import_module(f".commands.{self.file}", __package__)


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


def verbosity(p: ArgumentParser) -> None:
    """How much of what happens is logged on stderr."""
    p.add_argument("--quiet", action=SWITCH, default=False, help="log warnings only")
    p.add_argument("--verbose", action=SWITCH, default=False, help="log details too")
