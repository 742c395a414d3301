"""Folders, tables and arrays of pictures."""

import os

import numpy as np
import pytest
from support.image_folders import numbers, parquet, pictures

from colddiff.data import load_data


def test_a_folder_is_read_at_any_depth_whatever_the_case_of_its_suffixes(tmp_path):
    pictures(tmp_path, 3)
    pictures(tmp_path / "deep" / "er", 3, first=3, suffix=".PNG")
    pictures(tmp_path, 1, first=200, suffix=".JPG")
    (tmp_path / "notes.txt").write_text("not an image")
    assert numbers(load_data(tmp_path, split="all")) == [0, 1, 2, 3, 4, 5, 200]


def test_hidden_files_are_not_data(tmp_path):
    pictures(tmp_path, 4)
    (tmp_path / "._000.png").write_bytes(b"a Mac's notes on a file")
    pictures(tmp_path / ".ipynb_checkpoints", 2, first=100)
    assert numbers(load_data(tmp_path, split="all")) == [0, 1, 2, 3]


def test_links_to_pictures_and_to_the_folder_are_followed(tmp_path):
    there = pictures(tmp_path / "there", 3)
    (tmp_path / "here").mkdir()
    for file in there.iterdir():
        os.symlink(file, tmp_path / "here" / file.name)
    os.symlink(tmp_path / "here", tmp_path / "link")
    assert numbers(load_data(tmp_path / "link", split="all")) == [0, 1, 2]


def test_a_folder_that_links_to_itself_is_read_once(tmp_path):
    pictures(tmp_path / "data", 3)
    os.symlink(tmp_path / "data", tmp_path / "data" / "again")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "data" / "broken.png")
    assert numbers(load_data(tmp_path / "data", split="all")) == [0, 1, 2]


def test_an_empty_folder_and_a_wrong_path_say_what_was_expected(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images, \.parquet"):
        load_data(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="did you mean 'digits'"):
        load_data("digts")
    with pytest.raises(FileNotFoundError, match=r"did you mean '.*empty'"):
        load_data(tmp_path / "emtpy")
    (tmp_path / "data.zip").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot read 'data\.zip'"):
        load_data(tmp_path / "data.zip")


def test_parquet_shards_are_read_together_by_split(tmp_path):
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", range(6))
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", range(6, 10))
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", range(50, 53))
    (tmp_path / "README.md").write_text("a card")
    pictures(tmp_path / "assets", 1, first=99)
    assert numbers(load_data(tmp_path, split="train")) == list(range(10))
    assert numbers(load_data(tmp_path, split="test")) == [50, 51, 52]
    assert numbers(load_data(tmp_path, split="all")) == [*range(10), 50, 51, 52]


def test_parquet_files_in_folders_named_as_splits_do_not_mix(tmp_path):
    parquet(tmp_path / "default" / "train" / "0000.parquet", range(4))
    parquet(tmp_path / "default" / "test" / "0000.parquet", range(50, 53))
    assert numbers(load_data(tmp_path, split="train")) == list(range(4))
    assert numbers(load_data(tmp_path, split="test")) == [50, 51, 52]


def test_a_parquet_file_finds_the_other_split_beside_it(tmp_path):
    parquet(tmp_path / "train.parquet", range(10))
    assert len(load_data(tmp_path / "train.parquet", split="test")) == 1
    parquet(tmp_path / "test.PARQUET", range(50, 53))
    assert numbers(load_data(tmp_path / "train.parquet", split="train")) == list(range(10))
    assert numbers(load_data(tmp_path / "train.parquet", split="test")) == [50, 51, 52]
    assert numbers(load_data(tmp_path / "test.PARQUET", split="train")) == list(range(10))
    assert numbers(load_data(tmp_path, split="test")) == [50, 51, 52]


def test_a_test_file_alone_does_not_serve_for_training(tmp_path):
    parquet(tmp_path / "test.parquet", range(5))
    with pytest.raises(LookupError, match="no split 'train'; it has test"):
        load_data(tmp_path / "test.parquet")


def test_a_missing_picture_in_a_table_is_left_out(tmp_path):
    parquet(tmp_path / "train.parquet", [*range(20), None], column="img")
    with pytest.warns(UserWarning, match=r"train\.parquet row 20"):
        assert numbers(load_data(tmp_path, split="all")) == list(range(20))


def test_a_table_without_pictures_or_no_table_at_all_is_named(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"label": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet' has no column of encoded images"):
        load_data(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1, not")
    with pytest.raises(ValueError, match=r"b\.parquet' is not a readable parquet file"):
        load_data(tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((10, 6, 7), (1, 6, 7)), ((10, 6, 7, 3), (3, 6, 7)), ((10, 3, 6, 7), (3, 6, 7)), ((10, 6, 7, 1), (1, 6, 7)),
     ((10, 1, 6, 7), (1, 6, 7)), ((10, 6, 7, 4), (4, 6, 7)), ((10, 2, 6, 7), (2, 6, 7))],
)  # fmt: skip
def test_arrays_come_with_channels_first_last_or_without(shape, expected, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.save(tmp_path / "a.npy", array)
    data = load_data(tmp_path / "a.npy", split="all")
    assert data.images.shape == (10, *expected)
    assert load_data(tmp_path / "a.npy", split="all", size=5).images.shape == (10, expected[0], 5, 5)
    last = array if array.ndim == 3 else array.reshape(10, -1) if shape[1:] == expected else array.transpose(0, 3, 1, 2)
    assert (data.images.numpy().reshape(10, -1) == last.reshape(10, -1)).all()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_in_0_1_are_rounded_to_8_bits(kind, tmp_path):
    np.save(tmp_path / "a.npy", (np.arange(256, dtype=np.float64) / 255).reshape(4, 8, 8).astype(kind))
    assert load_data(tmp_path / "a.npy", split="all").images.flatten().tolist() == list(range(256))


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan, np.inf])
def test_floats_out_of_range_are_refused_with_their_range(value, tmp_path):
    array = np.zeros((4, 8, 8), np.float32)
    array[0, 0, 0] = value
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=r"floats in .*a\.npy' must be in \[0, 1\], got"):
        load_data(tmp_path / "a.npy")


def test_npz_files_are_split_by_name_and_other_arrays_in_them_ignored(tmp_path):
    images = np.zeros((4, 8, 8), np.uint8)
    np.savez(tmp_path / "train.npz", labels=np.arange(4), images=images + 1)
    np.savez(tmp_path / "test.npz", labels=np.arange(4), x=images + 2)
    assert set(numbers(load_data(tmp_path, split="train"))) == {1}
    assert set(numbers(load_data(tmp_path / "train.npz", split="test"))) == {2}
    np.savez(tmp_path / "labels.npz", labels=np.arange(4))
    with pytest.raises(ValueError, match="no array of images, only labels"):
        load_data(tmp_path / "labels.npz")


def test_several_arrays_of_different_sizes_ask_for_one(tmp_path):
    for i, side in enumerate((6, 8)):
        np.save(tmp_path / f"{i}.npy", np.zeros((4, side, side), np.uint8))
    with pytest.raises(ValueError, match="differ in size"):
        load_data(tmp_path)
    assert load_data(tmp_path, split="all", size=8).images.shape == (8, 1, 8, 8)


@pytest.mark.parametrize(
    "name", ["object.npy", "object.npz", "text.npy", "short.npy", "bad.npz", "flat.npy", "int.npy"]
)
def test_arrays_that_cannot_be_images_are_refused_in_one_sentence(name, tmp_path):
    file = tmp_path / name
    if name == "object.npy":
        np.save(file, np.array([object()]), allow_pickle=True)
    elif name == "object.npz":
        np.savez(file, images=np.array([object()]), allow_pickle=True)
    elif name == "flat.npy":
        np.save(file, np.zeros(5, np.uint8))
    elif name == "int.npy":
        np.save(file, np.zeros((4, 8, 8), np.int64))
    else:
        file.write_bytes({"text.npy": b"hello", "short.npy": b"\x93NUMPY\x01\x00", "bad.npz": b"PK\x03\x04zip"}[name])
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as caught:
        load_data(file)
    assert "\n" not in str(caught.value)
