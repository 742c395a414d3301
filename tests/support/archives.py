"""Tar files of pictures whose every pixel is their number."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image


def png(number: int, size: tuple[int, int] = (8, 8), mode: str = "L") -> bytes:
    """A picture, encoded."""
    stream = io.BytesIO()
    Image.new("L", size, number).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def archive(file: Path, members: Mapping[str, bytes] | Iterable[tarfile.TarInfo]) -> Path:
    """A plain tar of files, or of members that have no content."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:") as tar:
        if isinstance(members, Mapping):
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        else:
            for info in members:
                tar.addfile(info)
    return file


def numbered(file: Path, numbers: Iterable[int]) -> Path:
    """A shard as WebDataset writes it: a picture and its label for every number."""
    members: dict[str, bytes] = {}
    for number in numbers:
        members |= {f"{number:06d}.cls": b"0", f"{number:06d}.png": png(number % 256)}
    return archive(file, members)
