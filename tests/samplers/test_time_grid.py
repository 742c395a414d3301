"""Grids of times: as many steps as were asked for, or as there are levels."""

import warnings

import pytest
import torch

from colddiff.degradations import GaussianMask, IteratedBlur
from colddiff.degradations.schedules import Power
from colddiff.samplers.time_grid import grid_within, steps_within, time_grid

EVEN, UNEVEN = (
    GaussianMask(num_steps=8).level_times(),
    IteratedBlur(num_steps=30, schedule=Power(exponent=3)).level_times(),
)


@pytest.mark.parametrize(
    ("start", "levels", "most"),
    [
        (1.0, None, 20), (1.0, EVEN, 8), (0.25, EVEN, 2), (0.25 + 1e-7, EVEN, 2), (0.25 - 1e-7, EVEN, 2),
        (0.01, EVEN, 1), (torch.tensor([0.25, 0.5]), EVEN, 4), (torch.tensor(0.375), EVEN, 3),
    ],
)  # fmt: skip
def test_no_more_steps_are_taken_than_there_are_levels_below_the_start(start, levels, most):
    assert steps_within(20, start, levels) == most and steps_within(1, start, levels) == 1


@pytest.mark.parametrize("start", [0.3, 0.32, 0.51, 0.9])
def test_they_are_the_levels_below_the_one_that_the_start_is_taken_for(start):
    with pytest.warns(UserWarning, match="is between levels"):
        times = grid_within(100, start, EVEN)
    assert torch.equal(times, EVEN[: len(times)].flip(0)) and len(times) == steps_within(100, start, EVEN) + 1


def test_steps_that_nobody_asked_for_are_left_out_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        times = grid_within(20, 1.0, UNEVEN)
    with pytest.warns(UserWarning, match=r"20 steps on 30 levels: only 1\d are distinct"):
        assert torch.equal(time_grid(20, levels=UNEVEN), times)


def test_numbers_that_are_none_stay_errors():
    for steps in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="steps must be a whole number >= 1"):
            grid_within(steps, 1.0, EVEN)
