"""What a degradation does to each spatial frequency."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser

from ..command import image_size

PHOTOS = (16, 128)  # how many of the library's own photographs, and pixels a side, where none is named


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument(
        "image", type=str | None, nargs="?", default=None, help="a picture to measure on; photographs if left out"
    )
    p.add_argument(
        "--degradation", type=str | dict, required=True, help="name; its fields as --degradation.FIELD VALUE"
    )
    p.add_argument("--out", type=str, default="frequencies.png", help="plot: .png, .svg or .pdf")
    image_size(p, "side to which the picture is resized and cropped; its own size if left out")
    p.add_argument("--seed", type=int, default=0, help="of everything random")


def run(degradation: Any, image: str | None, out: str, image_size: int | None, seed: int) -> None:
    """Write what a degradation does to each spatial frequency."""
    from .... import viz
    from ....data.dataset import load_data
    from ....data.framing import Framing
    from ....degradations.base import Degradation
    from ....utils.rng import generator_for
    from ..image_files import check_output, read_image

    check_output(out, image)
    op = Degradation.from_config(degradation)
    x = None
    if image is not None:
        x = read_image(Framing(size=image_size), image)
    elif not viz.frequency_plots.known(op):
        count, side = PHOTOS
        x = load_data("photos", split="all", size=image_size or side)[:count]
    viz.save(viz.frequencies(op, x, generator=generator_for(seed, "degrade")), out)
    print(f"{op.registered_name}: what it does to each frequency in {out}")
