"""Parquet shards, here or on the Hugging Face hub: pictures in a column, read a row group at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...utils.huggingface import HUB_NAME, line_of, silenced
from ...utils.progress import Progress
from ..huggingface import datasets_package
from ..splits import entry_name, row_names
from .shards import CACHE_BYTES, WINDOW, HeldOutIndex, LRUCache, with_retries

FOOTERS = 16  # read at a time


@dataclass(frozen=True)
class Footer:
    """What the end of a parquet file tells: its columns of encoded images, and rows and bytes of every row group."""

    column: str
    rows: list[int]
    sizes: list[int]


class Tables:
    """`Shards` of parquet files; a block is a row group.

    Args:
        where: what they are of, for messages.
        files: paths, or addresses that fsspec opens.
        footers: of the files.
    """

    def __init__(self, where: str, files: Sequence[str | Path], footers: Sequence[Footer]) -> None:
        self.where, self.files, self.footers = where, files, footers
        self.groups = [(i, k) for i, footer in enumerate(footers) for k in range(len(footer.rows))]
        self.first = [0, *accumulate(n for footer in footers for n in footer.rows)]
        self.blocks = torch.tensor(self.first)
        self.weights = torch.tensor([size for footer in footers for size in footer.sizes], dtype=torch.int64)
        told = [(_base(file), footer) for file, footer in zip(files, footers, strict=True)]
        self.digest = blake2b(repr(told).encode(), digest_size=8).hexdigest()
        # Room for two windows, as a batch may lie in both; what was read before them is not needed again.
        window = WINDOW * int(self.weights.sum()) // max(len(self), 1) + max(self.weights.tolist(), default=0)
        self.recent = LRUCache(self._column, min(CACHE_BYTES, 2 * window))

    def __len__(self) -> int:
        return self.first[-1]

    def raw(self, row: int) -> bytes:
        block, within = self._place(row)
        return self.recent[block][within].as_py() or b""

    def name(self, row: int) -> str:
        block, _ = self._place(row)
        file, group = self.groups[block]
        return f"{_base(self.files[file])} row {row - self.first[block - group]}"

    def _place(self, row: int) -> tuple[int, int]:
        """The block of a row, and which row of the block it is."""
        block = bisect_right(self.first, row) - 1
        return block, row - self.first[block]

    def _column(self, block: int) -> Any:
        """The encoded images of a row group: an array of Arrow."""
        number, group = self.groups[block]
        file, footer = self.files[number], self.footers[number]

        def read() -> Any:
            with _opened(file) as table:
                if table.metadata.row_group(group).num_rows != footer.rows[group]:
                    raise OSError("its row groups are no longer those that they were")
                return table.read_row_group(group, [f"{footer.column}.bytes"], use_threads=False)

        return with_retries(read, file).column(0).flatten()[0]


def index_tables(files: Sequence[str | Path], root: Path | None, where: str) -> tuple[Tables, Tensor]:
    """The pictures in parquet files, and which of them are held out where nothing tells, (N,) bool.

    Args:
        files: paths, or addresses that fsspec opens.
        root: the folder that names rows, as `load_data` does; of the hub None: there they are counted through.
        where: what they are of, for messages.

    Raises:
        ValueError: a file is broken, or has no column of images. OSError: it could not be had.
    """
    with ThreadPoolExecutor(FOOTERS) as pool:
        told = pool.map(footer_of, files)
        bar = Progress(told, f"indexing {Path(where).name}", len(files), unit="shards", delay=1)
        tables = Tables(where, files, [*bar])
    aside = HeldOutIndex()
    for name in _names(tables, root):
        aside.add(name)
    return tables, aside.rows()


def _names(tables: Tables, root: Path | None) -> Iterator[str]:
    if root is None:
        yield from (f" {row}" for row in range(len(tables)))
        return
    for file, footer in zip(tables.files, tables.footers, strict=True):
        yield from row_names(sum(footer.rows), entry_name(Path(file), root))


def footer_of(file: str | Path) -> Footer:
    """Where the encoded images of a parquet file are.

    Raises:
        ValueError: it is broken, or has no column of images. OSError: it could not be had.
    """
    pa = _pyarrow()

    def read() -> tuple[Any, Any] | str:
        try:
            with _opened(file) as table:
                return table.schema_arrow, table.metadata
        except pa.ArrowInvalid as error:
            return str(error)

    found = with_retries(read, file)
    if isinstance(found, str):
        raise ValueError(f"{str(file)!r} is not a readable parquet file: {found}")
    schema, metadata = found
    columns = [c.name for c in schema if pa.types.is_struct(c.type) and c.type.get_field_index("bytes") >= 0]
    if not columns:
        raise ValueError(f"{str(file)!r} has no column of encoded images, a struct with bytes as the hub writes it")
    path = f"{columns[0]}.bytes"
    groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
    chunks = [next(c for c in map(g.column, range(g.num_columns)) if c.path_in_schema == path) for g in groups]
    return Footer(columns[0], [g.num_rows for g in groups], [c.total_uncompressed_size for c in chunks])


def hub_files(name: str) -> dict[str, list[str]]:
    """The addresses of the parquet files of owner/name or owner/name:config, by split; nothing is downloaded.

    Raises:
        FileNotFoundError: it cannot be had. ValueError: it has other files. ModuleNotFoundError: without datasets.
    """
    datasets, found = datasets_package(name), HUB_NAME.fullmatch(name)
    _pyarrow()
    assert found
    try:
        with silenced(datasets):
            told = datasets.load_dataset_builder(found[1], found[2]).config.data_files
    except Exception as error:  # of the network, the hub and datasets: they share no base
        raise FileNotFoundError(
            f"no data at {name!r}: expected shards here, or owner/name[:config] of the Hugging Face hub, which gave "
            f"{line_of(error)}; check the name and the connection, or give the path of a copy"
        ) from None
    files = {str(split): [str(file) for file in group] for split, group in (told or {}).items()}
    other = [file for group in files.values() for file in group if not file.endswith(".parquet")]
    if other or not any(files.values()):
        raise ValueError(
            f"{name!r} cannot be streamed from the hub: expected parquet files, it has {[*other, 'none'][0]}; download "
            "it and give its folder, of .tar or .parquet shards"
        )
    return files


@contextmanager
def _opened(file: str | Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    if isinstance(file, Path):
        with pq.ParquetFile(file) as table:
            yield table
        return
    import fsspec

    # Arrow asks for the ranges that it needs; what fsspec would read ahead of them is not among those.
    system, path = fsspec.core.url_to_fs(file)
    with system.open(path, "rb", cache_type="none") as stream, pq.ParquetFile(stream, pre_buffer=True) as table:
        yield table


def _base(file: str | Path) -> str:
    return str(file).replace("\\", "/").rpartition("/")[2]


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ModuleNotFoundError('reading parquet needs pyarrow: pip install "colddiff[parquet]"') from None
    return pyarrow
