"""What the transforms of other libraries draw for a degradation: times in a range, then its params."""

from __future__ import annotations

import torch
from torch import Tensor

from ..degradations.base import Degradation, Images, Params

Times = float | tuple[float, float]


def time_range(t: Times) -> tuple[float, float]:
    """The lowest and the highest of the times that are drawn.

    Raises:
        ValueError: not one number in [0, 1], nor two that do not fall.
    """
    low, high = t if isinstance(t, tuple | list) and len(t) == 2 else (t, t)
    if not all(isinstance(v, float | int) for v in (low, high)) or not 0 <= low <= high <= 1:
        raise ValueError(f"t must be a time in [0, 1], or two, low and high, got {t!r}")
    return float(low), float(high)


def drawn(
    degradation: Degradation, like: Images, times: tuple[float, float], generator: torch.Generator | None
) -> tuple[Tensor, Params]:
    """Times (B,), evenly in a range, and params of the images."""
    low, high = times
    t = low + (high - low) * torch.rand(len(like), generator=generator)
    return t, degradation.draw(like, generator)


def check_known(degradation: Degradation) -> None:
    """Raise for a degradation whose params come with the data."""
    if degradation.required_params:
        raise ValueError(
            f"{type(degradation).__name__} needs the {', '.join(degradation.required_params)} of each image, which a "
            "transform of one has not: use a degradation that draws all it needs"
        )
