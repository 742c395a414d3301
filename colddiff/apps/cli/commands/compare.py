"""Compare methods, by calls and by seconds."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from ....utils.text import numbers
from ..command import image_size
from ..index import choices

if TYPE_CHECKING:
    from ....training.config import Size


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("data", type=str, help="digits, photos, a folder of images, a parquet or array file")
    p.add_argument("--out", type=str, default="compared", help="folder of the runs, the table and its pictures")
    p.add_argument("--task", type=typing.Literal["deblur", "generate"], default="deblur", help="what is compared")
    p.add_argument("--minutes", type=float, default=10.0, help="of training, per method and seed")
    p.add_argument("--seeds", type=int, default=3, help="how many")
    p.add_argument("--methods", type=str | None, default=None, help="names separated by commas; all if left out")
    p.add_argument("--steps", type=str | None, default=None, help="numbers of restorer calls; what suits the task")
    p.add_argument("--degradation", type=str | dict | None, default=None, help="what damages; a blur if left out")
    p.add_argument("--images", type=int, default=500, help="of the test split, or to generate")
    p.add_argument("--unet-size", type=choices("unet_size"), default="5M", help="of the network, in parameters")
    image_size(p, "side to which pictures are resized and cropped; their own size if left out")
    p.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda")


def run(
    data: str, out: str, task: str, minutes: float, seeds: int, methods: str | None, steps: str | None,
    degradation: Any, images: int, unet_size: Size, image_size: int | None, device: str,
) -> None:  # fmt: skip
    """Train every method with every seed, measure, and write and print the table."""
    from ....degradations.base import Degradation
    from ....paper.compare import compare

    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    made = compare(
        data, out, task=task, minutes=minutes, seeds=range(seeds), images=images, image_size=image_size, size=unet_size,
        methods=None if methods is None else methods.split(","), device=device,
        steps=None if steps is None else numbers(steps, int, "--steps"),
        degradation=None if degradation is None else Degradation.from_config(degradation),
    )  # fmt: skip
    written = made.save(Path(out))
    print(made.to_markdown())
    print(f"written to {', '.join(map(str, written))}")
