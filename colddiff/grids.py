"""Grids of times from damaged to clean."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


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
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number >= 1, got {steps!r}")
    begin = torch.as_tensor(start, dtype=torch.float64).cpu()
    if begin.dim() > 1 or not bool(((begin > 0) & (begin <= 1)).all()):
        raise ValueError(f"start must be in (0, 1], one for all or one per image, got {begin.tolist()}")
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64).reshape(-1, *[1] * begin.dim()) * begin
    if levels is None:
        return times
    middles = (levels[1:] + levels[:-1]) / 2
    times = levels[torch.bucketize(times, middles, right=True)]
    times[0] = torch.maximum(times[0], levels[1])  # a start below the first level is that level
    if bool(((times[0] - begin).abs() > 1e-6).any()):
        warnings.warn(f"start {begin.tolist()} is between levels: {times[0].tolist()} is taken", stacklevel=3)
    moved = (times[1:] < times[:-1]).reshape(steps, -1).any(dim=1)
    if not bool(moved.all()):
        warnings.warn(f"{steps} steps on {len(levels) - 1} levels: only {int(moved.sum())} are distinct", stacklevel=3)
    return times[torch.cat([torch.tensor([True]), moved])]


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
