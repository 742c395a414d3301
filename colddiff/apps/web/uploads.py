"""Pictures that come from a browser, read within limits, and pictures that go to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from PIL import Image
from torch import Tensor

from ...data.framing import Framing
from ...data.image_io import UNREADABLE, formats, reason, resized, to_tensor, without_warnings
from ...utils.text import escape_control

MOST_BYTES = "20mb"  # of a file
MOST_PIXELS = 40_000_000  # that are decoded
LONGEST = 512  # side of what is worked on
MOST_FILES = 2000  # on a shelf


def read(path: str | None, framing: Framing) -> Tensor:
    """A picture (1, C, H, W) in [0, 1], framed, no side longer than `LONGEST`.

    Raises:
        ValueError: none was given, it is too large, or it is no readable picture.
    """
    if not path:
        raise ValueError("no picture is chosen: click one of the examples, or drop a file on the frame")
    name = escape_control(Path(path).name)
    try:
        with without_warnings(), Image.open(path, formats=formats()) as opened:
            width, height = opened.size
        if width * height > MOST_PIXELS:
            raise ValueError(
                f"it has {width} x {height} pixels, and this page takes {MOST_PIXELS // 10**6} million: make it smaller"
            )
        picture = framing.frames(framing.read(path))[0]
    except FileNotFoundError:
        raise ValueError(f"{name!r} is no longer here, it was given too long ago: give it again") from None
    except UNREADABLE as error:
        raise ValueError(f"{name!r} cannot be shown: {reason(error)}") from None
    scale = LONGEST / max(picture.size)
    if scale < 1:
        picture = resized(picture, (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    return to_tensor(picture)[None].float() / 255


class UploadStore:
    """A folder where every picture lies in a file of its own, written once: what is being sent never changes.

    It holds the last `MOST_FILES`; those that are kept stay.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: deque[Path] = deque()
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, picture: Image.Image, *, keep: bool = False) -> str:
        """The path of a new PNG."""
        path = self._place("png", keep)
        picture.save(path, compress_level=1)
        return str(path)

    def put_film(self, frames: Sequence[Image.Image], milliseconds: int = 150) -> str:
        """The path of a new animated GIF that ends with a pause."""
        path = self._place("gif", keep=False)
        times = [milliseconds] * (len(frames) - 1) + [8 * milliseconds]
        frames[0].save(path, save_all=True, append_images=list(frames[1:]), duration=times, loop=0)
        return str(path)

    def _place(self, kind: str, keep: bool) -> Path:
        path = self.folder / f"{uuid4().hex}.{kind}"
        if not keep:
            self.files.append(path)
            if len(self.files) > MOST_FILES:
                self.files.popleft().unlink(missing_ok=True)
        return path
