"""Grids of times from damaged to clean."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import torch
from torch import Tensor

from ..degradations.times import _shortly, float_times

MOST_STEPS = 10**6


def time_grid(steps: int, start: float | Tensor = 1.0, *, levels: Tensor | None = None) -> Tensor:
    """`steps` equal steps of time from `start` to 0, snapped to `levels` (the times of an operator's levels).

    Args:
        steps: at least 1.
        start: in (0, 1], one for all or one per image (B,).
        levels: increasing times of levels 0 .. T, or None for a continuous operator.

    Returns:
        Strictly decreasing times (K + 1,) or (K + 1, B), float64 on the CPU; K < steps, with a warning, where
        several steps fell on one level.
    """
    times = _snapped(steps, start, levels)
    count = operator.index(steps)
    if len(times) <= count:
        assert levels is not None
        told = f"{count} steps on {len(levels) - 1} levels: only {len(times) - 1} are distinct"
        warnings.warn(told, stacklevel=3)
    return times


def default_grid(steps: int, start: float | Tensor, levels: Tensor | None) -> Tensor:
    """`time_grid` of `steps_within`, without a word of steps that fell on one level: nobody asked for so many."""
    return _snapped(steps_within(steps, start, levels), start, levels)


def on_levels(times: Tensor, levels: Tensor) -> Tensor:
    """A grid with its times on the nearest levels, where several fell on one each but once; it begins above 0."""
    return _visited(_nearest(times, levels), levels)


def steps_within(steps: int, start: float | Tensor, levels: Tensor | None) -> int:
    """So many steps, but no more than there are levels from `start` (of several the largest) down to 0."""
    if levels is None:
        return steps
    return min(steps, max(1, int(_nearest(float_times(start).double().cpu(), levels).max())))


def snap_start(t: Tensor, levels: Tensor | None) -> Tensor:
    """The times next to t (B,) from which a grid can start: above 0, and on `levels` where there are some."""
    t = t.double().cpu().clamp(1e-3, 1)
    return t if levels is None else levels[_nearest(t, levels).clamp(min=1)]


def _snapped(steps: int, start: float | Tensor, levels: Tensor | None) -> Tensor:
    """The times of `time_grid`."""
    try:
        count = 0 if isinstance(steps, bool) else operator.index(steps)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"steps must be a whole number >= 1, got {_shortly(steps)}")
    if count > MOST_STEPS:
        raise ValueError(f"steps must be at most {MOST_STEPS:,}, got {_shortly(steps)}")
    begin = float_times(start).double().cpu()
    if begin.dim() > 1 or not bool(((begin > 0) & (begin <= 1)).all()):
        raise ValueError(f"start must be in (0, 1], one for all or one per image, got {begin.tolist()}")
    share = torch.linspace(1, 0, count + 1, dtype=torch.float64).reshape(-1, *[1] * begin.dim())
    if levels is None:
        return share * begin
    # Of as many steps as there are levels each has its own, also where equal times would pass some by.
    every = _nearest(begin, levels) <= count
    even = torch.arange(len(levels), dtype=torch.float64) / (len(levels) - 1)
    number = torch.where(every, _nearest(share * _if_even(begin, levels), even), _nearest(share * begin, levels))
    found = _visited(number, levels)
    if bool(((found[0] - begin).abs() > 1e-6).any()):
        warnings.warn(f"start {begin.tolist()} is between levels: {found[0].tolist()} is taken", stacklevel=4)
    return found


def _visited(numbers: Tensor, levels: Tensor) -> Tensor:
    """The levels of some numbers, in order and each but once, from one above 0."""
    found = levels[numbers]
    found[0] = torch.maximum(found[0], levels[1])  # a start below the first level is that level
    moved = (found[1:] < found[:-1]).reshape(len(found) - 1, -1).any(dim=1)
    return found[torch.cat([torch.tensor([True]), moved])]


def _if_even(times: Tensor, levels: Tensor) -> Tensor:
    """What times would be if levels were evenly spaced."""
    above = torch.searchsorted(levels, times.contiguous()).clamp(1, len(levels) - 1)
    low, high = levels[above - 1], levels[above]
    return (above - 1 + (times - low) / (high - low)) / (len(levels) - 1)


def _nearest(times: Tensor, levels: Tensor) -> Tensor:
    """The numbers of the levels next to some times; of two as near, the higher."""
    return torch.bucketize(times, (levels[1:] + levels[:-1]) / 2, right=True)


def checked_grid(times: Any, start: object, steps: object, batch: int) -> Tensor:
    """A grid of one's own as a tensor, checked; it takes the place of start and steps, which are to be left out."""
    if start is not None or steps is not None:
        raise ValueError("times say where a restore begins and by which steps: leave start and steps out")
    grid = float_times(times)
    check_grid(grid, batch)
    return grid


def check_grid(times: Tensor, batch: int) -> None:
    """Raise unless times are a decreasing grid in [0, 1], (K + 1,) or (K + 1, batch)."""
    if times.dim() not in (1, 2) or len(times) < 2 or (times.dim() == 2 and times.shape[1] not in (1, batch)):
        raise ValueError(
            f"times must be (K + 1,), or (K + 1, {batch}) with a column per image, got {tuple(times.shape)}"
        )
    rows = times.detach().cpu().reshape(len(times), -1)
    falls = rows[1:] < rows[:-1]
    # Columns snapped to levels may stand still while others move.
    if not bool((falls.any(dim=1) & (rows[1:] <= rows[:-1]).all(dim=1)).all()):
        raise ValueError(f"times must decrease strictly from damaged to clean, got {times.tolist()}")
    if not bool(((rows >= 0) & (rows <= 1)).all()):
        raise ValueError(f"times must be in [0, 1], got {times.tolist()}")
