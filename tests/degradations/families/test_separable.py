"""Separable: what it computes, against a slow twin."""

import pytest
import torch
from support.comparing import distance

from colddiff import GaussianBlur, IteratedBlur

BORDERS = ("reflect", "circular", "symmetric")


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kind", [GaussianBlur, IteratedBlur])
def test_blurs_in_float32_lose_nothing_but_rounding(kind, border, images) -> None:
    x, op = images(2, 3, 64, 49), kind(border=border)
    for t in (0.05, 0.5, 1.0):
        assert distance(op(x.float(), t).double(), op(x, t)) < 1.5e-6


@pytest.mark.parametrize("op", [GaussianBlur(sigma_max=5), IteratedBlur(num_steps=5)], ids=["gaussian", "iterated"])
def test_blurs_keep_a_flat_picture(op) -> None:
    flat = torch.full((1, 1, 7, 9), 0.3, dtype=torch.float64)
    assert distance(op(flat, 1.0), flat) < 1e-12
