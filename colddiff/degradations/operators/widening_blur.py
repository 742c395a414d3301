"""One kernel, wider at every level: blur that is not composed of steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ..base import Claims, Params
from ..blur_schedules import gaussian_kernels
from ..families.separable import SeparableChain, stack_of_filters
from ..spectral import kernel_spectrum, spectral_basis


@register("widening_blur")
@dataclass(frozen=True, kw_only=True)
class WideningBlur(SeparableChain):
    """Level k = 1 .. T is a single Gaussian kernel of 2 k - 1 taps and sigma 2 (2 k - 1) pixels, with circular borders.

    Nearly a box, then, of a pixel at k = 1, which is the image itself; one wider than the image wraps around. It is not
    monotone: stripes of a period p are gone where the box is p pixels wide and come back, inverted, beyond it.

    Source: the `Individual_Incremental` routine of Cold Diffusion's code, the same at every place: there training sees
    products of these kernels, and sampling one of them.

    Args:
        num_steps: T.
    """

    num_steps: int = 20

    claims = Claims.LINEAR | Claims.DIFFERENTIABLE | Claims.TRACEABLE

    def check(self) -> None:
        if not 1 <= self.num_steps <= 2000:
            raise ValueError(f"num_steps must be in 1 .. 2,000, got {self.num_steps}")

    @property
    def levels(self) -> int:
        return self.num_steps

    def axis(self, n: int, size: tuple[int, int]) -> Params:
        return stack_of_filters(*self.spectrum(n, torch.arange(self.num_steps + 1)))

    def spectrum(self, n: int, s: Tensor) -> tuple[Tensor, Tensor]:
        basis, omega = spectral_basis(n, "circular")
        # Row 0 is a kernel of one tap, as row 1 is.
        radii = (torch.arange(self.num_steps + 1) - 1).clamp(min=0)
        kernels = gaussian_kernels(2.0 * (2 * radii + 1), radii)
        return basis, kernel_spectrum(kernels, omega)[s]
