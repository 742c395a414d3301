"""Data larger than memory: shards that are read row by row, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch
from torch import Tensor

from ...utils.config import suggestion
from ...utils.rng import generator_for
from ..builtin import EMBEDDED
from ..dataset import ImageData
from ..decoding import MOST_NAMES, read_all
from ..framing import Framing
from ..huggingface import is_hub_name, is_saved
from ..image_io import UNREADABLE, reason
from ..splits import SPLITS, choose, locate, named
from .parquet import hub_files, index_tables
from .shards import Shards, block_shuffle, spread
from .webdataset import index_tars, tar_files, told_split

LOOKED_AT = 256  # pictures that decide size and colour
SURE = 100  # pictures after which a share of them tells something
NEAR, TRIES = 8, 100  # neighbours that may stand in for a broken picture, and rows that are tried at all
GOLDEN = 0x9E3779B97F4A7C15  # of 2^64: its multiples are spread evenly, however many of them are taken


class UnreadableCounter:
    """How many pictures were read and how many of them were broken, by any number of threads: to be told, not to judge.

    It lasts as long as its process: were a training ended by it, a resumed one could end where another would not.
    """

    def __init__(self, max_unreadable: float, where: str) -> None:
        self.max_unreadable, self.where = max_unreadable, where
        self.read, self.bad, self.warned = 0, 0, False
        self.named: set[int] = set()
        self.lock = Lock()

    def count(self, row: int, fault: str) -> None:
        """A picture more; what was wrong with it, if something was, is said once, and once that it is so with many."""
        said = []
        with self.lock:
            self.read += 1
            self.bad += bool(fault)
            if fault and row not in self.named and len(self.named) < MOST_NAMES:
                self.named.add(row)
                said.append(f"another image of {self.where!r} stands in for one that is unreadable: {fault}")
            if not self.warned and self.read >= SURE and self.bad > self.max_unreadable * self.read:
                self.warned = True
                said.append(
                    f"{self.bad} of the {self.read} images read from {self.where!r} are unreadable, more than the "
                    f"{self.max_unreadable:.0%} that may be at the start (max_unreadable): others stand in for them"
                )
        for message in said:
            # Filters of warnings are the process's, and the threads that read have set them to pass over Pillow's.
            warnings.showwarning(UserWarning(message), UserWarning, __file__, 0)


@dataclass(frozen=True, eq=False)
class StreamedData:
    """Images of one size in shards, read as they are asked for: `ImageData` by its methods, but not in memory.

    Any thread may read; of several processes each has its own.

    Args:
        shards: the encoded pictures.
        rows: (N,) int64, which of them are this data's, increasing.
        held: (M,) int64, which are held out by their names, where the data brings no split.
        protocol: how they were made, as of `ImageData`; "index" tells these shards from others.
        tally: what was broken so far.
    """

    shards: Shards
    rows: Tensor
    held: Tensor | None
    protocol: dict[str, Any]
    tally: UnreadableCounter = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """Float32 images in [0, 1], (B, C, H, W); for a picture that is broken stands another one.

        Which one depends on its row alone: one of the next 8, or one from anywhere.

        Raises:
            ValueError: 100 rows that could stand in are broken too. OSError: a shard can no longer be read.
        """
        rows: Sequence[int] = range(len(self))[index] if isinstance(index, slice) else index.tolist()
        images = [self._image(row) for row in rows]
        return torch.stack(images).float() / 255 if images else torch.empty(0, *self.shape)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self.protocol["channels"], *self.protocol["size"]

    @cached_property
    def framing(self) -> Framing:
        """The rule by which they are read, with the colour that was decided on."""
        return Framing.from_config(self.protocol["framing"])

    def params_at(self, index: slice | Tensor) -> dict[str, Tensor]:
        """Nothing: no params belong to streamed images."""
        return {}

    def order(self, seed: int, epoch: int) -> Tensor:
        """The order of an epoch, a permutation (N,) of the rows: blocks at random, shuffled window by window."""
        return _order(self, seed, epoch)

    def part(self, limit: int) -> ImageData:
        """At most `limit` of the images in memory, spread evenly over all: for what is measured on them."""
        return _in_memory(self.shards, self.rows, limit, self.framing, self.protocol, self.tally.max_unreadable)

    def held_out(self, limit: int) -> ImageData:
        """At most `limit` of the images that are held out from these, in memory, spread evenly.

        Raises:
            LookupError: the data brings splits, and none for that.
        """
        shards, rows, found = self.shards, self.held, "test"
        if rows is None:
            shards, rows, _, found = _located(self.protocol["data"], "held_out")
        told = {"split": found, "index": shards.digest}
        beside = replace(self, shards=shards, rows=rows, held=None, protocol=self.protocol | told)
        return beside.part(limit)

    def _image(self, row: int) -> Tensor:
        """(C, H, W) uint8."""
        fault = ""
        for tried in _stand_ins(row, len(self)):
            mine = int(self.rows[tried])
            raw = self.shards.raw(mine)
            try:
                image = _framed(raw, self.framing, self.shape)
            except UNREADABLE as error:
                fault = fault or f"{self.shards.name(mine)} ({reason(error)})"
            else:
                self.tally.count(row, fault)
                return image
        raise ValueError(
            f"{min(len(self), TRIES)} images from all over {self.tally.where!r} are unreadable, as {fault}: "
            "restore them, and go on"
        )


def stream_data(
    source: str | Path,
    *,
    split: str = "train",
    size: int | None = None,
    resize_mode: Literal["resize", "crop", "tiles"] = "resize",
    colour: Literal["auto", "grey", "rgb"] = "auto",
    background: tuple[float, ...] = (1.0,),
    max_unreadable: float = 0.1,
) -> StreamedData:
    """The images of a data set that need not fit into memory; what stays there is an index of about 40 bytes each.

    Args:
        source: WebDataset shards: a folder of plain .tar files, one, or data-{000..063}.tar; or parquet shards: a
            folder or file in the Hugging Face layout, or owner/name or owner/name:config on its hub.
        split: as of `load_data`. A .tar file is of a split if a folder or a word of its name says so
            (imagenet-train-0003.tar).
        size, resize_mode, colour, background: see `Framing`. Left out, a size is that of 256 images spread over all, if
            it is one; "auto" is grey where these are.
        max_unreadable: of the images that are looked at first, at most, that are unreadable; of later ones it is only
            told.

    Raises:
        FileNotFoundError: no such data. LookupError: no such split. ValueError: data that cannot be streamed.
        ModuleNotFoundError: parquet without pyarrow, the hub without datasets.
    """
    known = (*SPLITS, "held_out", "all")
    if split not in known:
        raise LookupError(f"no split is named {split!r}{suggestion(split, known)}; known: {', '.join(known)}")
    if not 0 <= max_unreadable <= 1:
        raise ValueError(f"max_unreadable must be in [0, 1], got {max_unreadable}")
    if resize_mode == "tiles":
        raise ValueError('streamed data have one image per picture: give fit "resize" or "crop"')
    framing = Framing(size=size, fit=resize_mode, colour=colour, background=background)
    shards, rows, held, found = _located(str(source), split)
    protocol = {"data": str(source), "split": found, "index": shards.digest}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pictures that are broken are met again
        seen = _in_memory(shards, rows, LOOKED_AT, framing, protocol, max_unreadable)
    decided = seen.protocol | {"images": len(rows)}
    return StreamedData(shards, rows, held, decided, UnreadableCounter(max_unreadable, str(source)))


def _located(source: str, split: str) -> tuple[Shards, Tensor, Tensor | None, str]:
    """Shards, the rows of a split in them, those that are held out by their names, and the name of the split."""
    path = Path(source)
    root = path if path.is_dir() else Path(source.partition("{")[0] + ".").parent  # of a pattern, too
    shards: Shards
    if source in EMBEDDED:
        raise ValueError(f"{source!r} is in memory as it is: it cannot be streamed")
    if tars := tar_files(source):
        files, found, whole = choose(named((told_split(f, root), f) for f in tars), split, source)
        shards, aside = index_tars(files, root, source)
    elif path.exists():
        if is_saved(path) or {file.suffix.lower() for file in locate(path, "all")[0]} != {".parquet"}:
            raise ValueError(f"{source!r} holds no .tar or .parquet shards, and nothing else can be streamed")
        files, found, whole = locate(path, split)
        shards, aside = index_tables(files, root, source)
    else:
        _check_hub_name(path)
        groups, found, whole = choose(named(hub_files(source).items()), split, source)
        shards, aside = index_tables([address for group in groups for address in group], None, source)
    if not whole:
        return shards, torch.arange(len(shards)), None, found
    held = aside.nonzero().flatten()
    return shards, (~aside).nonzero().flatten() if split == "train" else held, held, found


def _check_hub_name(path: Path) -> None:
    """Raise where it is evidently a path."""
    near = [str(p) for p in path.parent.iterdir()] if path.parent.is_dir() else []
    meant = suggestion(str(path), near)
    if meant or not is_hub_name(str(path)):
        raise FileNotFoundError(
            f"no data at {str(path)!r}{meant}: expected a folder of .tar or .parquet shards, one of them, a pattern "
            "data-{000..063}.tar, or owner/name of the Hugging Face hub"
        )


def _stand_ins(row: int, number: int) -> Iterator[int]:
    """A row of so many, and those that stand in for it one after another: all of few, else neighbours, then any."""
    near = number if number <= TRIES else 1 + NEAR
    yield from ((row + ahead) % number for ahead in range(near))
    if near < number:
        yield from ((row + (k * GOLDEN % 2**64 * number >> 64)) % number for k in range(1, TRIES - near + 1))


def _framed(raw: bytes, framing: Framing, shape: tuple[int, int, int]) -> Tensor:
    (image,) = framing.tensors(framing.read(raw))
    if image.shape != shape:
        _, height, width = image.shape
        raise ValueError(f"it is {height} x {width} pixels, others are {shape[1]} x {shape[2]}: give an image size")
    return image


def _in_memory(
    shards: Shards, rows: Tensor, limit: int, framing: Framing, protocol: dict[str, Any], max_unreadable: float
) -> ImageData:
    """Some of the images, without those that are broken."""
    if limit < 1:
        raise ValueError(f"expected at least 1 image, got {limit}")
    if not len(rows):
        raise ValueError(f"{shards.where!r} has no images in split {protocol['split']!r}")
    some = rows[spread(_bounds(shards, rows), shards.weights, limit)].tolist()
    entries = (((shards.name(row), shards.raw(row)),) for row in some)
    read, bad = read_all(entries, len(some), framing, shards.where)
    if not read or len(bad) > max_unreadable * len(some):
        raise ValueError(
            f"{len(bad)} of {len(some)} images in {shards.where!r} are unreadable, and at most {max_unreadable:.0%} "
            f"may be (max_unreadable): {', '.join(bad[:3])}"
        )
    if bad:
        warnings.warn(f"left out {len(bad)} of {len(some)} images in {shards.where!r}: {bad[0]}, ...", stacklevel=3)
    frames = [frames.tiles[0][0] for frames in read]
    channels = max(len(frame) for frame in frames)
    images = torch.stack([frame.expand(channels, -1, -1) for frame in frames])
    decided = replace(framing, colour="grey" if channels == 1 else "rgb")
    told = {
        "resize": framing.words if any(f.resized for f in read) else "none",
        "size": list(images.shape[2:]), "channels": channels, "images": len(images), "framing": decided.to_config(),
    }  # fmt: skip
    return ImageData(images, protocol | told)


@lru_cache(maxsize=2)
def _order(data: StreamedData, seed: int, epoch: int) -> Tensor:
    return block_shuffle(_bounds(data.shards, data.rows), data.shards.weights, generator_for(seed, "epoch", epoch))


def _bounds(shards: Shards, rows: Tensor) -> Tensor:
    """At which of these rows each block begins, and the end."""
    return torch.searchsorted(rows, shards.blocks)
