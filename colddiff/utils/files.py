"""Files and folders written whole or not at all, locks, JSON within bounds."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

UMASK = os.umask(0)
os.umask(UMASK)
PART = re.compile(r"\.\d+-\d+\.part(\.\w+)?")  # the name of a file that is being written
LARGEST_JSON = 2**20  # bytes; a run's config has some thousand
DEEPEST_JSON = 64


def same_place(name: str, other: str | None) -> bool:
    """Whether two names mean one place: album, album/ and its whole path do."""
    return other is not None and (name == other or Path(name).resolve() == Path(other).resolve())


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in place: a reader never sees half of it."""
    check_target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{os.getpid()}-{get_ident()}.part{path.suffix}")  # a name that is not too long
    part.unlink(missing_ok=True)  # a link that somebody left there would be written through
    try:
        write(part)
        part.chmod(0o666 & ~UMASK)  # safetensors keeps its files from everybody else
        synced(part)
        part.replace(path)
        synced(path.parent)
    finally:
        part.unlink(missing_ok=True)


def synced(path: Path) -> None:
    """Have a file's bytes, or a folder's names, on the disk before anything is built on them: power may fail."""
    if path.is_dir() and os.name == "nt":
        return  # its folders cannot be opened
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_target(path: Path) -> None:
    """Raise unless a file could be written there: worth asking before long work."""
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder: give the name of a file")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise ValueError(f"cannot write {str(path)!r}: {str(above)!r} is a file, not a folder")
    if not os.access(above, os.W_OK):
        raise ValueError(f"cannot write {str(path)!r}: {str(above)!r} is read-only")


@contextmanager
def locked(folder: Path, work: str) -> Iterator[None]:
    """Keep others who lock it out of a folder, which is made; a process that is killed lets go of it.

    Raises:
        ValueError: another process is at work there. OSError: it cannot be written to.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise OSError(f"cannot write into {str(folder)!r}: {error.strerror}; give another folder") from None
    with lock:
        if not _lock(lock):
            raise ValueError(f"another process {work} in {str(folder)!r}: wait for it, or give another --out")
        try:
            yield
        finally:
            (folder / ".lock").unlink(missing_ok=True)
            if made:
                with suppress(OSError):  # it has become a run
                    folder.rmdir()


def _lock(file: IO[str]) -> bool:
    """Whether nobody else has it; where a disk knows no locks, nobody has."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raise unless a folder can be written to, or made, and its disk has `needed` bytes: worth asking before long work.

    Raises:
        OSError: what is in the way, and what to do.
    """
    above = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=above) as probe:
            probe.write(b"colddiff")
    except OSError as error:
        raise OSError(f"cannot write into {str(above)!r}: {error.strerror}; give another folder") from None
    free = shutil.disk_usage(above).free
    if free < needed:
        raise OSError(
            f"{what} need {size_in_words(needed)} in {str(folder)!r}, and its disk has {size_in_words(free)} left: "
            "free some, or give a folder on another disk"
        )


def size_in_words(size: float) -> str:
    """Bytes as people write them: 1.5 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def write_text(path: Path, text: str) -> None:
    """`write_whole` for a text."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """`write_whole` for JSON; NaN and infinity are refused, as no other reader knows them."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON in a file that anybody may have written, with a clear error where there is none.

    Raises:
        FileNotFoundError: no such file. ValueError: it is no plain file, larger than `LARGEST_JSON`, or what `parsed`
        refuses.
    """
    check_plain(path)
    with path.open("rb") as stream:
        content = stream.read(LARGEST_JSON + 1)
    if len(content) > LARGEST_JSON:
        raise ValueError(f"{str(path)!r} is larger than {LARGEST_JSON:,} bytes, which no such file is")
    return parsed(content, path)


def parsed(content: bytes, path: Path) -> Any:
    """JSON as every reader understands it.

    Raises:
        ValueError: no JSON in UTF-8, a key that is there twice, a number that is not finite, values too deep in others.
    """
    try:
        value = json.loads(
            content.decode(), object_pairs_hook=_without_duplicates, parse_constant=_finite, parse_float=_finite
        )
        layer, depth = [value], 0
        while layer:
            if (depth := depth + 1) > DEEPEST_JSON:
                raise ValueError(f"values lie in each other deeper than {DEEPEST_JSON}")
            layer = [inner for outer in layer if isinstance(outer, dict | list)
                     for inner in (outer.values() if isinstance(outer, dict) else outer)]  # fmt: skip
    except RecursionError:
        raise ValueError(f"{str(path)!r} is not valid JSON: values lie in each other too deep") from None
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not valid JSON: {error}") from None
    return value


def check_plain(path: Path) -> None:
    """Raise unless it is a plain file, or a link to one: a pipe would be waited for, a device has no end.

    Raises:
        FileNotFoundError: it is not there. ValueError: it is something else.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        raise FileNotFoundError(f"no file {str(path)!r}") from None
    if not stat.S_ISREG(mode):
        raise ValueError(f"{str(path)!r} is {'a folder' if stat.S_ISDIR(mode) else 'a pipe or device'}, not a file")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:60]!r} is there twice")
    return found


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


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
