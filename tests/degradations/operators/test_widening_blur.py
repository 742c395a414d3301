"""Widening blur: what it computes, against a slow twin."""

import pytest
import torch
from support.operators import convolved_2d, gaussian_2d

from colddiff.degradations.operators.widening_blur import WideningBlur


@pytest.mark.parametrize("size", [(32, 24), (5, 8)], ids=str)
def test_a_widening_blur_is_one_kernel_at_each_level(size, images) -> None:
    x, T = images(2, 1, *size), 7
    assert torch.equal(WideningBlur(num_steps=T)(x, 1 / T), x)
    for i in range(T):
        kernel = gaussian_2d(2 * i + 1, 2 * (2 * i + 1))
        assert (WideningBlur(num_steps=T)(x, (i + 1) / T) - convolved_2d(x, kernel, "circular")).abs().max() < 1e-13, i
