"""The data sets that come with the library."""

import numpy as np
import pytest
import torch

from colddiff.data import load_data


def test_digits_are_1797_with_a_tenth_held_out():
    train, test, everything = (load_data("digits", split=s) for s in ("train", "test", "all"))
    assert (len(train), len(test), len(everything)) == (1617, 180, 1797)
    assert train.images.shape[1:] == (1, 8, 8) and train.images.dtype == torch.uint8
    assert train.images.max() == 255
    assert train.protocol | {"split": "train", "images": 1617, "resize": "none"} == train.protocol


def test_digits_are_resized_on_request():
    data = load_data("digits", split="test", size=16)
    assert data.images.shape == (180, 1, 16, 16)
    assert "16 px (bilinear" in data.protocol["resize"]


def test_train_and_test_crops_of_a_photo_do_not_share_a_pixel(monkeypatch):
    from skimage import data as bundled
    from sklearn import datasets

    # Every pixel tells its column, so that crops tell where they come from.
    columns = np.broadcast_to(np.arange(227, dtype=np.uint8)[None, :, None], (16, 227, 3)).copy()
    for name in ("astronaut", "cat", "coffee", "rocket"):
        monkeypatch.setattr(bundled, name, lambda: columns, raising=False)
    monkeypatch.setattr(datasets, "load_sample_image", lambda name: columns)
    train, test = (load_data("photos", split=s, size=4).images for s in ("train", "test"))
    assert train.max() < test.min()


def test_photos_are_colour_crops_of_the_size_asked_for():
    data = load_data("photos", split="test", size=48)
    assert data.images.shape[1:] == (3, 48, 48) and len(data) > 20
    with pytest.raises(ValueError, match="smaller size"):
        load_data("photos", split="test", size=2000)
