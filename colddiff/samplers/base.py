"""What a sampler is: its state, its restorer, its signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..degradations.base import BoundDegradation, Images
from ..utils.rng import Generators

Restorer = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class State:
    """Where a sampler stands after a step.

    Args:
        x: the image at time t, (B, C, H, W); not clamped.
        x0: the restorer's answer that led here, (B, C, H, W).
        t: the time of x, (B,).
    """

    x: Tensor
    x0: Tensor
    t: Tensor


class Sampler(Protocol):
    """A generator function that yields a `State` at each time of an explicit grid but the first.

    Args:
        R: any callable `(x, t) -> x0_hat` with t (B,).
        D: a degradation bound to the params of x.
        x: images (B, C, H, W) at times[0]; not written to.
        times: decreasing from damaged to clean, (K + 1,) or one column per image (K + 1, B).
        generator: of the sampler's own noise, if it has any: a CPU generator, or one per image.
    """

    def __call__(
        self, R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
    ) -> Iterator[State]: ...
