"""WebDataset shards: pictures in plain .tar files, indexed by one pass over the headers and read by their offsets."""

from __future__ import annotations

import re
import tarfile
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import groupby, pairwise
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from ...utils.files import size_in_words
from ...utils.progress import Progress
from ...utils.text import escape_control
from ..image_io import IMAGE_SUFFIXES
from ..splits import SPLITS, entry_name
from .shards import HeldOutIndex, with_retries

BLOCK = 256  # consecutive samples that an order keeps near each other, so that a disk reads ahead
PACKED = re.compile(r"\.(tgz|tbz2?|txz|tar\.\w+)$", re.IGNORECASE)
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
END = 2**20  # bytes behind the last member that are looked at: zeros, unless archives were joined
LARGEST = 256 * 2**20  # bytes of an encoded picture: each of several threads may hold one
BROKEN = (tarfile.TarError, OSError, ValueError, OverflowError, EOFError, RecursionError, MemoryError)


class Tars:
    """`Shards` of tar files: 16 bytes in memory per picture.

    Args:
        where: what they are of, for messages.
        files: the tar files.
        first: the row at which each file begins, and the number of rows.
        offsets, lengths: of every picture in its file, in bytes.
    """

    def __init__(self, where: str, files: list[Path], first: array[int], offsets: array[int], lengths: array[int]):
        self.where, self.files = where, files
        self.first, self.offsets, self.lengths = first, offsets, lengths
        cuts = [row for begin, end in pairwise(first) for row in range(begin, end, BLOCK)]
        self.blocks = torch.tensor([*cuts, len(offsets)])
        self.weights = torch.zeros(len(cuts), dtype=torch.int64)
        digest = blake2b("\n".join(file.name for file in files).encode(), digest_size=8)
        for table in (first, offsets, lengths):
            digest.update(table)
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.offsets)

    def raw(self, row: int) -> bytes:
        return self._bytes(row, self.offsets[row], self.lengths[row])

    def name(self, row: int) -> str:
        header = self._bytes(row, self.offsets[row] - tarfile.BLOCKSIZE, tarfile.BLOCKSIZE)
        return f"{self._file(row).name}: {escape_control(tarfile.TarInfo.frombuf(header, 'utf-8', 'replace').name)}"

    def _file(self, row: int) -> Path:
        return self.files[bisect_right(self.first, row) - 1]

    def _bytes(self, row: int, offset: int, length: int) -> bytes:
        # Opened every time: no descriptors to run out of or to share, and a file that is gone is noticed.
        file = self._file(row)

        def read() -> bytes:
            with file.open("rb", buffering=0) as stream:
                stream.seek(offset)
                found = stream.read(length)
            if len(found) != length:
                raise OSError("it is shorter than it was")
            return found

        return with_retries(read, file)


def tar_files(source: str) -> list[Path]:
    """The tar files that a folder, a file or a pattern data-{000..063}.tar names; none where it names other data.

    Raises:
        FileNotFoundError: some of a pattern are missing. ValueError: they are compressed.
    """
    path = Path(source)
    if RANGE.search(source) and not path.exists():
        files = [Path(name) for name in _expanded(source)]
        missing = [str(file) for file in files if not file.is_file()]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(files)} shards of {source!r} are not there: {missing[0]!r}"
            )
    else:
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        files = [f for f in files if not any(p.startswith(".") for p in f.relative_to(path).parts) and f.is_file()]
    if any(file.suffix.lower() == ".parquet" for file in files):
        return []
    packed = [file for file in files if PACKED.search(file.name)]
    if packed:
        raise ValueError(f"{str(packed[0])!r} is compressed and cannot be read by position: unpack it to a plain .tar")
    return [file for file in files if file.suffix.lower() == ".tar"]


def told_split(file: Path, root: Path) -> str:
    """The split that a folder below root or a word of the file's name tells (imagenet-train-0003.tar), or nothing."""
    told = [*file.relative_to(root).parts[:-1], *re.split(r"[-_.]", file.stem)]
    return next((word.lower() for word in told if word.lower() in SPLITS), "")


def index_tars(files: list[Path], root: Path, where: str) -> tuple[Tars, Tensor]:
    """The pictures in tar files, and which of them are held out where nothing tells, (N,) bool.

    Raises:
        ValueError: a file is torn, no tar, or has a sample with several pictures or one of absurd size.
    """
    first, offsets, lengths, aside = array("q", [0]), array("q"), array("q"), HeldOutIndex()
    for file in Progress(files, f"indexing {Path(where).name}", unit="shards", delay=1):
        name = entry_name(file, root)
        for key, picture in _samples(file):
            offsets.append(picture.offset_data)
            lengths.append(picture.size)
            aside.add(f"{name} {key}")
        first.append(len(offsets))
    return Tars(where, files, first, offsets, lengths), aside.rows()


def _samples(file: Path) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Key and picture of every sample that has one: consecutive members of one key, the path up to its first dot."""
    for key, parts in groupby(_members(file), lambda member: _cut(member)[0]):
        members = list(parts)
        pictures = _pictures(members, lambda member: _cut(member)[1])  # 7.jpg rather than 7.mask.png
        pictures = pictures or _pictures(members, lambda member: PurePosixPath(member.name).suffix)
        if len(pictures) > 1:
            names = ", ".join(escape_control(member.name) for member in pictures)
            raise ValueError(f"sample {key!r} of {str(file)!r} has several pictures, expected one: {names}")
        if pictures and pictures[0].size > LARGEST:  # as a file of holes may say
            raise ValueError(
                f"{pictures[0].name!r} in {str(file)!r} is said to have {size_in_words(pictures[0].size)}, and a "
                f"picture may have {size_in_words(LARGEST)}: encode it smaller, or take it out"
            )
        if pictures:
            yield key, pictures[0]


def _pictures(members: list[tarfile.TarInfo], suffix: Callable[[tarfile.TarInfo], str]) -> list[tarfile.TarInfo]:
    return [member for member in members if suffix(member).lower() in IMAGE_SUFFIXES]


def _cut(member: tarfile.TarInfo) -> tuple[str, str]:
    """Key and suffix of a member."""
    folder, slash, name = member.name.removeprefix("./").rpartition("/")
    stem, dot, suffix = name.partition(".")
    return folder + slash + stem, dot + suffix


def _members(file: Path) -> Iterator[tarfile.TarInfo]:
    """The plain files in a tar file: no links, devices, sparse or hidden ones.

    Raises:
        ValueError: it is torn, or no plain tar.
    """
    try:
        with file.open("rb", buffering=0) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                plain = member.isreg() and not member.issparse()
                if member.size < 0 or tar.offset < member.offset_data:  # tarfile would turn in circles
                    raise tarfile.ReadError(f"{member.name!r} is said to have {member.size} bytes")
                if plain and not PurePosixPath(member.name).name.startswith("."):
                    yield member
            stream.seek(tar.offset)
            if any(stream.read(END)):
                raise tarfile.ReadError(f"no header at byte {tar.offset}")
    except BROKEN as error:
        raise ValueError(
            f"{str(file)!r} is not a whole plain tar file ({error or type(error).__name__}): copy or make it again, or "
            "take it out of the folder"
        ) from None


def _expanded(pattern: str) -> list[str]:
    """data-{08..11}.tar as data-08.tar to data-11.tar; of several ranges every combination."""
    found = RANGE.search(pattern)
    if found is None:
        return [pattern]
    low, high = found.groups()
    return [
        name
        for number in range(int(low), int(high) + 1)
        for name in _expanded(f"{pattern[: found.start()]}{number:0{len(low)}d}{pattern[found.end() :]}")
    ]
