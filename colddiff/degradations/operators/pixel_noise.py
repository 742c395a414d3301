"""Noise on 8-bit pixel values, clipped as a camera clips."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ...utils.numerics import computing_dtype
from ...utils.rng import normal
from ..base import Claims, Degradation, Images, Params


@register("pixel_noise")
@dataclass(frozen=True, kw_only=True)
class PixelNoise(Degradation):
    """I' = clip(round(I + s sigma z), 0, 255) on grey levels I = 255 x, with z ~ N(0, 1).

    120 + 20 gives 140, 120 - 50 gives 70, 250 + 20 gives 255: what is clipped is lost, see `clipped_share`.

    Source: the note "Pixel-Level Effects of Adding Noise to Images" that this project was born from.

    Args:
        sigma: standard deviation at t = 1, in grey levels of 255.

    Params: noise z (B, C, H, W), standard normal.
    """

    sigma: float = 50.0

    claims = Claims.MONOTONE

    def check(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma must be > 0 grey levels, got {self.sigma}")

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        pixels = self._noisy(x, s, params).round().clamp(0, 255) / 255
        return torch.where(s > 0, pixels, x)

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        return {"noise": normal(tuple(like.shape), like, generator)}

    def clipped_share(self, x: Images, t: Tensor, params: Params) -> Tensor:
        """The share of values per image, (B,), that fell outside 0 .. 255 and were clipped."""
        s = self.severity(t).to(computing_dtype(x.dtype)).reshape(-1, 1, 1, 1)
        pixels = self._noisy(x, s, params).round()
        return ((pixels < 0) | (pixels > 255)).double().mean(dim=(1, 2, 3))

    def _noisy(self, x: Images, s: Tensor, params: Params) -> Tensor:
        return 255 * x + s * self.sigma * params["noise"]
