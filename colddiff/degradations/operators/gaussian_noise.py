"""Gaussian noise: the "hot" diffusion that the cold ones are compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ...utils.rng import normal
from ..base import Claims, Images, Params
from ..families.variance_preserving import VariancePreserving
from ..levels import between_levels


@register("gaussian_noise")
@dataclass(frozen=True, kw_only=True)
class GaussianNoise(VariancePreserving):
    """Variance-preserving noise: c_t = sqrt(ab_t) c_0 + sqrt(1 - ab_t) z, with c = 2 x - 1 the centred image.

    Ends in c ~ N(0, I), that is x ~ N(1/2, 1/4), up to the last alpha_bar of the table.

    Source: Ho et al. 2020, equation 4; Cold Diffusion section 3.3 with z kept along a trajectory.

    Params: noise z (B, C, H, W), standard normal.
    """

    prior = "standard_normal"
    claims = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE

    @property
    def param_shapes(self) -> dict[str, tuple[int | str, ...]]:
        return {"noise": ("C", "H", "W")}

    def end(self, params: Params) -> Tensor:
        return params["noise"]

    def params_of(self, end: Tensor) -> Params:
        return {"noise": end}

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        return {"noise": normal(tuple(like.shape), like, generator)}

    def refresh(self, params: Params, t: Tensor, s: Tensor, eta: float, noise: Tensor) -> Params:
        """z' = sqrt(1 - rho^2) z + rho w: DDIM's eta; DDPM's posterior at eta = 1.

        Source: Song et al. 2021, equation 16, with sigma = rho sqrt(1 - ab_s).
        """
        ab_t, ab_s = (
            between_levels(params["amplitudes"], self.severity(time).reshape(-1, 1, 1, 1)) ** 2 for time in (t, s)
        )
        rho = eta * torch.sqrt((1 - ab_t / ab_s) / (1 - ab_t).clamp(min=1e-300)).clamp(max=1)
        rho = rho.to(noise.dtype).reshape(-1, 1, 1, 1)
        return {"noise": torch.sqrt(1 - rho**2) * params["noise"] + rho * noise}

    def noise_scale(self, s: Tensor, params: Params) -> Tensor:
        """sqrt(1 - ab) / 2, as z is that of the centred image."""
        return self._coefficients(s, params)[1] / 2

    def step(self, x: Images, k: int, generator: torch.Generator | None = None) -> Images:
        """One link of the Markov chain, q(x_k | x_{k-1}): c_k = sqrt(1 - beta_k) c_{k-1} + sqrt(beta_k) z.

        Source: Ho et al. 2020, equation 2.
        """
        if not 1 <= k <= self.levels:
            raise ValueError(f"step must be in 1 .. {self.levels}, got {k}")
        beta = float(self.betas.betas()[k - 1])
        z = normal(tuple(x.shape), x, generator)
        return 0.5 + math.sqrt(1 - beta) * (x - 0.5) + math.sqrt(beta) * z.to(x.dtype) / 2
