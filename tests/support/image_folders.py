"""Folders and tables of pictures whose every pixel is their number."""

import io

import numpy as np
import pytest
from PIL import Image

from colddiff.data import load_data


def pictures(folder, n=10, size=(8, 8), mode="RGB", suffix=".png", first=0):
    """n pictures whose every pixel is their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + n):
        Image.new("L", size, i).convert(mode).save(folder / f"{i:03d}{suffix}")
    return folder


def picture(file, level=60, size=(7, 5), mode="L"):
    """A file of one colour."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).convert(mode).save(file)
    return file


def noise(size=(13, 11), seed=0, mode="L"):
    """A picture whose every pixel is drawn."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def numbers(data):
    """The numbers of the pictures in a data set."""
    return sorted(data.images[:, 0, 0, 0].tolist())


def parquet(file, values, column="image"):
    """A table of pictures as the Hugging Face hub writes it; None is a missing picture."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = []
    for value in values:
        stream = io.BytesIO()
        if value is not None:
            Image.new("L", (8, 8), value).save(stream, "PNG")
        rows.append(None if value is None else {"bytes": stream.getvalue(), "path": f"{value}.png"})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"label": list(range(len(rows))), column: pa.array(rows, kind)})
    pq.write_table(table, file, row_group_size=4)


def sides(folder, **options):
    """The numbers of the pictures trained on, and of those held out."""
    return tuple(set(numbers(load_data(folder, split=s, **options))) for s in ("train", "test"))
