"""Gaussian noise: the "hot" diffusion that the cold ones are compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..chains import LinearBetas, NoiseSchedule
from ..kernels import between_levels, moved, normal, one_if_shared
from ..registry import register
from .base import Claims, Degradation, Images, Params


@register("gaussian_noise")
@dataclass(frozen=True, kw_only=True)
class GaussianNoise(Degradation):
    """Variance-preserving noise: c_t = sqrt(ab_t) c_0 + sqrt(1 - ab_t) z, with c = 2 x - 1 the centred image.

    Ends in c ~ N(0, I), that is x ~ N(1/2, 1/4), up to the last alpha_bar of the table.

    Source: Ho et al. 2020, equation 4; Cold Diffusion section 3.3 with z kept along a trajectory.

    Params: noise z (B, C, H, W), standard normal.
    """

    betas: NoiseSchedule = LinearBetas()

    prior = "standard_normal"
    claims = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE

    @property
    def levels(self) -> int:
        return self.betas.num_steps

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        a_minus_1, b = self._coefficients(s, params)
        # (1 + a) x - a / 2 + b z / 2 with a = sqrt(ab) - 1: x itself where a = b = 0.
        return torch.addcmul(torch.addcmul(-a_minus_1 / 2, x, 1 + a_minus_1), params["noise"], b / 2)

    def change(self, x: Images, s: Tensor, r: Tensor, params: Params) -> Images:
        (a_s, b_s), (a_r, b_r) = self._coefficients(s, params), self._coefficients(r, params)
        return torch.addcmul((a_r - a_s) * (x - 0.5), params["noise"], (b_r - b_s) / 2)

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        return {"noise": normal(tuple(like.shape), like, generator)}

    def tables(self, like: Images) -> Params:
        # sqrt(ab) - 1 and sqrt(1 - ab) rather than ab: neither end of the chain loses digits in float32.
        alpha_bar = self.betas.alpha_bars()
        rows = torch.stack([alpha_bar.sqrt() - 1, (1 - alpha_bar).sqrt()], dim=1)
        return {
            "coefficients": moved(rows, like),
            "amplitudes": alpha_bar.sqrt().to(like.device, non_blocking=True),
        }

    def estimate(self, x_t: Images, x0: Images, t: Tensor, params: Params) -> Params:
        """z = (c_t - sqrt(ab_t) c_0) / sqrt(1 - ab_t)."""
        s = self.severity(one_if_shared(t)).to(x_t.dtype).reshape(-1, 1, 1, 1)
        a_minus_1, b = self._coefficients(s, params)
        scale = torch.where(b > 0, 2 / torch.where(b > 0, b, 1), 0)
        return {"noise": torch.addcmul(scale * a_minus_1 / 2, torch.addcmul(x_t, x0, -1 - a_minus_1), scale)}

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

    def step(self, x: Images, k: int, generator: torch.Generator | None = None) -> Images:
        """One link of the Markov chain, q(x_k | x_{k-1}): c_k = sqrt(1 - beta_k) c_{k-1} + sqrt(beta_k) z.

        Source: Ho et al. 2020, equation 2.
        """
        if not 1 <= k <= self.levels:
            raise ValueError(f"step must be in 1 .. {self.levels}, got {k}")
        beta = float(self.betas.betas()[k - 1])
        z = normal(tuple(x.shape), x, generator)
        return 0.5 + math.sqrt(1 - beta) * (x - 0.5) + math.sqrt(beta) * z.to(x.dtype) / 2

    def _coefficients(self, s: Tensor, params: Params) -> tuple[Tensor, Tensor]:
        row = between_levels(params["coefficients"], one_if_shared(s)).unsqueeze(-1).unsqueeze(-1)
        return row[:, :1], row[:, 1:]
