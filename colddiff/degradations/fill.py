"""Fill colours of masks."""

from __future__ import annotations

import torch
from torch import Tensor

from ..utils.numerics import moved


def check_fill(fill: tuple[float, ...]) -> None:
    """Raise unless a fill colour is one or several numbers in [0, 1]."""
    if not fill or not all(0 <= value <= 1 for value in fill):
        raise ValueError(f"fill must be one number, or one per channel, in [0, 1], got {str(fill)[:100]}")


def fill_colour(fill: tuple[float, ...], like: Tensor) -> Tensor:
    """A fill colour as (1, C or 1, 1, 1): one number for all channels, or one per channel."""
    if len(fill) not in (1, like.shape[1]):
        raise ValueError(f"fill must have 1 number or one per channel, {like.shape[1]}, got {fill}")
    return moved(torch.tensor(fill, dtype=torch.float64).view(1, -1, 1, 1), like)
