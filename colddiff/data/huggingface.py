"""Data sets of the Hugging Face hub or on disk as its `datasets` writes them, as encoded images by split."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ..utils.huggingface import HUB_NAME, line_of, silenced


def is_hub_name(source: str) -> bool:
    """Whether it could be owner/name or owner/name:config, rather than a path: one slash, no suffix, no leading dot."""
    found = HUB_NAME.fullmatch(source)
    return found is not None and not re.fullmatch(r"\.[A-Za-z]\w*", Path(found[1]).suffix)


def is_saved(path: Path) -> bool:
    """Whether `save_to_disk` wrote that folder."""
    alone = all((path / name).is_file() for name in ("dataset_info.json", "state.json"))
    return alone or (path / "dataset_dict.json").is_file()


def saved(path: Path) -> dict[str, Any]:
    """The data sets in a folder that `save_to_disk` wrote, by split; the name of one alone is empty.

    Raises:
        ValueError: broken. ModuleNotFoundError: without datasets.
    """
    datasets = datasets_package(str(path))
    try:
        with silenced(datasets):
            return _by_split(datasets.load_from_disk(str(path)))
    except Exception as error:  # of Arrow, of JSON and of datasets: they share no base
        raise ValueError(
            f"{str(path)!r} cannot be read as a data set of the datasets package: {line_of(error)}"
        ) from None


def downloaded(name: str) -> dict[str, Any]:
    """The splits of owner/name or owner/name:config; nothing that comes with a data set is executed.

    Raises:
        FileNotFoundError: it cannot be had. ModuleNotFoundError: without datasets.
    """
    datasets = datasets_package(name)
    found = HUB_NAME.fullmatch(name)
    assert found
    try:
        with silenced(datasets, bars=sys.stderr.isatty()):
            return _by_split(datasets.load_dataset(found[1], found[2]))
    except Exception as error:  # of the network, the hub and datasets: they share no base
        raise FileNotFoundError(
            f"no data at {name!r}: expected a folder or file here, or owner/name[:config] of the Hugging Face hub, "
            f"which gave {line_of(error)}; check the name and the connection, or give the path of a copy"
        ) from None


def image_rows(dataset: Any, where: str) -> Iterator[tuple[str, bytes | Path]]:
    """Name and encoded image of every row, undecoded: how pictures are read is ours to say.

    Raises:
        ValueError: it has no column of images.
    """
    datasets = datasets_package(where)
    column = next((name for name, kind in dataset.features.items() if isinstance(kind, datasets.Image)), None)
    if column is None:
        columns = ", ".join(f"{name} ({type(kind).__name__})" for name, kind in dataset.features.items())
        raise ValueError(f"{where!r} has no column of images, only {columns}")
    with silenced(datasets):
        encoded = dataset.select_columns([column]).cast_column(column, datasets.Image(decode=False))

    def rows() -> Iterator[tuple[str, bytes | Path]]:
        for row, values in enumerate(encoded):
            value = values[column] or {}
            data, path = value.get("bytes"), value.get("path")
            yield f"row {row}", Path(path) if data is None and path else data or b""

    return rows()


def _by_split(found: Any) -> dict[str, Any]:
    return dict(found) if isinstance(found, dict) else {"": found}


def datasets_package(what: str) -> Any:
    try:
        return import_module("datasets")  # it has no types
    except ImportError:
        raise ModuleNotFoundError(f'reading {what!r} needs datasets: pip install "colddiff[datasets]"') from None
