"""Encoded pictures in large files, each of them read by its row: the interface, and what every kind of file shares."""

from __future__ import annotations

import time
from array import array
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ..image_io import reason
from ..splits import is_held_out, members

CACHE_BYTES = 256 * 2**20  # of blocks that stay in memory, per process
WINDOW = 8192  # rows that are shuffled at a time
WINDOW_BYTES = CACHE_BYTES // 2  # at most, of blocks that are in memory for them
FEW_BLOCKS = 16  # over which a few rows are spread, where blocks are read whole
PAUSES = (1.0, 4.0, 16.0)  # seconds before a file that is far away is asked for again

T = TypeVar("T")


class Shards(Protocol):
    """Pictures by row, and where the runs of neighbours are that are best read together.

    Attributes:
        where: what they are of, for messages.
        blocks: (K + 1,) int64, the row at which each of K blocks begins, and the number of rows.
        weights: (K,) int64, bytes in memory while any row of a block is read; 0 where a row is read alone.
        digest: what tells these files from others.
    """

    where: str
    blocks: Tensor
    weights: Tensor
    digest: str

    def __len__(self) -> int: ...

    def raw(self, row: int) -> bytes:
        """A picture as it is encoded.

        Raises:
            OSError: its file can no longer be read.
        """

    def name(self, row: int) -> str:
        """What a picture is called in a message."""


def block_shuffle(bounds: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
    """An order of rows that stays within a few blocks at a time: blocks at random, shuffled window by window.

    A window is as many blocks as hold `WINDOW` rows, or fewer whose weights are `WINDOW_BYTES`.

    Args:
        bounds: (K + 1,) int64, the row at which each block begins, and the number of rows, N.
        weights: (K,) int64, bytes in memory while a row of a block is read.
        generator: of the order.

    Returns:
        (N,) int64, every row once.
    """
    blocks = torch.randperm(len(weights), generator=generator)
    lengths = bounds.diff()[blocks]
    ends = lengths.cumsum(0)
    rows = torch.arange(int(bounds[-1])) + (bounds[blocks] - ends + lengths).repeat_interleave(lengths)
    # In whole numbers, which every machine adds up alike.
    weight = torch.maximum(lengths * (WINDOW_BYTES // WINDOW), weights[blocks])
    window = (weight.cumsum(0) - weight) // WINDOW_BYTES
    sizes = torch.zeros(int(window[-1]) + 1, dtype=torch.int64).index_add(0, window, lengths)
    return torch.cat(
        [part[torch.randperm(len(part), generator=generator)] for part in torch.split(rows, sizes.tolist())]
    )


def spread(bounds: Tensor, weights: Tensor, limit: int) -> Tensor:
    """At most `limit` rows, evenly over all of them; where blocks are read whole, over a few of these.

    Args:
        bounds, weights: as of `block_shuffle`.
        limit: >= 1.

    Returns:
        Rows, increasing.
    """
    n, blocks = int(bounds[-1]), len(weights)
    if not weights.any():
        return _evenly(n, limit)
    chosen = _evenly(blocks, max(FEW_BLOCKS, -(-limit * blocks // n))).tolist()
    rows = torch.cat([torch.arange(int(bounds[k]), int(bounds[k + 1])) for k in chosen])
    return rows[_evenly(len(rows), limit)]


def _evenly(n: int, limit: int) -> Tensor:
    count = min(n, limit)
    return torch.arange(count) * n // max(count, 1)


class HeldOutIndex:
    """Which of very many entries are held out, by the rule of `splits.members`, without keeping their names."""

    def __init__(self) -> None:
        self.held = array("b")
        self.names: list[str] = []  # as long as all of them are on one side

    def add(self, name: str) -> None:
        """The next entry."""
        self.held.append(is_held_out(name))
        if self.names or len(self.held) == 1:
            self.names = [] if self.held[-1] != self.held[0] else [*self.names, name]

    def rows(self) -> Tensor:
        """(N,) bool."""
        return torch.tensor(members(self.names, "test") if self.names else self.held, dtype=torch.bool)


class LRUCache:
    """Values that were made last, in so many bytes; each is made once, however many threads ask for it."""

    def __init__(self, make: Callable[[int], Any], limit: int) -> None:
        self.make, self.limit = make, limit
        self.kept: OrderedDict[int, Future[Any]] = OrderedDict()
        self.lock = Lock()

    def __getitem__(self, key: int) -> Any:
        with self.lock:
            mine = key not in self.kept
            value = self.kept.setdefault(key, Future())
            self.kept.move_to_end(key)
        if mine:
            try:
                value.set_result(self.make(key))
            except BaseException as error:  # for those who wait, too
                value.set_exception(error)
            self._forget()
        return value.result()

    def _forget(self) -> None:
        """What failed, and what is too much, the oldest first."""
        with self.lock:
            for key in [k for k, v in self.kept.items() if v.done() and v.exception() is not None]:
                del self.kept[key]
            done = [k for k, v in self.kept.items() if v.done()]
            held = sum(self.kept[k].result().nbytes for k in done)
            for key in done[:-1]:
                if held <= self.limit:
                    break
                held -= self.kept.pop(key).result().nbytes


def with_retries(read: Callable[[], T], file: str | Path) -> T:
    """What is read of a file, asked for again where it is far away: `pause` by pause.

    Raises:
        OSError: it could not be had.
    """
    pauses = () if isinstance(file, Path) else PAUSES
    for pause in (*pauses, None):
        try:
            return read()
        except Exception as error:  # of the network, the hub, fsspec and Arrow: they share no base
            if pause is None or isinstance(error, FileNotFoundError):
                raise OSError(
                    f"the shard {str(file)!r} cannot be read ({reason(error)}): restore it, and go on with --resume "
                    "where a training was under way"
                ) from error
            time.sleep(pause)
    raise AssertionError("the last pause is none")
