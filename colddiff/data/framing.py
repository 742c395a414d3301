"""One rule by which pictures of any kind and size become images of one."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import ClassVar, Literal

import torch
from PIL import Image
from torch import Tensor

from ..utils.config import Configurable, register
from .image_io import centre, fit, naming, read_image, resized, scaled, tiles, to_tensor

# What a picture comes as: a file, its bytes, an open image, or pixels (C, H, W) uint8.
Raw = str | Path | bytes | Image.Image | Tensor


@register("framing")
@dataclass(frozen=True, kw_only=True)
class Framing(Configurable):
    """How a picture is read, coloured and cut.

    Args:
        size: side of the square images in pixels, >= 1; None keeps pictures as they are.
        fit: "resize" brings the short side to `size` and cuts out the centre square; "crop" cuts the centre square of
            `size` pixels at the picture's own scale; "tiles" cuts as many of those as fit, around the centre: for
            damage that lives in the pixels, like that of JPEG. Pictures smaller than `size` are enlarged.
        colour: "grey" (luma of ITU-R 601), "rgb", or "auto": grey where all pictures of a data set are.
        background: what transparency is laid over, one number or three in [0, 1].
    """

    group: ClassVar[str] = "colddiff.configs"

    size: int | None = None
    fit: Literal["resize", "crop", "tiles"] = "resize"
    colour: Literal["auto", "grey", "rgb"] = "auto"
    background: tuple[float, ...] = (1.0,)

    def check(self) -> None:
        if self.size is not None and not 1 <= self.size <= 8192:
            raise ValueError(f"image size must be >= 1 pixel, got {self.size}, and <= 8192")
        if self.size is None and self.fit != "resize":
            raise ValueError(f"fit={self.fit!r} cuts squares of one size: give it, e.g. --image-size 64")
        if len(self.background) not in (1, 3) or not all(0 <= level <= 1 for level in self.background):
            raise ValueError(f"background must be one number or three in [0, 1], got {self.background}")

    def read(self, raw: str | Path | bytes | Image.Image) -> Image.Image:
        """A picture as mode L or RGB, at its own size.

        Raises:
            One of `image_io.UNREADABLE`: it is broken or no picture.
        """
        image = read_image(BytesIO(raw) if isinstance(raw, bytes) else raw, self.background)
        mode = {"auto": image.mode, "grey": "L", "rgb": "RGB"}[self.colour]
        return image if image.mode == mode else image.convert(mode)

    def open(self, file: Path) -> Image.Image:
        """`read` of a file that was named by a user, with errors that name it.

        Raises:
            FileNotFoundError: it is not there. ValueError: it is a folder, or no readable picture.
        """
        with naming(file):
            return self.read(file)

    def frames(self, picture: Image.Image) -> list[Image.Image]:
        """The images that a picture is cut into: one, or several tiles."""
        if self.size is None:
            return [picture]
        if self.fit == "resize":
            return [fit(picture, self.size)]
        large = picture if min(picture.size) >= self.size else scaled(picture, self.size)
        return tiles(large, self.size) if self.fit == "tiles" else [centre(large, self.size)]

    def tensors(self, picture: Image.Image | Tensor) -> list[Tensor]:
        """`frames` as (C, H, W) uint8, also of (C, H, W) uint8 of any number of channels."""
        if isinstance(picture, Image.Image):
            return [to_tensor(frame) for frame in self.frames(picture)]
        if self.size is None or tuple(picture.shape[1:]) == (self.size, self.size):
            return [picture]
        channels = [self.tensors(Image.fromarray(channel.numpy())) for channel in picture]
        return [torch.cat(frame) for frame in zip(*channels, strict=True)]

    def like(self, picture: Image.Image | Tensor, partner: Image.Image | Tensor) -> Image.Image | Tensor:
        """A damaged picture at the scale of its clean partner: where nothing is resized, both must be cut alike."""
        width, height = width_height(partner)
        if self.fit == "resize" or width_height(picture) == (width, height):
            return picture
        if isinstance(picture, Image.Image):
            return resized(picture, (width, height))
        return torch.cat([to_tensor(resized(Image.fromarray(c.numpy()), (width, height))) for c in picture])

    def coloured(self, images: Tensor) -> Tensor:
        """Arrays (N, C, H, W) uint8 by the rule of colour; "auto" keeps their channels, whatever they are.

        Raises:
            ValueError: grey or rgb of neither 1 nor 3 channels.
        """
        channels = images.shape[1]
        if self.colour == "auto":
            return images
        if channels not in (1, 3):
            raise ValueError(f"colour {self.colour!r} is for images of 1 or 3 channels, these have {channels}")
        if self.colour == "rgb":
            return images.expand(-1, 3, -1, -1)
        if channels == 1:
            return images
        red, green, blue = images.int().unbind(1)
        # Pillow's integers, so that an array and a file of the same picture give the same grey.
        return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).to(torch.uint8)[:, None]

    @property
    def words(self) -> str:
        """What happens to a picture's size, for a protocol."""
        if self.size is None:
            return "none"
        ways = {
            "resize": f"short side to {self.size} px (bilinear, Pillow), centre crop, 8 bits",
            "crop": f"centre crop of {self.size} px at its own scale, smaller pictures enlarged (bilinear, Pillow)",
            "tiles": f"tiles of {self.size} px at its own scale, smaller pictures enlarged (bilinear, Pillow)",
        }
        return ways[self.fit]

    @property
    def pair_words(self) -> str:
        """What happens to the damaged half of a pair, for a protocol."""
        if self.fit == "resize":
            return "each framed on its own"
        return "a damaged picture of another size first resized to its partner's (bilinear, Pillow)"


def width_height(picture: Image.Image | Tensor) -> tuple[int, int]:
    """In pixels."""
    if isinstance(picture, Image.Image):
        return picture.size
    return picture.shape[2], picture.shape[1]
