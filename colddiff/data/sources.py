"""The images of a data set before they are read: of a folder, tables, arrays, the hub, or memory; alone or in pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..utils.config import suggestion
from ..utils.text import escape_control
from .builtin import EMBEDDED
from .decoding import Named
from .framing import Framing
from .huggingface import downloaded, image_rows, is_hub_name, is_saved, saved
from .image_io import astray
from .splits import (
    ARRAY_SUFFIXES,
    TABLE_SUFFIXES,
    VALIDATION_NAMES,
    choose,
    entry_name,
    is_held_out,
    locate,
    members,
    named,
    pairs,
    row_names,
)

MOST_CHANNELS = 4  # of an array that does not say where it has them


@dataclass(frozen=True)
class Source:
    """The pictures of a split, unread.

    Args:
        where: what they are of, for messages.
        names: what tells an entry's side of a split: its path, or its row.
        entries: a picture each, or a clean and a damaged one; in the order of their names.
        split: its name in the data set.
        whole: whether the split is still to be cut from these.
        lonely: pictures that have no partner: names, and what to call them in a message.
        matched: how pairs were found, in words.
    """

    where: str
    names: Sequence[str]
    entries: Iterable[tuple[Named, ...]]
    split: str = "all"
    whole: bool = False
    unmatched: tuple[tuple[str, str], ...] = ()
    matched: str = ""

    def cut(self) -> Source:
        """The entries of the split alone, where it is still to be cut."""
        if not self.whole:
            return self
        mine = members(self.names, self.split)
        return replace(
            self,
            names=[*compress(self.names, mine)],
            entries=compress(self.entries, mine),
            unmatched=tuple(one for one in self.unmatched if is_held_out(one[0]) != (self.split == "train")),
        )


def single(source: str | Path, split: str, framing: Framing) -> Source:
    """The pictures of a data set's split.

    Raises:
        FileNotFoundError: no such data. LookupError: no such split. ValueError: it cannot be read.
        ModuleNotFoundError: a package is missing that reads it.
    """
    parts, found, whole = _parts(source, split)
    names, rows = zip(*(_rows(part, str(source), framing) for part in parts), strict=True)
    return Source(str(source), [*chain(*names)], ((row,) for row in chain(*rows)), found, whole)


def paired(source: str | Path, damaged: str | Path, split: str, framing: Framing) -> Source:
    """The pictures of a split, each with the damaged one of the same name, or for tables of the same position.

    Raises:
        What `alone` raises. ValueError: they are no pairs.
    """
    if Path(source) == Path(damaged):
        raise ValueError(f"clean and damaged pictures are both {str(source)!r}: give the damaged ones another folder")
    kinds = [_kind(each) for each in (source, damaged)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{str(source)!r} holds {kinds[0]}, {str(damaged)!r} {kinds[1]}: a folder of pictures makes pairs with "
            "another by name, and tables, arrays and data sets of the hub with each other by position"
        )
    if kinds[0] == "pictures":
        return _by_name(Path(source), Path(damaged), split)
    clean, ruined = (single(each, split, framing) for each in (source, damaged))
    return _by_position(clean, ruined)


def in_memory(images: Any, where: str, framing: Framing) -> Source:
    """Tensors, arrays, and lists of pictures or of their paths.

    Raises:
        TypeError, ValueError: nothing of that.
    """
    if isinstance(images, Tensor):
        if images.dim() != 4:
            raise ValueError(f"expected a tensor (N, C, H, W) of {where}, got shape {tuple(images.shape)}")
        held = images.detach().cpu()
        array, channels_first = (held.float() if held.dtype == torch.bfloat16 else held).numpy(), True  # NumPy has none
    elif isinstance(images, np.ndarray):
        array, channels_first = images, False
    elif isinstance(images, list | tuple) and images and all(isinstance(i, str | Path | Image.Image) for i in images):
        rows = (((f"{where} {i}", Path(raw) if isinstance(raw, str) else raw),) for i, raw in enumerate(images))
        return Source(where, row_names(len(images)), rows)
    else:
        raise TypeError(
            f"expected {where} as a tensor (N, C, H, W), an array (N, H, W) or (N, H, W, C), or a list of Pillow "
            f"images or paths, got {type(images).__name__}"
        )
    entries = _array_rows(_eight_bit(array, where, channels_first), where, framing)
    return Source(where, row_names(len(array)), ((row,) for row in entries))


def in_memory_pairs(images: Any, damaged: Any, framing: Framing) -> Source:
    """`in_memory`, with the damaged picture of the same position."""
    return _by_position(in_memory(images, "images", framing), in_memory(damaged, "damaged images", framing))


def _by_name(source: Path, damaged: Path, split: str) -> Source:
    found = pairs(source, damaged, split)
    clean_name, damaged_name = _namer(source), _namer(damaged)
    entries = (((clean_name(a), a), (f"{damaged}: {damaged_name(b)}", b)) for a, b in found.matched)
    root, other_root = _root(source), _root(damaged)
    lonely = [
        (entry_name(file, root), f"{clean_name(file)} (no partner in {str(damaged)!r})") for file in found.only_clean
    ]
    lonely += [
        (entry_name(file, other_root), f"{damaged}: {damaged_name(file)} (no partner in {str(source)!r})")
        for file in found.only_damaged
    ]
    names = [entry_name(file, root) for file, _ in found.matched]
    words = "of one relative path, suffix aside"
    return Source(str(source), names, entries, found.split, found.whole, tuple(lonely), words)


def _by_position(clean: Source, damaged: Source) -> Source:
    told, told_too = ((len(s.names), s.whole, s.split in VALIDATION_NAMES or s.split) for s in (clean, damaged))
    if told != told_too:
        raise ValueError(
            f"{clean.where!r} has {told[0]} images in split {clean.split!r}, {damaged.where!r} has {told_too[0]} in "
            f"{damaged.split!r}: pairs are matched by position and need as many of each, in one split"
        )
    entries = (
        (a, (f"{damaged.where}: {b[0]}", b[1])) for (a,), (b,) in zip(clean.entries, damaged.entries, strict=True)
    )
    return Source(clean.where, clean.names, entries, clean.split, clean.whole, matched="of one position")


# --- what there is ---------------------------------------------------------------------------------------------------


def _parts(source: str | Path, split: str) -> tuple[list[Any], str, bool]:
    """The files or data sets of a split, its name, and whether it is still to be cut from them."""
    _check_there(source)
    path = Path(source)
    if path.exists() and not is_saved(path):
        return locate(path, split)
    found = saved(path) if path.exists() else downloaded(str(source))
    if not found:
        raise ValueError(f"{str(source)!r} holds no images")
    return choose(named(found.items()), split, str(source))


def _kind(source: str | Path) -> str:
    """What makes its pairs: "pictures" their names, "rows" their positions."""
    _check_there(source)
    path = Path(source)
    if not path.exists() or is_saved(path):
        return "rows"
    return "rows" if locate(path, "all")[0][0].suffix.lower() in TABLE_SUFFIXES else "pictures"


def _check_there(source: str | Path) -> None:
    """Raise unless it is a path, or could be a name on the hub."""
    path = Path(source)
    if not str(source):
        raise FileNotFoundError("no data at '': give a name or a path, or . for the folder that this runs in")
    if path.exists():
        return
    near = [str(p) for p in path.parent.iterdir() if p != path] if path.parent.is_dir() else []
    meant = astray(str(path)) or suggestion(str(path), [*EMBEDDED, *near])
    if is_hub_name(str(source)) and not meant:
        return
    raise FileNotFoundError(
        f"no data at {str(source)!r}{meant}: expected a folder of images, a .parquet, .npy or .npz file, owner/name of "
        f"the Hugging Face hub, or one of {', '.join(EMBEDDED)}"
    )


def _rows(part: Any, where: str, framing: Framing) -> tuple[list[str], Iterator[Named]]:
    """The names of the pictures in a file or a data set, and the pictures with what they are called."""
    if not isinstance(part, Path):
        return row_names(len(part)), image_rows(part, where)
    name = entry_name(part, _root(Path(where)))
    if part.suffix.lower() == ".parquet":
        number, rows = _parquet_rows(part)
        return row_names(number, name), rows
    if part.suffix.lower() in ARRAY_SUFFIXES:
        images = _read_array(part)
        return row_names(len(images), name), _array_rows(images, part.name, framing)
    return [name], iter([(_namer(Path(where))(part), part)])


def _root(path: Path) -> Path:
    return path.parent if path.is_file() else path


def _namer(path: Path) -> Callable[[Path], str]:
    """How a file is called in messages that name the folder."""
    root = _root(path)
    return lambda file: escape_control(file.relative_to(root).as_posix())


def _parquet_rows(file: Path) -> tuple[int, Iterator[Named]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ModuleNotFoundError('reading parquet needs pyarrow: pip install "colddiff[parquet]"') from None
    try:
        with pq.ParquetFile(file) as table:
            number, schema = table.metadata.num_rows, table.schema_arrow
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(file)!r} is not a readable parquet file: {error}") from None
    columns = [c.name for c in schema if pa.types.is_struct(c.type) and c.type.get_field_index("bytes") >= 0]
    if not columns:
        raise ValueError(f"{str(file)!r} has no column of encoded images, a struct with bytes as the hub writes it")

    def rows() -> Iterator[Named]:
        row = 0
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(columns=columns[:1], batch_size=256):
                for value in batch.column(0).to_pylist():
                    yield f"{file.name} row {row}", (value or {}).get("bytes") or b""
                    row += 1

    return number, rows()


def _array_rows(images: Tensor, where: str, framing: Framing) -> Iterator[Named]:
    return ((f"{where} row {i}", image) for i, image in enumerate(framing.coloured(images)))


def _read_array(file: Path) -> Tensor:
    """(N, C, H, W) uint8."""
    try:
        array = _images_in(file)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"cannot read {str(file)!r} as arrays: {error}") from None
    return _eight_bit(array, repr(str(file)))


def _images_in(file: Path) -> np.ndarray[Any, Any]:
    """The array in a .npy file; of those in a .npz file `images`, `x`, or the first that could be images."""
    with file.open("rb") as stream:
        loaded = np.load(stream, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        for name in dict.fromkeys(("images", "x", *loaded.files)):
            if name in loaded.files and loaded[name].ndim in (3, 4):
                found: np.ndarray[Any, Any] = loaded[name]
                return found
    raise ValueError(f"it holds no array of images, only {', '.join(loaded.files)}")


def _eight_bit(array: np.ndarray[Any, Any], where: str, channels_first: bool = False) -> Tensor:
    """(N, C, H, W) uint8 of an array of uint8, or of floats in [0, 1]."""
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ValueError(f"expected (N, H, W), (N, H, W, C) or (N, C, H, W) in {where}, got {array.shape}")
    if array.ndim == 4 and not channels_first and min(array.shape[1], array.shape[3]) > MOST_CHANNELS:
        raise ValueError(
            f"expected at most {MOST_CHANNELS} channels in axis 1 or in the last of {where}, got {array.shape}: images "
            "of more channels are a tensor (N, C, H, W) for from_images"
        )
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{where} must hold uint8, or floats in [0, 1]; got {array.dtype}")
    if array.dtype != np.uint8:
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # not so for NaN either
            cure = "divide by 255, say" if np.isfinite([low, high]).all() else "NaN and infinity are no pixels"
            raise ValueError(f"floats in {where} must be in [0, 1], got {low:g} to {high:g}: {cure}")
        array = (array * 255.0).round().astype(np.uint8)
    tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    if tensor.dim() == 3:
        return tensor[:, None]
    channels_last = not channels_first and tensor.shape[-1] <= MOST_CHANNELS < tensor.shape[1]
    return tensor.permute(0, 3, 1, 2) if channels_last else tensor
