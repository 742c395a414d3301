"""What a data set is, whatever it is made of."""

import warnings

import pytest
from PIL import Image
from support.image_folders import pictures

from colddiff.data import load_data


def test_a_large_folder_of_every_kind_of_file_with_one_percent_broken_is_read(tmp_path):
    for i in range(200):
        mode, suffix = [("RGB", ".jpg"), ("P", ".png"), ("RGBA", ".webp"), ("L", ".bmp"), ("1", ".tif")][i % 5]
        Image.new("L", (9 + i % 3, 8), 255).convert(mode).save(tmp_path / f"{i:03d}{suffix}")
    for i in (50, 100):
        (tmp_path / f"{i:03d}.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.warns(UserWarning, match=r"left out 2 of 200 .*050\.jpg .*100\.jpg"):
        data = load_data(tmp_path, split="all", size=4)
    assert data.images.shape == (198, 3, 4, 4) and data.images.min() > 250


def test_pictures_of_several_sizes_ask_for_one(tmp_path):
    pictures(tmp_path, 2)
    pictures(tmp_path, 2, size=(9, 8), first=2)
    with pytest.raises(ValueError, match=r"differ in size.*--image-size"):
        load_data(tmp_path)
    assert load_data(tmp_path, size=6, split="all").images.shape == (4, 3, 6, 6)


def test_grey_and_colour_together_become_colour(tmp_path):
    pictures(tmp_path, 2, mode="L")
    assert load_data(tmp_path, split="all").images.shape[1] == 1
    pictures(tmp_path, 2, first=2)
    assert load_data(tmp_path, split="all").images.shape[1] == 3


def test_reading_a_folder_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_data(pictures(tmp_path, 10))
