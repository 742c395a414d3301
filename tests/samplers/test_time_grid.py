"""Grids of times: as many steps as were asked for, or as there are levels."""

import math
import warnings

import pytest
import torch
from support.comparing import distance

from colddiff import PiecewiseLinear
from colddiff.degradations import GaussianMask, IteratedBlur
from colddiff.degradations.schedules import Power
from colddiff.samplers.time_grid import default_grid, steps_within, time_grid

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
        times = default_grid(100, start, EVEN)
    assert torch.equal(times, EVEN[: len(times)].flip(0)) and len(times) == steps_within(100, start, EVEN) + 1


def test_steps_that_nobody_asked_for_are_left_out_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        times = default_grid(20, 1.0, UNEVEN)
    with pytest.warns(UserWarning, match=r"20 steps on 30 levels: only 1\d are distinct"):
        assert torch.equal(time_grid(20, levels=UNEVEN), times)


def test_numbers_that_are_none_stay_errors():
    for steps in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="steps must be a whole number >= 1"):
            default_grid(steps, 1.0, EVEN)


def test_a_grid_ends_at_zero_in_equal_steps_of_time() -> None:
    assert time_grid(4).tolist() == [1, 0.75, 0.5, 0.25, 0]
    assert time_grid(2, 0.5).tolist() == [0.5, 0.25, 0]
    assert time_grid(2, torch.tensor([1.0, 0.5])).tolist() == [[1, 0.5], [0.5, 0.25], [0, 0]]


def test_a_grid_snaps_to_the_levels_of_an_operator() -> None:
    for op in (IteratedBlur(num_steps=20), IteratedBlur(num_steps=20, schedule=Power())):
        levels = op.level_times()
        times = time_grid(7, levels=levels)
        assert len(times) == 8 and times[0] == 1 and times[-1] == 0
        assert bool(torch.isin(times, levels).all())
    table = IteratedBlur(num_steps=4, schedule=PiecewiseLinear(values=(0.0, 0.1, 1.0)))
    assert distance(table.severity(table.level_times()), torch.arange(5) / 4) < 1e-12


def test_a_grid_drops_duplicate_levels_and_says_so() -> None:
    levels = torch.linspace(0, 1, 4, dtype=torch.float64)
    with pytest.warns(UserWarning, match="8 steps on 3 levels: only 3 are distinct"):
        times = time_grid(8, levels=levels)
    assert torch.equal(times, levels.flip(0))


def test_a_start_below_the_first_level_is_that_level() -> None:
    levels = torch.linspace(0, 1, 11, dtype=torch.float64)
    with pytest.warns(UserWarning, match="between levels"):
        times = time_grid(1, 0.01, levels=levels)
    assert times.tolist() == pytest.approx([0.1, 0])


@pytest.mark.parametrize("steps", [0, -1, 2.0, "3"])
def test_steps_are_a_whole_number(steps) -> None:
    with pytest.raises(ValueError, match="whole number"):
        time_grid(steps)


@pytest.mark.parametrize("start", [0.0, 1.5, math.nan, torch.zeros(2), torch.ones(2, 2)])
def test_a_start_out_of_range_is_refused(start) -> None:
    with pytest.raises(ValueError, match="start must be"):
        time_grid(3, start)
