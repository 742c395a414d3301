"""Pixelate: what it computes, against a slow twin."""

import math

import pytest
import torch
from support.comparing import distance
from torch import Tensor

from colddiff import Pixelate
from colddiff.utils import table_cache


def block_means(x: Tensor, size: int) -> Tensor:
    expected = torch.empty_like(x)
    for i in range(0, x.shape[-2], size):
        for j in range(0, x.shape[-1], size):
            block = x[:, :, i : i + size, j : j + size]
            expected[:, :, i : i + size, j : j + size] = block.mean(dim=(2, 3), keepdim=True)
    return expected


@pytest.mark.parametrize("largest_matrix", [64, 0], ids=["matrices", "pyramid"])
@pytest.mark.parametrize(("h", "w"), [(8, 8), (7, 11), (1, 5), (13, 6)])
def test_pixelate_is_the_block_means_at_each_block_size_and_straight_between(
    h, w, largest_matrix, images, monkeypatch
) -> None:
    monkeypatch.setattr(Pixelate, "largest_side", largest_matrix)
    monkeypatch.setattr(table_cache, "_TABLES", {})
    x = images(2, 2, h, w)
    halvings = math.ceil(math.log2(max(h, w)))
    for k in range(halvings + 1):
        assert distance(Pixelate()(x, k / halvings), block_means(x, 2**k)) < 1e-12
    between = torch.lerp(block_means(x, 2), block_means(x, 4), 0.3)
    assert distance(Pixelate()(x, 1.3 / halvings), between) < 1e-12


def test_pixelate_ends_in_one_colour(images) -> None:
    x = images(2, 3, 9, 14)
    assert distance(Pixelate()(x, 1.0), x.mean(dim=(2, 3), keepdim=True).expand_as(x)) < 1e-12


@pytest.mark.parametrize("side", [5, 16, 41])
def test_a_largest_block_means_the_same_at_every_image_size(side, images) -> None:
    x = images(1, 1, side, side + 3)
    for k in range(4):
        assert distance(Pixelate(largest=8)(x, k / 3), block_means(x, 2**k)) < 1e-12
    with pytest.raises(ValueError, match="power of two"):
        Pixelate(largest=6)


def test_pixelate_of_one_pixel_is_that_pixel(images) -> None:
    x = images(2, 3, 1, 1)
    assert distance(Pixelate()(x, 0.7), x) < 1e-15
