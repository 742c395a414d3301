"""Which files, and which images of them, belong to a split."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from .pictures import IMAGE_SUFFIXES

ARRAY_SUFFIXES = {".npy", ".npz"}
TABLE_SUFFIXES = {".parquet", *ARRAY_SUFFIXES}
VALIDATION_NAMES = ("validation", "valid", "val")
SPLITS = ("train", "test", *VALIDATION_NAMES)
# Splits that are the first of several that a data set brings, else the share that is cut from all of it.
CHOICES = {"test": ("test", *VALIDATION_NAMES), "held_out": (*VALIDATION_NAMES, "test")}
HELD_OUT = 0.1  # share of the images that are the test split where a data set brings none


def held_out(n: int, split: str) -> Tensor:
    """Which of n images belong to the split where a data set brings none: the same 10% every time.

    Args:
        n: how many images there are.
        split: "train", "all", or any other for what is held out.

    Returns:
        Their indices, increasing.
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    count = max(1, round(n * HELD_OUT))
    if split == "all":
        return torch.arange(n)
    return (order[count:] if split == "train" else order[:count]).sort().values


def locate(path: Path, split: str) -> tuple[list[Path], str, bool]:
    """The files of a split, its name in the data set, and whether they are the whole that it is to be cut from.

    Args:
        path: a data file, or a folder of them.
        split: one of `SPLITS` or `CHOICES`, or "all".

    Raises:
        ValueError: not a data file. FileNotFoundError: a folder without any. LookupError: no such split.
    """
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix not in TABLE_SUFFIXES | IMAGE_SUFFIXES:
            raise ValueError(f"cannot read {path.name!r} as data: expected .parquet, .npy, .npz or a folder of images")
        own = _split_of(path, path.parent)
        beside = [f for f in sorted(path.parent.iterdir()) if f.suffix.lower() == suffix]
        splits = {own: [path]} if own is None or split == "all" else _splits(beside, path.parent) | {own: [path]}
    else:
        splits = _splits(_below(path), path)
    if split == "all":
        return [f for files in splits.values() for f in files], split, False
    for name in CHOICES.get(split, (split,)):
        if name in splits:
            return splits[name], name, splits.keys() == {"train"}
    if splits.keys() <= {None, "train"}:
        (files,) = splits.values()
        return files, "test" if split == "held_out" else split, True
    raise LookupError(f"{str(path)!r} has no split {split!r}; it has {', '.join(map(str, splits))}")


def _splits(files: Iterable[Path], root: Path) -> dict[str | None, list[Path]]:
    """Files by the split they belong to; those of none only where nothing else is there."""
    found: dict[str | None, list[Path]] = {}
    for file in files:
        found.setdefault(_split_of(file, root), []).append(file)
    return {name: group for name, group in found.items() if name is not None} or found


def _split_of(file: Path, root: Path) -> str | None:
    """The split that a folder below root tells (test/3.png), or a table's name (test-00000-of-00001.parquet)."""
    told = [part.lower() for part in file.relative_to(root).parts[:-1]]
    if file.suffix.lower() in TABLE_SUFFIXES:
        told.append(re.split("[-_.]", file.stem.lower())[0])
    return next((name for name in told if name in SPLITS), None)


def _below(folder: Path) -> list[Path]:
    """The data files below a folder, of one kind: tables or arrays where there are any, else images; none hidden."""
    files = [f for f in sorted(folder.rglob("*")) if not any(p.startswith(".") for p in f.relative_to(folder).parts)]
    for suffixes in ({".parquet"}, ARRAY_SUFFIXES, IMAGE_SUFFIXES):
        kind = [f for f in files if f.suffix.lower() in suffixes and f.is_file()]
        if kind:
            return kind
    raise FileNotFoundError(f"no images, .parquet, .npy or .npz files in {str(folder)!r}")
