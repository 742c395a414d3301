"""One picture: read upright, transparency laid over a background, scaled and cut, as a tensor."""

from __future__ import annotations

import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

if TYPE_CHECKING:
    pass


IMAGE_SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".jp2", ".tga", ".ppm",
    ".pgm", ".pbm", ".pnm",
}  # fmt: skip
# What Pillow's readers raise on broken files; RuntimeError is AVIF's.
UNREADABLE = (
    OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error, zlib.error, Image.DecompressionBombError
)  # fmt: skip

WHITE = (1.0,)
SIXTEEN_BITS = 2**16 - 1


def read_image(file: str | Path | BytesIO | Image.Image, background: tuple[float, ...] = WHITE) -> Image.Image:
    """An image as mode L or RGB: upright, palettes resolved, 16-bit grey scaled to 8, the first of an animation.

    Args:
        file: of a format that Pillow reads, or an image that it has read.
        background: what transparency is laid over, one number or three in [0, 1].

    Raises:
        One of `UNREADABLE`: it is broken or no picture.
    """
    if isinstance(file, Image.Image):
        with without_warnings():
            return _plain(file, background)
    if isinstance(file, str | Path):
        _check_file(file)
    with without_warnings(), Image.open(file, formats=formats()) as opened:
        return _plain(opened, background)


@contextmanager
def naming(file: str | Path | Image.Image) -> Iterator[None]:
    """Errors of reading a picture that was given by a user say which it is.

    Raises:
        FileNotFoundError: it is not there. ValueError: it is a folder, or no readable picture.
    """
    name = "this Pillow picture" if isinstance(file, Image.Image) else repr(str(file))
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"no picture at {name}{astray(str(file))}") from None
    except IsADirectoryError:
        raise ValueError(f"{name} is a folder: give a picture") from None
    except UNREADABLE as error:
        raise ValueError(f"{name} is not a readable picture: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """Why a picture cannot be read, on one line; Pillow tells the path again, or the address of a buffer."""
    if isinstance(error, UnidentifiedImageError):
        return "empty, or of no format that Pillow knows"
    if isinstance(error, Image.DecompressionBombError):
        told = str(error).partition(",")[0]  # its size, and the limit
        return f"{told}: make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS where you trust it"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return next(iter(text.splitlines()), type(error).__name__)


def astray(path: str) -> str:
    """What to add where nothing is at a path: whether it is a link, to nothing or in a circle."""
    return " (it is a link that leads nowhere)" if os.path.islink(path) else ""


@cache
def formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read, as far as it has them: of all it knows, one starts a program."""
    known = Image.registered_extensions()
    return tuple(sorted({known[suffix] for suffix in IMAGE_SUFFIXES if suffix in known}))


_lock, _inside, _undo = threading.Lock(), 0, ExitStack()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Pillow's warnings about files that it reads all the same are not shown.

    Filters of warnings are the process's: of several threads the first sets them, and the last puts them back.
    """
    global _inside
    with _lock:
        if not _inside:
            _undo.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _undo.close()


def _check_file(path: str | Path) -> None:
    """Raise for what has no end, or never begins."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError("it is a pipe, a socket or a device: give a file")


def _plain(opened: Image.Image, background: tuple[float, ...]) -> Image.Image:
    if 0 in opened.size:
        raise ValueError("it has no pixels")
    image = ImageOps.exif_transpose(opened)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range: save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        whole = np.asarray(image)
        if whole.min() < 0 or whole.max() > SIXTEEN_BITS:
            raise ValueError(f"its pixels are {whole.min()} to {whole.max()}: save it with 8 or 16 bits")
        return Image.fromarray((whole.astype(np.float64) / 257).round().astype(np.uint8))
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        below = tuple(round(255 * level) for level in background)
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, (below * 3)[:3]), colour)
        grey = grey and len(set(below)) == 1
    mode = "L" if grey else "RGB"
    return image if image.mode == mode else image.convert(mode)


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
    pictures = []
    for file in files:
        with naming(file):
            pictures.append(read_image(file) if size is None else fit(read_image(file), size))
    if len({picture.size for picture in pictures}) != 1:
        raise ValueError(f"expected pictures of one size, got {[p.size for p in pictures]}: give size=64, say")
    mode = "RGB" if any(picture.mode == "RGB" for picture in pictures) else "L"
    return torch.stack([to_tensor(picture.convert(mode)) for picture in pictures]).float() / 255


def fit(image: Image.Image, size: int) -> Image.Image:
    """The short side resized to `size` (bilinear, Pillow), then the centre square."""
    return centre(scaled(image, size), size)


def scaled(image: Image.Image, size: int) -> Image.Image:
    """The short side resized to `size`."""
    scale = size / min(image.size)
    return resized(image, (max(size, round(image.width * scale)), max(size, round(image.height * scale))))


def resized(image: Image.Image, target: tuple[int, int]) -> Image.Image:
    """To a width and height (bilinear, Pillow).

    Raises:
        ValueError: more pixels than Pillow would read: a line of pixels, enlarged until it is as wide as asked for.
    """
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and target[0] * target[1] > 2 * most:
        raise ValueError(
            f"resized from {image.width} x {image.height} it would have {target[0]} x {target[1]} pixels: "
            "cut it first, or give a smaller size"
        )
    return image if image.size == target else image.resize(target, Image.Resampling.BILINEAR)


def centre(image: Image.Image, size: int) -> Image.Image:
    """The centre square of `size`."""
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def tiles(image: Image.Image, size: int) -> list[Image.Image]:
    """As many squares of `size` as fit, around the centre, row by row."""
    columns, rows = image.width // size, image.height // size
    left, top = (image.width - columns * size) // 2, (image.height - rows * size) // 2
    corners = [(left + i * size, top + j * size) for j in range(rows) for i in range(columns)]
    return [image.crop((x, y, x + size, y + size)) for x, y in corners]


def to_image(x: Tensor) -> Image.Image:
    """A picture from x, (C, H, W) in [0, 1], clamped and rounded to 8 bits; of more channels the first 3, of 2 one."""
    shown = x[: 3 if len(x) >= 3 else 1]
    pixels = (shown.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy())


def rgb(x: Tensor) -> Tensor:
    """Images (..., C, H, W) as (..., 3, H, W): the first 3 channels, or the first one three times."""
    if x.shape[-3] >= 3:
        return x[..., :3, :, :]
    return x[..., :1, :, :].expand(*x.shape[:-3], 3, *x.shape[-2:])
