"""Which files, and which images of them, belong to a split; and which files of two folders are pairs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from .image_io import IMAGE_SUFFIXES

ARRAY_SUFFIXES = {".npy", ".npz"}
TABLE_SUFFIXES = {".parquet", *ARRAY_SUFFIXES}
VALIDATION_NAMES = ("validation", "valid", "val")
SPLITS = ("train", "test", *VALIDATION_NAMES)
# Splits that are the first of several that a data set brings, else the share that is cut from all of it.
CHOICES = {"test": ("test", *VALIDATION_NAMES), "held_out": (*VALIDATION_NAMES, "test")}
T = TypeVar("T")

HELD_OUT = 0.1  # share of the images that are the test split where a data set brings none


def is_held_out(name: str) -> bool:
    """Whether an entry of that name is of the 10% that are held out, whatever else there is."""
    return _place(name) < HELD_OUT


def members(names: Sequence[str], split: str) -> list[bool]:
    """Which entries belong to a split that is cut from all of them: each by its name alone.

    Of several, one at least is held out and one is not: that of the smallest hash, and that of the largest.

    Args:
        names: of all entries.
        split: "train", or any other for what is held out.
    """
    places = [_place(name) for name in names]
    aside = [place < HELD_OUT for place in places]
    if len(names) > 1 and not any(aside):
        aside[places.index(min(places))] = True
    if names and all(aside):
        aside[places.index(max(places))] = False
    return [not held for held in aside] if split == "train" else aside


def row_names(number: int, table: str = "") -> list[str]:
    """What the rows of a table go by."""
    return [f"{table} {row}" for row in range(number)]


def entry_name(file: Path, root: Path) -> str:
    """What an entry goes by: its path below root, without suffix and without the folder of its split."""
    return _name(file, root, _split_of(file, root))


def held_out(n: int, split: str) -> Tensor:
    """Which of n images of a fixed data set belong to the split: the same 10% every time.

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
    elif path.is_dir():
        splits = _splits(_below(path), path)
    else:
        raise ValueError(f"{str(path)!r} is a pipe, a socket or a device: give a file or a folder")
    return choose(splits, split, str(path))


def choose(splits: Mapping[str | None, list[T]], split: str, where: str) -> tuple[list[T], str, bool]:
    """`locate` among parts that are already told apart by split; those of no split have the name None.

    Raises:
        LookupError: no such split.
    """
    if split == "all":
        return [part for parts in splits.values() for part in parts], split, False
    for name in CHOICES.get(split, (split,)):
        if name in splits:
            return splits[name], name, splits.keys() == {"train"}
    if splits.keys() <= {None, "train"}:
        (parts,) = splits.values()
        return parts, "test" if split == "held_out" else split, True
    raise LookupError(f"{where!r} has no split {split!r}; it has {', '.join(map(str, splits))}")


def named(parts: Iterable[tuple[str, T]]) -> dict[str | None, list[T]]:
    """Parts by the split that they are named for; those that are named for none only where nothing else is there."""
    found: dict[str | None, list[T]] = {}
    for name, part in parts:
        found.setdefault(name.lower() if name.lower() in SPLITS else None, []).append(part)
    return {name: group for name, group in found.items() if name is not None} or found


@dataclass(frozen=True)
class Pairs:
    """Pictures of a split with the damaged ones of the same name, and the pictures of either side without one."""

    matched: list[tuple[Path, Path]]
    only_clean: list[Path]
    only_damaged: list[Path]
    split: str
    whole: bool


def pairs(path: Path, damaged: Path, split: str) -> Pairs:
    """Match the pictures of a split with those of another folder, by relative path without suffix.

    Where one folder alone has train and test folders, these count for nothing in a name.

    Raises:
        What `locate` raises. ValueError: two files that go by one name.
    """
    files, found, whole = locate(path, split)
    every, others = locate(path, "all")[0], locate(damaged, "all")[0]
    root, other_root = (p.parent if p.is_file() else p for p in (path, damaged))
    told = any(_split_of(file, root) for file in every)
    told_too = any(_split_of(file, other_root) for file in others)
    clean = _by_name(every, root, without_splits=told and not told_too)
    partners = _by_name(others, other_root, without_splits=told_too and not told)
    taken = set(files)
    mine = {name: file for name, file in clean.items() if file in taken}
    return Pairs(
        matched=[(file, partners[name]) for name, file in mine.items() if name in partners],
        only_clean=[file for name, file in mine.items() if name not in partners],
        # Of those that could be of this split.
        only_damaged=[
            file
            for name, file in partners.items()
            if name not in clean and (whole or split == "all" or _split_of(file, other_root) == found)
        ],
        split=found,
        whole=whole,
    )


def _by_name(files: Iterable[Path], root: Path, without_splits: bool) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        name = _name(file, root, _split_of(file, root) if without_splits else None)
        if name in found:
            raise ValueError(
                f"{str(found[name])!r} and {str(file)!r} go by one name, and pairs are matched by relative path "
                "without suffix: rename one"
            )
        found[name] = file
    return found


def _name(file: Path, root: Path, split: str | None) -> str:
    return "/".join([*(part for part in file.relative_to(root).parts[:-1] if part.lower() != split), file.stem])


def _place(name: str) -> float:
    """A number in [0, 1) that a name has on every machine."""
    digest = blake2b(name.encode(errors="backslashreplace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


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
