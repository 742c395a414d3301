"""Fade: what it computes, against a slow twin."""

import pytest
from support.comparing import distance

from colddiff.degradations.operators.fade import Fade


@pytest.mark.parametrize("growing", [False, True])
def test_fading_is_done_step_by_step(growing, images) -> None:
    op, x = Fade(num_steps=8, rate=0.15, growing=growing, fill=(0.2,)), images(2, 1, 3, 4)
    faded = x - 0.2
    for i in range(8):
        faded = faded * max(0.0, 1 - (0.15 * (i + 1) if growing else 0.15))
        assert distance(op(x, (i + 1) / 8), faded + 0.2) < 1e-14
