"""Blur and noise at once: diffusion whose noise schedule depends on the frequency."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ...utils.numerics import moved
from ...utils.rng import normal
from ..base import Claims, Degradation, Images, Params
from ..levels import one_if_shared
from ..spectral import spectral_basis


@register("blur_noise")
@dataclass(frozen=True, kw_only=True)
class BlurNoise(Degradation):
    """c_t = V (alpha_t W c_0) + sigma_t z, with c = 2 x - 1 the centred image, W the DCT-II and V its inverse.

    alpha_t = a_t d_t per frequency lambda: d_t = (1 - min_gain) exp(-lambda sigma_B^2 / 2) + min_gain is heat that
    has spread for sigma_B(t) = sigma_max sin^2(pi t / 2) pixels, and a_t, sigma_t preserve variance, log(a^2 / sigma^2)
    falling along a cosine from log_snr to -log_snr. At t = 0 the image itself. With the sampler `estimated(eta=1)` its
    posterior is walked, with `estimated()` its deterministic twin, with `momentum` the step of Soft Diffusion.

    Source: Hoogeboom & Salimans 2023, "Blurring diffusion models", equations 16 to 20; with sigma_max = 0 it is
    Gaussian noise.

    Args:
        sigma_max: of the blur at t = 1, in pixels.
        min_gain: what is left of the highest frequencies.
        log_snr: of the ends.

    Params: noise z (B, C, H, W), standard normal.
    """

    sigma_max: float = 20.0
    min_gain: float = 0.001
    log_snr: float = 10.0

    prior = "standard_normal"
    claims = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE

    def check(self) -> None:
        if not 0 <= self.sigma_max <= 1e6 or not 0 < self.min_gain <= 1 or not 0 < self.log_snr <= 30:
            raise ValueError(
                "expected sigma_max in [0, 1e6] pixels, min_gain in (0, 1] and log_snr in (0, 30], got "
                f"{self.sigma_max}, {self.min_gain} and {self.log_snr}"
            )

    @property
    def param_shapes(self) -> dict[str, tuple[int | str, ...]]:
        return {"noise": ("C", "H", "W")}

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        noisy = 0.5 + self._signal(x, s, params) + self.noise_scale(s, params) * params["noise"]
        return torch.where(s > 0, noisy, x)

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        return {"noise": normal(tuple(like.shape), like, generator)}

    def tables(self, like: Images) -> Params:
        """The bases of both axes, (2, n, n), and the frequencies lambda, (H, W)."""
        (rows, omega_h), (columns, omega_w) = (spectral_basis(n, "symmetric") for n in like.shape[-2:])
        spread = omega_h[:, None] ** 2 + omega_w[None] ** 2
        return {"rows": moved(rows, like), "columns": moved(columns, like), "lambda": moved(spread, like)}

    def estimate(self, x_t: Images, x0: Images, t: Tensor, params: Params) -> Params:
        """z = (x_t - D(x0, t; z = 0)) over its scale."""
        s = self._severity(t, x_t)
        scale = torch.sin(self._angle(s)) / 2
        return {"noise": (x_t - 0.5 - self._signal(x0, s, params)) / scale}

    def refresh(self, params: Params, t: Tensor, s: Tensor, eta: float, noise: Tensor) -> Params:
        """z' = sqrt(1 - rho^2) z + rho w per frequency; at eta = 1 the posterior q(x_s | x_t, x_0).

        rho^2 = eta^2 (1 - (alpha_t sigma_s / (alpha_s sigma_t))^2).
        """
        (a_t, sigma_t), (a_s, sigma_s) = (self._gains(self._severity(time, noise), params) for time in (t, s))
        kept = (a_t * sigma_s / (a_s * sigma_t)) ** 2
        rho2 = eta**2 * (1 - kept).clamp(min=0)
        z, w = (_dct(image, params) for image in (params["noise"], noise))
        return {"noise": _idct((1 - rho2).sqrt() * z + rho2.sqrt() * w, params)}

    def noise_scale(self, s: Tensor, params: Params) -> Tensor:
        """sigma_t / 2, as z is that of the centred image; none where the image is clean."""
        return torch.where(s > 0, torch.sin(self._angle(s)) / 2, 0)

    def _signal(self, x: Images, s: Tensor, params: Params) -> Tensor:
        return _idct(self._gains(one_if_shared(s), params)[0] * _dct(x - 0.5, params), params)

    def _gains(self, s: Tensor, params: Params) -> tuple[Tensor, Tensor]:
        """alpha (B, 1, H, W) and sigma (B, 1, 1, 1) of the centred image."""
        angle, width = self._angle(s), self.sigma_max * torch.sin(s * (math.pi / 2)) ** 2
        kept = (1 - self.min_gain) * torch.exp(-params["lambda"] * width**2 / 2) + self.min_gain
        return torch.cos(angle) * kept, torch.sin(angle)

    def _angle(self, s: Tensor) -> Tensor:
        """The angle whose cosine is a_t and whose sine is sigma_t."""
        first = math.atan(math.exp(-self.log_snr / 2))
        return first + s * (math.pi / 2 - 2 * first)

    def _severity(self, t: Tensor, like: Tensor) -> Tensor:
        return self.severity(one_if_shared(t)).to(like.dtype).reshape(-1, 1, 1, 1)


def _dct(x: Tensor, params: Params) -> Tensor:
    return params["rows"][1] @ x @ params["columns"][1].mT


def _idct(x: Tensor, params: Params) -> Tensor:
    return params["rows"][0] @ x @ params["columns"][0].mT
