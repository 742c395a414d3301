"""Uniform noise: the distortion of the note that this project was born from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ...utils.rng import uniform
from ..base import Claims, Degradation, Images, Params


@register("uniform_noise")
@dataclass(frozen=True, kw_only=True)
class UniformNoise(Degradation):
    """x + s u with u ~ U[0, 1) per pixel and channel; wrapped, the sum is taken mod 1.

    Wrapped, the end of the chain is uniform noise whatever the picture was. The byte arithmetic of the note,
    floor(255 (x + s u)) mod 256, is in `examples/aang_sequence.py`.

    Source: RK22000/noisy-image, Image_Distortion.ipynb.

    Args:
        wrap: take the sum mod 1; else it leaves [0, 1].

    Params: u (B, C, H, W) in [0, 1).
    """

    wrap: bool = True

    @property
    def claims(self) -> Claims:
        smooth = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE
        return Claims.TRACEABLE if self.wrap else smooth

    @property
    def prior(self) -> str | None:
        return "uniform" if self.wrap else None

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        noisy = x + s * params["u"]
        # A white pixel is 1 = 0 mod 1: only a clean one may keep it.
        return torch.where(s > 0, noisy - noisy.floor(), x) if self.wrap else noisy

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        return {"u": uniform(tuple(like.shape), like, generator)}

    def estimate(self, x_t: Images, x0: Images, t: Tensor, params: Params) -> Params:
        """u = (x_t - x0) / s; wrapped, the difference is taken mod 1 and u is found up to multiples of 1 / s."""
        s = self.severity(t).to(x_t.dtype).reshape(-1, 1, 1, 1)
        shift = x_t - x0
        if self.wrap:
            shift = shift - shift.floor()
        return {"u": torch.where(s > 0, shift / torch.where(s > 0, s, 1), 0)}
