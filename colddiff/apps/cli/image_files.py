"""Image files that commands read and write."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from torch import Tensor

from ...data.framing import Framing
from ...data.image_io import to_tensor
from ...utils.files import check_target

STAYS = 1.5  # seconds of the last picture of an animation


def check_output(out: str, *given: str | None) -> None:
    """Raise where nothing can be written, or what was given would be."""
    check_target(Path(out))
    for file in given:
        if file is not None and Path(file).exists() and Path(out).exists() and Path(out).samefile(file):
            raise ValueError(f"{file!r} would be overwritten: give another --out")


def read_image(framing: Framing, file: str) -> Tensor:
    """A picture as (1, C, H, W)."""
    return as_tensor(framing.frames(framing.open(Path(file)))[0])


def as_tensor(picture: Image.Image) -> Tensor:
    return to_tensor(picture)[None].float() / 255
