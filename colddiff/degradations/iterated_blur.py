"""The paper's blur: a chain of truncated Gaussian kernels, evaluated by one exact table."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..chains import ConstantSigma, SigmaSchedule
from ..kernels import (
    Border,
    flush_negligible,
    kernel_spectrum,
    level_of,
    moved,
    spectral_basis,
    spectral_filter,
)
from ..registry import register
from .base import Claims, Degradation, Images, Params


@register("iterated_blur")
@dataclass(frozen=True, kw_only=True)
class IteratedBlur(Degradation):
    """T steps of a k x k Gaussian kernel, weights exp(-u^2 / 2 sigma_i^2) truncated at k // 2 and normalised.

    Every step is diagonal in the same basis, so step k is one filter whose gain is the product of k spectra:
    border rule and truncation included, equal to the chain up to rounding, at a cost that does not grow with t.
    The defaults are the paper's MNIST setting.

    Source: Cold Diffusion section 4.1 and its appendix.

    Args:
        num_steps: T.
        kernel_size: taps per axis, odd. Small against sigma, the kernel is nearly a box.
        sigmas: the width of each step, by formula.
        border: what lies outside: "reflect" (edge not repeated), "symmetric" (edge repeated), "circular".
    """

    num_steps: int = 20
    kernel_size: int = 11
    sigmas: SigmaSchedule = ConstantSigma(sigma=7.0)
    border: Border = "circular"

    claims = Claims.LINEAR | Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE

    def check(self) -> None:
        if not 1 <= self.num_steps <= 100_000:
            raise ValueError(f"num_steps must be in 1 .. 100,000, got {self.num_steps}")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and >= 1, got {self.kernel_size}")

    @property
    def levels(self) -> int:
        return self.num_steps

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        level, fraction = level_of(s, self.num_steps)
        low, high = (self._gain(params, k) for k in (level, level + 1))
        gain = torch.lerp(low, high, fraction)
        return torch.where(s > 0, spectral_filter(x, params["basis_h"], params["basis_w"], gain), x)

    def tables(self, like: Images) -> Params:
        h, w = like.shape[-2:]
        (basis_h, omega_h), (basis_w, omega_w) = spectral_basis(h, self.border), spectral_basis(w, self.border)
        tables = {
            "basis_h": basis_h,
            "basis_w": basis_w,
            "gains_h": self._cumulative(omega_h),
            "gains_w": self._cumulative(omega_w),
        }
        return {name: moved(table, like) for name, table in tables.items()}

    def kernels(self) -> Tensor:
        """The 1-D kernel of each step: (num_steps, kernel_size), float64, sums 1."""
        offset = torch.arange(self.kernel_size, dtype=torch.float64) - self.kernel_size // 2
        weights = torch.exp(-(offset**2) / (2 * self.sigmas.sigmas(self.num_steps)[:, None] ** 2))
        return weights / weights.sum(dim=1, keepdim=True)

    def _cumulative(self, omega: Tensor) -> Tensor:
        steps = kernel_spectrum(self.kernels(), omega)
        clean = torch.ones(1, len(omega), dtype=torch.float64)
        return flush_negligible(torch.cat([clean, torch.cumprod(steps, dim=0)]))

    @staticmethod
    def _gain(params: Params, level: Tensor) -> Tensor:
        gain = params["gains_h"][level][:, None, :, None] * params["gains_w"][level][:, None, None, :]
        return flush_negligible(gain)
