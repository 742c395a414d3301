"""Images from wherever a user has them, as one 8-bit tensor in memory with a held-out split."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..utils.config import suggestion
from ..utils.rng import permutation
from .builtin import EMBEDDED
from .decoding import read_all, truncate_list
from .framing import Framing
from .sources import Source, in_memory, in_memory_pairs, paired, single
from .splits import SPLITS, members, row_names


@dataclass(frozen=True)
class ImageData:
    """Images of one size.

    Args:
        images: (N, C, H, W) uint8.
        protocol: how they were made: data, split, size, resize, number; for reports and the run's config. Its
            "framing" is the config of a `Framing` that makes more such images.
        params: what belongs to the images row by row, (N, C, H, W) uint8: "endpoint" is the damaged half of a pair.
    """

    images: Tensor
    protocol: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """Float32 images in [0, 1]."""
        return self.images[index].float() / 255

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def order(self, seed: int, epoch: int) -> Tensor:
        """The indices (N,) in the order of an epoch."""
        return permutation(len(self), seed, epoch)

    @property
    def framing(self) -> Framing:
        """The rule by which they were read, with the colour that they came to have."""
        return Framing.from_config(self.protocol["framing"])

    def params_at(self, index: slice | Tensor) -> dict[str, Tensor]:
        """Float32 params in [0, 1] of the images at an index."""
        return {name: value[index].float() / 255 for name, value in self.params.items()}


def load_data(
    source: str | Path,
    *,
    split: str = "train",
    size: int | None = None,
    resize_mode: Literal["resize", "crop", "tiles"] = "resize",
    colour: Literal["auto", "grey", "rgb"] = "auto",
    background: tuple[float, ...] = (1.0,),
    paired_data: str | Path | None = None,
    max_unreadable: float = 0.1,
) -> ImageData:
    """The images of a data set.

    Args:
        source: "digits", "photos"; a folder of images (at any depth, but links to folders inside it are not
            followed); a parquet file or a folder of them in the Hugging Face layout; an array file (.npy, .npz:
            (N, H, W), (N, H, W, C) or (N, C, H, W), uint8 or float in [0, 1]); a folder that `save_to_disk` of
            datasets wrote; or owner/name or owner/name:config on the Hugging Face hub.
        split: "train", "test", "validation", "held_out" or "all". Where the data set brings no split, about 10% are
            held out and called test: every picture by a hash of its path or row, so that it keeps its side whatever
            else is there. Where it brings one of test and validation, it is "test", and where it brings both,
            "held_out" is validation. The protocol names what was taken.
        size, resize_mode, colour, background: see `Framing`.
        paired_data: the same pictures damaged, to be `params["endpoint"]`: a folder of pictures with the same relative
            paths, suffix aside, or a table, array or data set with as many rows. A pair is framed alike and never
            falls on both sides of a split, nor do tiles of one picture.
        max_unreadable: of the split's pictures, at most, that are unreadable or have no partner; they are left out with
            a warning.

    Returns:
        Images (N, C, H, W), all of them in memory: N C H W bytes, and as many of damaged ones.

    Raises:
        FileNotFoundError: no such data. LookupError: no such split. ValueError: images that cannot be used, or a
        size < 1. ModuleNotFoundError: parquet without pyarrow, data sets of the hub without datasets.
    """
    known = (*SPLITS, "held_out", "all")
    if split not in known:
        raise LookupError(f"no split is named {split!r}{suggestion(split, known)}; known: {', '.join(known)}")
    framing = Framing(size=size, fit=resize_mode, colour=colour, background=background)
    protocol: dict[str, Any] = {"data": str(source), "split": split}
    if str(source) in EMBEDDED:
        if paired_data is not None:
            raise ValueError(f"{str(source)!r} makes no pairs: paired_data goes with images of your own")
        protocol["split"] = "test" if split == "held_out" else split
        images, protocol["resize"] = EMBEDDED[str(source)](split, framing)
        return _described([images], framing, protocol)
    if paired_data is None:
        return _read(single(source, split, framing), framing, protocol, max_unreadable)
    protocol["paired_data"] = str(paired_data)
    return _read(paired(source, paired_data, split, framing), framing, protocol, max_unreadable)


def with_targets(data: ImageData, others: ImageData) -> ImageData:
    """Images that each have another one beside them, as `params["target"]`.

    The others in turn, as often as needed; of more others than images the last go unseen.

    Raises:
        ValueError: images of different sizes or channels.
    """
    if data.images.shape[1:] != others.images.shape[1:]:
        raise ValueError(
            f"images {tuple(data.images.shape[1:])} and others {tuple(others.images.shape[1:])} must be alike: "
            "give an image size"
        )
    target = others.images[torch.arange(len(data)) % len(others)]
    return replace(data, protocol=data.protocol | {"others": others.protocol}, params=data.params | {"target": target})


def from_images(
    images: Any,
    damaged: Any = None,
    *,
    size: int | None = None,
    resize_mode: Literal["resize", "crop", "tiles"] = "resize",
    colour: Literal["auto", "grey", "rgb"] = "auto",
    background: tuple[float, ...] = (1.0,),
    max_unreadable: float = 0.1,
) -> ImageData:
    """Images that are in memory.

    Args:
        images: a tensor (N, C, H, W) or an array (N, H, W), (N, H, W, C) or (N, C, H, W), uint8 or float in [0, 1];
            or a list of Pillow images or paths.
        damaged: as many, of any of these kinds: the damaged image of the same position, to be `params["endpoint"]`.
        size, resize_mode, colour, background: see `Framing`.
        max_unreadable: see `load_data`.

    Raises:
        TypeError: of another kind. ValueError: images that cannot be used.
    """
    framing = Framing(size=size, fit=resize_mode, colour=colour, background=background)
    protocol = {"data": "images in memory", "split": "all"}
    if damaged is None:
        return _read(in_memory(images, "images", framing), framing, protocol, max_unreadable)
    protocol["paired_data"] = "images in memory"
    return _read(in_memory_pairs(images, damaged, framing), framing, protocol, max_unreadable)


def cut(data: ImageData) -> tuple[ImageData, ImageData]:
    """What to train on and what to hold out, about 10%: every row by its index, as `load_data` cuts.

    Raises:
        ValueError: images that cannot be cut row by row.
    """
    if data.protocol.get("framing", {}).get("fit") == "tiles":
        raise ValueError("tiles of one picture would be both trained on and held out: give held_out too")
    if len(data) < 2:
        raise ValueError(f"nothing can be held out of {len(data)} images: give held_out too")
    train = torch.tensor(members(row_names(len(data)), "train"))
    return _part(data, train), _part(data, ~train)


def _part(data: ImageData, rows: Tensor) -> ImageData:
    params = {name: value[rows] for name, value in data.params.items()}
    return ImageData(data.images[rows], data.protocol | {"images": int(rows.sum())}, params)


def _read(source: Source, framing: Framing, protocol: dict[str, Any], max_unreadable: float) -> ImageData:
    """The pictures of a split: what is cut is pictures, and not tiles."""
    if not 0 <= max_unreadable <= 1:
        raise ValueError(f"max_unreadable must be in [0, 1], got {max_unreadable}")
    source = source.cut()
    if source.whole and not source.names and not source.unmatched:
        raise ValueError(
            f"{source.where!r} has no images in split {source.split!r}: nothing can be held out of one image, but "
            'split "all" has it'
        )
    read, broken = read_all(source.entries, len(source.names), framing, source.where)
    bad = [*broken, *(told for _, told in source.unmatched)]
    _report(bad, len(read) + len(bad), source, max_unreadable)
    channels = {frame.shape[0] for frames in read for frame in frames.tiles[0]}
    if len(channels) > 1 and channels != {1, 3}:
        raise ValueError(f"the images in {source.where!r} differ in channels: they have {sorted(channels)}")
    halves = zip(*(tile for frames in read for tile in frames.tiles), strict=True)
    most = max(channels)
    images = [torch.stack([f if len(f) == most else f.expand(most, -1, -1) for f in half]) for half in halves]
    protocol |= {"split": source.split, "resize": framing.words if any(f.resized for f in read) else "none"}
    if source.matched:
        protocol["pairs"] = f"{source.matched}, {framing.pair_words}"
    if bad:
        protocol["left_out"] = truncate_list(bad)
    return _described(images, framing, protocol)


def _report(bad: list[str], number: int, source: Source, max_unreadable: float) -> None:
    """Warn of pictures that are left out, or raise where they are too many."""
    if not number:
        raise ValueError(f"{source.where!r} holds no images")
    fault = "unreadable or without a partner" if source.unmatched else "unreadable"
    where = repr(source.where) + (f" (split {source.split!r})" if source.whole else "")
    if len(bad) == number or len(bad) > max_unreadable * number:
        raise ValueError(
            f"{len(bad)} of {number} images in {where} are {fault}, and at most {max_unreadable:.0%} may be "
            f"(max_unreadable): {', '.join(bad[:3])}{', ...' if len(bad) > 3 else ''}"
        )
    if bad:
        names = ", ".join(truncate_list(bad))
        warnings.warn(f"left out {len(bad)} of {number} images in {where}, {fault}: {names}", stacklevel=4)


def _described(images: list[Tensor], framing: Framing, protocol: dict[str, Any]) -> ImageData:
    """Images, and damaged ones if there are some, with what is known of them by now."""
    _, channels, *size = images[0].shape
    if framing.colour == "auto" and channels in (1, 3):
        framing = replace(framing, colour="grey" if channels == 1 else "rgb")
    protocol |= {"size": size, "channels": channels, "images": len(images[0]), "framing": framing.to_config()}
    return ImageData(images[0], protocol, dict(zip(("endpoint",), images[1:], strict=False)))
