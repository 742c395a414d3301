"""Gaussian blur as an exact semigroup: one filter equals any chain of smaller ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from kornia.filters import filter2d_separable
from torch import Tensor

from ..kernels import Border, border_index, flush_negligible, moved, spectral_basis, spectral_filter
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
        blurred = self._spectral(x, sigma, params) if "basis_h" in params else self._filter(x, sigma, params)
        return torch.where(s > 0, blurred, x)

    def tables(self, like: Images) -> Params:
        h, w = like.shape[-2:]
        if max(h, w) > LARGEST_BASIS:
            return self._filter_tables(like)
        (basis_h, omega_h), (basis_w, omega_w) = spectral_basis(h, self.border), spectral_basis(w, self.border)
        decay = decay_rate(omega_h)[:, None] + decay_rate(omega_w)[None]
        tables = {"basis_h": basis_h, "basis_w": basis_w, "decay": decay}
        return {name: moved(table, like) for name, table in tables.items()}

    def _spectral(self, x: Images, sigma: Tensor, params: Params) -> Tensor:
        gain = flush_negligible(torch.exp(-(sigma**2) * params["decay"]))
        return spectral_filter(x, params["basis_h"], params["basis_w"], gain)

    def _filter_tables(self, like: Images) -> Params:
        """Border indices, and the cosines that turn the spectrum of a kernel into its taps."""
        radius = math.ceil(6 * self.sigma_max) + 3
        period = 4 * radius + 2  # twice the support: what wraps around is below rounding
        omega = 2 * math.pi * torch.arange(period, dtype=torch.float64) / period
        offset = torch.arange(-radius, radius + 1, dtype=torch.float64)
        tables = {"decay": decay_rate(omega), "cosines": torch.cos(omega[:, None] * offset) / period}
        rows, columns = (border_index(side, radius, self.border) for side in like.shape[-2:])
        indices = {"rows": rows, "columns": columns}
        return {name: moved(table, like) for name, table in tables.items()} | {
            name: index.to(like.device, non_blocking=True) for name, index in indices.items()
        }

    def _filter(self, x: Images, sigma: Tensor, params: Params) -> Tensor:
        spectrum = torch.exp(-(sigma.reshape(-1, 1) ** 2) * params["decay"])
        kernel = flush_negligible(spectrum @ params["cosines"])
        bordered = x[:, :, params["rows"]][..., params["columns"]]
        return filter2d_separable(bordered, kernel, kernel, padding="valid")


def decay_rate(omega: Tensor) -> Tensor:
    """1 - cos omega, without its cancellation at low frequencies."""
    return 2 * torch.sin(omega / 2) ** 2
