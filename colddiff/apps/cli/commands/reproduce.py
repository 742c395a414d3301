"""A table of the paper with ours beside it."""

from __future__ import annotations

import typing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser

from ..command import device_and_seed
from ..index import choices

if TYPE_CHECKING:
    from ....training.config import Size


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("table", type=str, help="deblur, inpaint, superres or generation")
    p.add_argument("data", type=str, help="the data set, for example a folder of parquet files of MNIST")
    p.add_argument("--out", type=str, default="reproduced", help="folder of the runs, the table and its pictures")
    p.add_argument("--budget", type=float, default=10.0, help="minutes of training, per run that is missing")
    p.add_argument(
        "--row", type=str | None, default=None,
        help="whose published numbers stand beside: mnist, cifar10, celeba, afhq; told by the colours if left out",
    )  # fmt: skip
    p.add_argument("--images", type=int | None, default=None, help="of the test split, or to generate; all, or 1,000")
    p.add_argument("--unet-size", type=choices("unet_size"), default="5M", help="of the network, in parameters")
    p.add_argument(
        "--features", type=typing.Literal["auto", "inception", "ensemble"], default="auto",
        help="what FID and KID see: Inception if it can be had, or three networks trained on the data",
    )  # fmt: skip
    device_and_seed(p)


def run(
    table: str, data: str, out: str, budget: float, row: str | None, images: int | None, unet_size: Size, features: str,
    device: str, seed: int,
) -> None:  # fmt: skip
    """Train what is missing, measure, and write and print a table of the paper with ours beside it."""
    from ....paper.generation_table import generation_table
    from ....paper.restoration_table import reproduce

    make = generation_table if table == "generation" else partial(reproduce, table)
    made = make(
        data, out, minutes=budget, row=row, images=images, size=unet_size, features=features, seed=seed, device=device
    )
    written = made.save(Path(out))
    print(made.to_markdown())
    print(f"written to {', '.join(map(str, written))}")
