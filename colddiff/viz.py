"""Pictures of tensors: grids, labelled rows, strips, animations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .files import write_whole

GAP = 2  # pixels between pictures
LONGEST = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535, "TGA": 65535, "AVIF": 65536}  # sides of a format, in pixels


def to_image(x: Tensor) -> Image.Image:
    """A picture from (C, H, W) in [0, 1], clamped and rounded to 8 bits; of more channels the first 3, of 2 one."""
    shown = x[: 3 if len(x) >= 3 else 1]
    pixels = (shown.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy())


def grid(images: Tensor, columns: int | None = None, *, zoom: int = 1) -> Image.Image:
    """Images (N, C, H, W) on one sheet, row by row; `zoom` repeats pixels."""
    columns = columns or max(1, round(len(images) ** 0.5))
    rows = -(-len(images) // columns)
    height, width = (side * zoom + GAP for side in images.shape[-2:])
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    for i, picture in enumerate(map(to_image, images)):
        row, column = divmod(i, columns)
        enlarged = picture.resize((width - GAP, height - GAP), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (GAP + column * width, GAP + row * height))
    return sheet


def labelled_rows(rows: Sequence[tuple[str, Tensor]], *, zoom: int | None = None) -> Image.Image:
    """One row of pictures per (label, images (N, C, H, W)), the label on the left."""
    side = rows[0][1].shape[-2]
    zoom = zoom or max(1, round(64 / side))
    strips = [grid(images, len(images), zoom=zoom) for _, images in rows]
    font = ImageFont.load_default(size=14)
    margin = 12 + max(int(font.getlength(label)) for label, _ in rows)
    sheet = Image.new("RGB", (margin + strips[0].width, sum(s.height for s in strips)), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for (label, _), strip in zip(rows, strips, strict=True):
        draw.text((6, top + strip.height // 2), label, fill="black", font=font, anchor="lm")
        sheet.paste(strip, (margin, top))
        top += strip.height
    return sheet


def save(image: Image.Image | Sequence[Image.Image], path: str | Path, *, seconds: float = 0.15) -> Path:
    """Write a picture, or several as an animation, whole or not at all."""
    frames = [image] if isinstance(image, Image.Image) else list(image)
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower(), "")
    if kind not in Image.SAVE:
        raise ValueError(f"cannot write {path.name!r} as a picture: name it .png, .jpg or .gif")
    width, height = frames[0].size
    if max(width, height) > LONGEST.get(kind, max(width, height)):
        raise ValueError(
            f"{path.name!r} cannot be {width} x {height} pixels, at most {LONGEST[kind]} a side: name it .png"
        )
    extra = {"save_all": True, "append_images": frames[1:], "duration": int(1000 * seconds), "loop": 0}
    write_whole(path, lambda part: frames[0].save(part, format=None, **(extra if len(frames) > 1 else {})))
    return path
