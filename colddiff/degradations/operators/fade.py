"""A picture that fades as a whole to one colour."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ...utils.numerics import moved
from ..base import Claims, Images, Params
from ..families.blend import Blend
from ..fill import check_fill, fill_colour
from ..levels import between_levels, one_if_shared


@register("fade")
@dataclass(frozen=True, kw_only=True)
class Fade(Blend):
    """x + w_k (fill - x), w_k = 1 - prod_{i < k} (1 - rate (i + 1)), each factor >= 0.

    Source: upstream's unused scalar fading.

    Args:
        num_steps: T.
        rate: the share of the picture that the first step removes, in (0, 1].
        growing: if false, every step removes the share `rate` of what is left: w_k = 1 - (1 - rate)^k.
        fill: what the picture fades to in [0, 1]: one number, or one per channel.
    """

    num_steps: int = 20
    rate: float = 0.05
    growing: bool = True
    fill: tuple[float, ...] = (0.5,)

    def check(self) -> None:
        check_fill(self.fill)
        if not 1 <= self.num_steps <= 1_000_000:
            raise ValueError(f"num_steps must be in 1 .. 1,000,000, got {self.num_steps}")
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate must be in (0, 1], got {self.rate}")

    @property
    def claims(self) -> Claims:
        smooth = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE | Claims.POINTWISE
        return smooth | Claims.LINEAR if not any(self.fill) else smooth

    @property
    def levels(self) -> int:
        return self.num_steps

    @property
    def prior(self) -> str | None:
        return "constant" if bool(self._weights()[-1] == 1) else None

    def end(self, x: Images, params: Params) -> Tensor:
        return params["fill"]

    def weight(self, s: Tensor, x: Images, params: Params) -> Tensor:
        return between_levels(params["weights"], one_if_shared(s)).view(-1, 1, 1, 1)

    def tables(self, like: Images) -> Params:
        return {"weights": moved(self._weights(), like), "fill": fill_colour(self.fill, like)}

    def _weights(self) -> Tensor:
        """w_0 .. w_T, (T + 1,) float64."""
        steps = torch.arange(1, self.num_steps + 1, dtype=torch.float64) if self.growing else torch.ones(self.num_steps)
        left = (1 - self.rate * steps.double()).clamp(min=0).cumprod(0)
        return torch.cat([left.new_zeros(1), 1 - left])
