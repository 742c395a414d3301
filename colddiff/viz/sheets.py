"""Tensors as pictures: grids and labelled rows of them, and the files that they go to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..utils.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure
from ..data.image_io import to_image

GAP = 2  # pixels between pictures
SIDE = 64  # pixels that a picture needs above a time
CLOSE = 128  # and where it is looked at closely, or has a name
LONGEST = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535, "TGA": 65535, "AVIF": 65536}  # sides of a format, in pixels


def grid(images: Tensor, columns: int | None = None, *, zoom: int = 1) -> Image.Image:
    """Images (N, C, H, W) on one sheet, row by row, as many columns as rows if nobody says; `zoom` repeats pixels."""
    columns = columns or max(1, round(len(images) ** 0.5))
    rows = -(-len(images) // columns)
    height, width = (side * zoom + GAP for side in images.shape[-2:])
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    for i, picture in enumerate(map(to_image, images)):
        row, column = divmod(i, columns)
        enlarged = picture.resize((width - GAP, height - GAP), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (GAP + column * width, GAP + row * height))
    return sheet


def labelled_rows(
    rows: Sequence[tuple[str, Tensor]], captions: Sequence[str] = (), *, zoom: int | None = None
) -> Image.Image:
    """One row of pictures per (label, images (N, C, H, W)), the label on the left, a caption below each column.

    Args:
        rows: labels with their pictures, all of one size; labels may all be empty.
        captions: one for each column; those that are wider than it are cut off.
        zoom: repeats pixels; what makes the rows about 64 pixels high if left out.
    """
    height, width = rows[0][1].shape[-2:]
    # A time needs the width of a large icon.
    zoom = zoom or (-(-SIDE // width) if captions else max(1, round(SIDE / height)))
    strips = [grid(images, len(images), zoom=zoom) for _, images in rows]
    font = font_for(height * zoom)
    margin = max(int(font.getlength(label)) + 12 if label else 0 for label, _ in rows)
    floor = int(2 * font.size) if captions else 0
    sheet = Image.new("RGB", (margin + max(s.width for s in strips), sum(s.height for s in strips) + floor), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for (label, _), strip in zip(rows, strips, strict=True):
        draw.text((6, top + strip.height // 2), label, fill="black", font=font, anchor="lm")
        sheet.paste(strip, (margin, top))
        top += strip.height
    column = width * zoom + GAP
    for i, caption in enumerate(captions):
        middle = margin + GAP + i * column + (column - GAP) // 2
        draw.text((middle, top + floor // 2), _cut(caption, font, column), fill="black", font=font, anchor="mm")
    return sheet


def font_for(height: int) -> Any:
    """Letters that can be read beside a picture of that height in pixels, however much the sheet is made smaller."""
    return ImageFont.load_default(size=max(14, round(height / 14)))


def save(
    image: Image.Image | Sequence[Image.Image] | Figure,
    path: str | Path,
    *,
    seconds: float = 0.15,
    last: float | None = None,
) -> Path:
    """Write a picture, several as an animation, or a plot, whole or not at all.

    Args:
        image: what to write; plots also go to .svg and .pdf.
        path: its suffix tells the format.
        seconds: of each picture of an animation.
        last: seconds of the last one, where it is to stay longer.

    Raises:
        ValueError: a format that cannot be written, or a place; a picture too large for its format.
    """
    path = Path(path)
    if not isinstance(image, Image.Image | Sequence):
        return _save_plot(image, path)
    frames, kind = [image] if isinstance(image, Image.Image) else list(image), picture_format(path)
    width, height = frames[0].size
    if max(width, height) > LONGEST.get(kind, max(width, height)):
        raise ValueError(
            f"{path.name!r} cannot be {width} x {height} pixels, at most {LONGEST[kind]} a side: name it .png"
        )
    shown = [int(1000 * seconds)] * (len(frames) - 1) + [int(1000 * (last or seconds))]
    extra: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": shown, "loop": 0}
    write_whole(path, lambda part: frames[0].save(part, format=None, **(extra if len(frames) > 1 else {})))
    return path


def picture_format(path: str | Path) -> str:
    """Pillow's name of the format that the suffix of a path tells: worth asking before long work.

    Raises:
        ValueError: none that it writes.
    """
    kind = Image.registered_extensions().get(Path(path).suffix.lower(), "")
    if kind not in Image.SAVE:
        raise ValueError(f"cannot write {Path(path).name!r} as a picture: name it .png, .jpg or .gif")
    return kind


def _save_plot(plot: Figure, path: Path) -> Path:
    kind = path.suffix.lower().removeprefix(".")
    if kind not in plot.canvas.get_supported_filetypes():
        raise ValueError(f"cannot write {path.name!r} as a plot: name it .png, .svg or .pdf")
    write_whole(path, lambda part: plot.savefig(part, format=kind))
    return path


def _cut(text: str, font: Any, width: int) -> str:
    """As much of a text as fits into so many pixels."""
    while text and font.getlength(text) > width:
        text = text.removesuffix("…")[:-1].rstrip() + "…" if len(text) > 2 else ""
    return text
