"""Many pictures, decoded straight into small frames; those that are broken are named."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from ..utils.progress import Progress
from .framing import Framing, Raw, width_height
from .image_io import UNREADABLE, reason, without_warnings

Named = tuple[str, Raw]  # a picture, and what to call it in a message

MOST_NAMES = 20  # of pictures left out, in a message
READERS = min(8, os.cpu_count() or 1)  # threads

T = TypeVar("T")


@dataclass(frozen=True)
class Frames:
    """What became of a picture or a pair.

    Args:
        tiles: one tuple per tile, of (C, H, W) uint8: clean, or clean and damaged.
        resized: whether a picture had another size than its frames.
    """

    tiles: list[tuple[Tensor, ...]]
    resized: bool


def read_all(
    entries: Iterable[tuple[Named, ...]], number: int, framing: Framing, where: str
) -> tuple[list[Frames], list[str]]:
    """The frames of every picture, and the names of those that cannot be read, with reasons.

    Args:
        entries: tuples of one picture, or of a clean and a damaged one.
        number: how many there are.
        framing: their rule.
        where: what they are of, for messages.

    Raises:
        ValueError: frames of several sizes.
    """
    read: list[Frames] = []
    bad: list[str] = []
    bar = Progress(entries, f"reading {Path(where).name}", number, unit="images", delay=1)
    with without_warnings():
        for got in _ahead(lambda entry: _frames(entry, framing), bar):
            if isinstance(got, str):
                bad.append(got)
                continue
            read.append(got)
            size = read[0].tiles[0][0].shape[1:]
            if any(frame.shape[1:] != size for tile in got.tiles for frame in tile):
                raise ValueError(f"the images in {where!r} differ in size: give one, e.g. --image-size 64")
    return read, bad


def truncate_list(names: list[str]) -> list[str]:
    """The first names, and how many more there are."""
    more = len(names) - MOST_NAMES
    return [*names[:MOST_NAMES], f"and {more} more"] if more > 0 else names


def _ahead(function: Callable[[tuple[Named, ...]], T], items: Iterable[tuple[Named, ...]]) -> Iterator[T]:
    """`map` in threads, in order and a few items ahead: Pillow decodes outside of the interpreter's lock."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for item in items:
            if isinstance(item[0][1], Tensor) and not waiting:  # nothing to decode
                yield function(item)
                continue
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _frames(entry: tuple[Named, ...], framing: Framing) -> Frames | str:
    """The frames of a picture or a pair, or why there are none."""
    pictures = []
    for name, raw in entry:
        try:
            pictures.append(raw if isinstance(raw, Tensor) else framing.read(raw))
        except UNREADABLE as error:
            return f"{name} ({reason(error)})"
    try:
        pictures[1:] = [framing.like(picture, pictures[0]) for picture in pictures[1:]]
        tiles = [*zip(*(framing.tensors(picture) for picture in pictures), strict=True)]
    except ValueError as error:  # too many pixels
        return f"{entry[0][0]} ({reason(error)})"
    size = (framing.size, framing.size)
    return Frames(tiles, framing.size is not None and any(width_height(picture) != size for picture in pictures))
