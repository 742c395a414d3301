"""Folders that are written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files import UMASK, check_room, synced


@contextmanager
def whole_folder(
    folder: Path, last: str, is_ours: Callable[[Path], bool], *, needed: int, overwrite: bool = False
) -> Iterator[Path]:
    """An empty folder to fill, whose files are put in place of those of `folder` once all of them are there.

    Files of others stay. Who is stopped while files are put in place leaves a folder without `last`.

    Args:
        folder: where to; made if it is not there.
        last: the name of the file without which nobody can read the rest.
        is_ours: whether a folder that is there was written by us before, and may be written anew.
        needed: bytes.
        overwrite: whether files may come among those of others.

    Raises:
        ValueError: others' files are in the way. OSError: it cannot be written to, or has no room.
    """
    _check_free(folder, is_ours, overwrite)
    check_room(folder, needed, "the exported files")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".colddiff-", suffix=".part"))
    try:
        yield part
        _put(part, folder, last)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_free(folder: Path, is_ours: Callable[[Path], bool], overwrite: bool) -> None:
    """Raise where something is in the way."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is a file: give the name of a folder")
    filled = folder.is_dir() and any(folder.iterdir())
    if filled and not overwrite and not is_ours(folder):
        raise ValueError(
            f"{str(folder)!r} holds other files: give another folder, or put the export among them (--overwrite, "
            "overwrite=True)"
        )


def _put(part: Path, folder: Path, last: str) -> None:
    """Move the files of one folder into another, `last` after all others."""
    files = sorted((file for file in part.rglob("*") if file.is_file()), key=lambda file: file == part / last)
    for file in files:
        file.chmod(0o666 & ~UMASK)  # safetensors keeps its files from everybody else
        synced(file)
    folder.mkdir(exist_ok=True)
    (folder / last).unlink(missing_ok=True)  # or it would be read with files of two exports
    for file in files:
        target = folder / file.relative_to(part)
        if target.parent.is_symlink():
            raise ValueError(f"{str(target.parent)!r} is a link, and nothing is written through one: delete it")
        target.parent.mkdir(exist_ok=True)
        file.replace(target)
    synced(folder)
