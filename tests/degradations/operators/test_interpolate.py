"""Interpolate: what it computes, against a slow twin."""

import torch
from support.comparing import distance

from colddiff import Interpolate, PixelMask


def test_interpolate_ends_at_the_other_degradation(images) -> None:
    x = images(2, 3, 8, 6)
    to = PixelMask()
    op, params = Interpolate(to=to), to.draw(x, torch.Generator().manual_seed(0))
    assert distance(op(x, 1.0, params), to(x, 1.0, params)) < 1e-15
    assert distance(op(x, 0.25, params), 0.75 * x + 0.25 * to(x, 1.0, params)) < 1e-15
