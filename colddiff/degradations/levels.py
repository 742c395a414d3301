"""Degradations with discrete levels: table look-ups, linear between levels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def level_at(s: Tensor, num_levels: int) -> tuple[Tensor, Tensor]:
    """The level at or just below severity s, and how far s is towards the next one.

    A severity within float32 error of a level is that level, so that tables are exact at k / T.

    Args:
        s: severity in [0, 1], shape (B, 1, 1, 1).
        num_levels: T; level 0 is clean.

    Returns:
        level (B,) int64 in 0 .. T and fraction (B, 1, 1, 1) in [0, 1): on a level it is 0.
    """
    position = s * num_levels
    # s may come from a float32 t: its rounding is half a unit of 2^-24 near 1, and the warp may triple it.
    near = num_levels * 2.5e-7
    level = (position + near).floor()
    fraction = F.threshold(position - level, near, 0.0)
    return level.reshape(-1).long().clamp(0, num_levels), fraction


def on_levels(fraction: Tensor) -> bool:
    """Whether the upper levels can be spared: nothing lies between two, as far as a look at it costs nothing.

    A look would make a GPU wait and break a graph; there both levels are taken, with the same result.
    """
    if fraction.device.type != "cpu" or fraction.requires_grad or torch.compiler.is_compiling():
        return False
    return not any(fraction.flatten().tolist())


def between_levels(table: Tensor, s: Tensor) -> Tensor:
    """The rows of a table (T + 1, ...) at severity s (B, 1, 1, 1), linear between levels: (B, ...)."""
    level, fraction = level_at(s, len(table) - 1)
    lower = table.index_select(0, level)
    if on_levels(fraction):
        return lower
    upper = table.index_select(0, (level + 1).clamp(max=len(table) - 1))
    return torch.lerp(lower, upper, fraction.reshape(-1, *[1] * (table.dim() - 1)))


def one_if_shared(s: Tensor) -> Tensor:
    """Severities (B, ...) that are one number for the whole batch by their strides, as (1, ...)."""
    return s[:1] if s.stride(0) == 0 and s.shape[0] > 1 else s
