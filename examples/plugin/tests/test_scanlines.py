"""What colddiff asks of every degradation, asked of this one."""

import torch
from colddiff_scanlines import Scanlines

import colddiff as cd
from colddiff.testing import DegradationContract


class TestScanlines(DegradationContract):
    examples = [Scanlines()]


def test_the_dark_rows_are_black_and_the_others_untouched():
    x = torch.rand(2, 3, 4, 5)
    dark = cd.degradation("scanlines")(x, 1.0, {"first": torch.tensor([0, 1]).reshape(2, 1, 1, 1)})
    assert torch.equal(dark[0, :, ::2], torch.zeros(3, 2, 5)) and torch.equal(dark[0, :, 1::2], x[0, :, 1::2])
    assert torch.equal(dark[1, :, 1::2], torch.zeros(3, 2, 5)) and torch.equal(dark[1, :, ::2], x[1, :, ::2])
