"""The paper's blur: a chain of truncated Gaussian kernels, evaluated by one exact table."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..chains import ConstantSigma, SigmaSchedule
from ..registry import register
from ..separable import Border, kernel_spectrum, spectral_basis
from .base import Params
from .separable import SeparableChain, stack_of_filters


@register("iterated_blur")
@dataclass(frozen=True, kw_only=True)
class IteratedBlur(SeparableChain):
    """T steps of a k x k Gaussian kernel, weights exp(-u^2 / 2 sigma_i^2) truncated at k // 2 and normalised.

    Every step is diagonal in the same basis, so k of them are one matrix per axis with the product of k spectra: border
    rule and truncation included, equal to the chain up to rounding, at a cost that does not grow with t.
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

    def check(self) -> None:
        if not 1 <= self.num_steps <= 100_000:
            raise ValueError(f"num_steps must be in 1 .. 100,000, got {self.num_steps}")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and >= 1, got {self.kernel_size}")

    @property
    def levels(self) -> int:
        return self.num_steps

    def axis(self, n: int, size: tuple[int, int]) -> Params:
        return stack_of_filters(*self.spectrum(n, torch.arange(self.num_steps + 1)))

    def spectrum(self, n: int, s: Tensor) -> tuple[Tensor, Tensor]:
        basis, omega = spectral_basis(n, self.border)
        clean = torch.ones(1, n, dtype=torch.float64)
        steps = kernel_spectrum(self.kernels(), omega)
        return basis, torch.cat([clean, torch.cumprod(steps, dim=0)])[s]

    def kernels(self) -> Tensor:
        """The 1-D kernel of each step: (num_steps, kernel_size), float64, sums 1."""
        offset = torch.arange(self.kernel_size, dtype=torch.float64) - self.kernel_size // 2
        weights = torch.exp(-(offset**2) / (2 * self.sigmas.sigmas(self.num_steps)[:, None] ** 2))
        return weights / weights.sum(dim=1, keepdim=True)
