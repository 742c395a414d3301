"""Gaussian blur as an exact semigroup: one filter equals any chain of smaller ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from kornia.filters import filter2d_separable, get_gaussian_discrete_kernel1d
from torch import Tensor

from ..kernels import Border, border_index, computing_dtype, spectral_basis, spectral_filter
from ..registry import register
from .base import Claims, Degradation, Images, Params

# Above this side a basis (n x n floats) costs more than a filter that is as long as its kernel.
LARGEST_BASIS = 1024


@register("gaussian_blur")
@dataclass(frozen=True, kw_only=True)
class GaussianBlur(Degradation):
    """The discrete Gaussian exp(tau L) of the image, tau = (s sigma_max)^2 / 2, L the Laplacian with that border.

    Variances add exactly for every sigma, small ones included, which truncated or sampled Gaussians do not do.
    Frequency omega is multiplied by exp(-sigma^2 (1 - cos omega)) on each axis.

    Source: Lindeberg 1990, "Scale-space for discrete signals"; Cold Diffusion section 4.1 for the use.

    Args:
        sigma_max: standard deviation at t = 1, in pixels.
        border: what lies outside: "reflect" (edge not repeated), "symmetric" (edge repeated), "circular".
    """

    sigma_max: float = 12.0
    border: Border = "reflect"

    claims = Claims.LINEAR | Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE

    def check(self) -> None:
        if not 0 < self.sigma_max < math.inf:
            raise ValueError(f"sigma_max must be > 0 pixels, got {self.sigma_max}")

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        sigma = s * self.sigma_max
        blurred = self._filter(x, sigma) if max(x.shape[-2:]) > LARGEST_BASIS else self._spectral(x, sigma, params)
        return torch.where(s > 0, blurred, x)

    def tables(self, like: Images) -> Params:
        h, w = like.shape[-2:]
        if max(h, w) > LARGEST_BASIS:
            return {}
        (basis_h, omega_h), (basis_w, omega_w) = spectral_basis(h, self.border), spectral_basis(w, self.border)
        # 1 - cos omega, without the cancellation at low frequencies
        decay = 2 * torch.sin(omega_h / 2)[:, None] ** 2 + 2 * torch.sin(omega_w / 2)[None] ** 2
        tables = {"basis_h": basis_h, "basis_w": basis_w, "decay": decay}
        return {name: table.to(like.device, computing_dtype(like.dtype)) for name, table in tables.items()}

    def _spectral(self, x: Images, sigma: Tensor, params: Params) -> Tensor:
        gain = torch.exp(-(sigma**2) * params["decay"])
        # A gain below float32's rounding is zero; as a denormal it would slow the product down.
        gain = torch.where(gain < 1e-15, 0, gain)
        return spectral_filter(x, params["basis_h"], params["basis_w"], gain)

    def _filter(self, x: Images, sigma: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        radius = math.ceil(6 * self.sigma_max) + 3
        rows = border_index(h, radius, self.border).to(x.device, non_blocking=True)
        columns = border_index(w, radius, self.border).to(x.device, non_blocking=True)
        kernel = get_gaussian_discrete_kernel1d(2 * radius + 1, sigma.reshape(-1, 1).clamp(min=1e-6))
        return filter2d_separable(x[:, :, rows][..., columns], kernel, kernel, padding="valid")
