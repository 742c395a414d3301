"""Colours that fade to grey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from kornia.color import lab_to_rgb, rgb_to_grayscale, rgb_to_lab
from torch import Tensor

from ...utils.config import register
from ...utils.numerics import moved
from ..base import Claims, Images, Params, is_measured
from ..families.blend import Blend
from ..levels import between_levels, level_at, one_if_shared


@register("desaturate")
@dataclass(frozen=True, kw_only=True)
class Desaturate(Blend):
    """x + w (grey - x), grey the weighted sum of the three channels: undone, it is colourisation.

    Grey itself never changes, so that Algorithm 2 keeps the brightness of every pixel (but for what `lab` clips). The
    paper's is `Desaturate(weights=(1 / 3, 1 / 3, 1 / 3), num_steps=20)`.

    Source: Cold Diffusion, decolorization; ITU-R BT.601-7 section 2.5.1 for the default weights, which are kornia's.

    Args:
        weights: what red, green and blue add to grey, summing to 1; (1/3, 1/3, 1/3) is their mean.
        num_steps: T, if there are to be levels; else any severity is w = s.
        keep: the share of the colour that each step keeps, w_k = 1 - keep^k; None removes 1 / T of it at each.
        total_removal: the last step removes all colour that is left; without `keep` it does so anyway.
        lab: what is mixed has gone through Lab and back, which clips it to the colours that exist.

    Raises:
        ValueError: images that have not 3 channels.
    """

    weights: tuple[float, float, float] = (0.299, 0.587, 0.114)
    num_steps: int | None = None
    keep: float | None = None
    total_removal: bool = True
    lab: bool = False

    def check(self) -> None:
        if not all(weight >= 0 for weight in self.weights) or not abs(sum(self.weights) - 1) < 1e-6:
            raise ValueError(f"weights must be three numbers >= 0 that sum to 1, got {self.weights}")
        if self.num_steps is not None and not 1 <= self.num_steps <= 1_000_000:
            raise ValueError(f"num_steps must be in 1 .. 1,000,000, or None, got {self.num_steps}")
        if self.keep is not None and not (self.num_steps is not None and 0 <= self.keep < 1):
            raise ValueError(f"keep must be in [0, 1), with num_steps given, got {self.keep} and {self.num_steps}")

    @property
    def claims(self) -> Claims:
        if self.lab:
            return Claims.MONOTONE | Claims.TRACEABLE
        return Claims.LINEAR | Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE

    @property
    def levels(self) -> int | None:
        return self.num_steps

    def end(self, x: Images, params: Params) -> Tensor:
        return rgb_to_grayscale(x, params["weights"])

    def weight(self, s: Tensor, x: Images, params: Params) -> Tensor:
        return s if self.num_steps is None else between_levels(params["gone"], one_if_shared(s)).view(-1, 1, 1, 1)

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        return self._mixed(x, _through_lab(x), s, params) if self.lab else super().degrade(x, s, params)

    def change(self, x: Images, s: Tensor, r: Tensor, params: Params) -> Images:
        if not self.lab:
            return super().change(x, s, r, params)
        seen = _through_lab(x)
        return self._mixed(x, seen, r, params) - self._mixed(x, seen, s, params)

    @property
    def projectable(self) -> bool:
        return not self.lab

    def projection(self, y: Images, s: Tensor, params: Params, noise: Tensor | float) -> Callable[[Images], Images]:
        """Grey, and what is left of the colour beside it."""
        if self.lab:
            return super().projection(y, s, params, noise)
        gain = 1 - self.weight(s, y, params)
        told = is_measured(gain, noise)

        def of(x: Images) -> Images:
            missing = y - self.degrade(x, s, params)
            grey = self.end(missing, params)
            return x + grey + torch.where(told, (missing - grey) / torch.where(told, gain, 1), 0)

        return of

    def tables(self, like: Images) -> Params:
        if like.shape[1] != 3:
            raise ValueError(f"Desaturate needs images of 3 channels, red, green and blue, got {like.shape[1]}")
        tables = {"weights": moved(torch.tensor(self.weights, dtype=torch.float64), like)}
        return tables if self.num_steps is None else tables | {"gone": moved(self._gone(self.num_steps), like)}

    def _gone(self, num_steps: int) -> Tensor:
        """The share of colour that is gone at levels 0 .. T, (T + 1,) float64."""
        level = torch.arange(num_steps + 1, dtype=torch.float64)
        if self.keep is None:
            return level / num_steps
        return torch.where((level == num_steps) & torch.tensor(self.total_removal), 1, 1 - self.keep**level)

    def _mixed(self, x: Images, seen: Images, s: Tensor, params: Params) -> Images:
        """Up to the first level the line from x, which has not been in Lab, to what that level mixes; then the mix."""
        if self.num_steps is None:
            return torch.where(s > 0, super().degrade(seen, s, params), x)
        level, fraction = level_at(s, self.num_steps)
        mixed = super().degrade(seen, s.clamp(min=1 / self.num_steps), params)
        return torch.lerp(x, mixed, (level.view(-1, 1, 1, 1) + fraction).clamp(max=1))


def _through_lab(x: Images) -> Images:
    return lab_to_rgb(rgb_to_lab(x.clamp(0, 1)))
