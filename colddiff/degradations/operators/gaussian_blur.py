"""Gaussian blur as an exact semigroup: one filter equals any chain of smaller ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from kornia.filters import filter2d_separable
from torch import Tensor

from ...utils.config import register
from ...utils.numerics import flush_negligible, moved
from ..base import Images, Params
from ..families.separable import SeparableLinear, spectral
from ..spectral import Border, border_index, from_spectrum, spectral_basis

WIDEST_FILTER = 256  # pixels; of matrices any will do


@register("gaussian_blur")
@dataclass(frozen=True, kw_only=True)
class GaussianBlur(SeparableLinear):
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

    def check(self) -> None:
        if not 0 < self.sigma_max <= 1e6:
            raise ValueError(f"sigma_max must be > 0 pixels and at most a million, got {self.sigma_max}")

    # Beyond, a matrix costs more than a filter that is as long as its kernel.
    largest_side = 1024

    def matrix(self, s: Tensor, axis: Params) -> Tensor:
        change = torch.expm1(-((s.reshape(-1, 1) * self.sigma_max) ** 2) * axis["decay"])
        return from_spectrum(axis["basis"], axis["identity"], change)

    def spectrum(self, n: int, s: Tensor) -> tuple[Tensor, Tensor]:
        basis, omega = spectral_basis(n, self.border)
        return basis, torch.exp(-((s[:, None] * self.sigma_max) ** 2) * decay_rate(omega))

    def axis(self, n: int, size: tuple[int, int]) -> Params:
        basis, omega = spectral_basis(n, self.border)
        return spectral(basis) | {"decay": decay_rate(omega)}

    def tables_large(self, like: Images) -> Params:
        """Border indices, and the cosines that turn the spectrum of a kernel into its taps."""
        if self.sigma_max > WIDEST_FILTER:
            raise ValueError(
                f"pictures beyond {self.largest_side} pixels are blurred by at most {WIDEST_FILTER} pixels, whose "
                f"tables grow with the square, got sigma_max={self.sigma_max}: make them smaller (--image-size)"
            )
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

    def degrade_large(self, x: Images, s: Tensor, params: Params) -> Images:
        spectrum = torch.exp(-((s.reshape(-1, 1) * self.sigma_max) ** 2) * params["decay"])
        kernel = flush_negligible(spectrum @ params["cosines"])
        bordered = x[:, :, params["rows"]][..., params["columns"]]
        return filter2d_separable(bordered, kernel, kernel, padding="valid")


def decay_rate(omega: Tensor) -> Tensor:
    """1 - cos omega, without its cancellation at low frequencies."""
    return 2 * torch.sin(omega / 2) ** 2
