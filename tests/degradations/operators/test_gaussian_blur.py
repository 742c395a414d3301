"""Gaussian blur: what it computes, against a slow twin."""

import pytest
import scipy.special
import torch
from support.comparing import distance
from support.operators import convolved
from torch import Tensor

from colddiff import GaussianBlur
from colddiff.utils import table_cache

BORDERS = ("reflect", "circular", "symmetric")


def bessel_kernel(variance: float, radius: int) -> Tensor:
    """The discrete Gaussian e^-v I_n(v)."""
    return torch.from_numpy(scipy.special.ive(range(-radius, radius + 1), variance))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 2.5])
def test_gaussian_blur_is_convolution_by_the_discrete_gaussian(sigma, border, images) -> None:
    x = images(2, 1, 40, 33)
    expected = convolved(x, bessel_kernel(sigma**2, 30), border)
    assert distance(GaussianBlur(sigma_max=sigma, border=border)(x, 1.0), expected) < 1e-12


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("sigma", [0.5, 12.0])
def test_gaussian_blur_equals_a_hundred_small_ones(sigma, border, images) -> None:
    x = images(1, 3, 15, 22)
    small, chain = GaussianBlur(sigma_max=sigma / 10, border=border), x
    for _ in range(100):
        chain = small(chain, 1.0)
    assert distance(GaussianBlur(sigma_max=sigma, border=border)(x, 1.0), chain) < 1e-12


@pytest.mark.parametrize("border", BORDERS)
def test_gaussian_blur_of_large_pictures_equals_the_spectral_form(border, images, monkeypatch) -> None:
    x, t = images(3, 2, 21, 14), torch.tensor([0.0, 0.01, 1.0])
    op = GaussianBlur(sigma_max=3, border=border)
    expected = op(x, t)
    monkeypatch.setattr(GaussianBlur, "largest_side", 8)
    monkeypatch.setattr(table_cache, "_TABLES", {})
    assert torch.equal(op(x, t)[0], x[0])
    assert distance(op(x, t), expected) < 1e-6
