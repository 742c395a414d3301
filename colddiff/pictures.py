"""One picture: read upright on white, resized by one rule, as a tensor."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
# What Pillow's readers raise on broken files.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def read_image(file: str | Path | BytesIO) -> Image.Image:
    """An image as mode L or RGB: upright, palettes resolved, transparency over white, 16-bit grey scaled to 8."""
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode == "F":
            raise ValueError("its pixels are floating-point numbers of unknown range: save it with 8 or 16 bits")
        if image.mode.startswith("I"):
            return Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().clip(0, 255).astype(np.uint8))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            colour = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour).convert("RGB")
        return image.convert("L" if image.mode in ("1", "L") else "RGB")


def to_tensor(image: Image.Image) -> Tensor:
    """(C, H, W) uint8."""
    array = torch.from_numpy(np.array(image))
    return array[None] if array.dim() == 2 else array.permute(2, 0, 1)


def read_images(*files: str | Path, size: int | None = None) -> Tensor:
    """Pictures as one float32 batch (B, C, H, W) in [0, 1], in colour if any of them is.

    Args:
        files: pictures of one size, or of any with `size`.
        size: side in pixels to which they are resized and cropped.
    """
    pictures = [read_image(file) if size is None else fit(read_image(file), size) for file in files]
    if len({picture.size for picture in pictures}) != 1:
        raise ValueError(f"expected pictures of one size, got {[p.size for p in pictures]}: give size=64, say")
    mode = "RGB" if any(picture.mode == "RGB" for picture in pictures) else "L"
    return torch.stack([to_tensor(picture.convert(mode)) for picture in pictures]).float() / 255


def fit(image: Image.Image, size: int) -> Image.Image:
    """The short side resized to `size` (bilinear, Pillow), then the centre square."""
    scale = size / min(image.size)
    target = (max(size, round(image.width * scale)), max(size, round(image.height * scale)))
    resized = image if image.size == target else image.resize(target, Image.Resampling.BILINEAR)
    left, top = (target[0] - size) // 2, (target[1] - size) // 2
    return resized.crop((left, top, left + size, top + size))


def fit_tensor(picture: Tensor, size: int) -> Tensor:
    """`fit` for (C, H, W) uint8 of any number of channels."""
    return torch.cat([to_tensor(fit(Image.fromarray(channel.numpy()), size)) for channel in picture])


def how_fitted(size: int) -> str:
    """What `fit` does, in words for a protocol."""
    return f"short side to {size} px (bilinear, Pillow), centre crop, 8 bits"
