"""The paper's blur: a chain of truncated Gaussian kernels, evaluated by one exact table."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...utils.config import register
from ..base import Images, Params
from ..blur_schedules import ConstantSigma, SigmaSchedule, gaussian_kernels
from ..families.separable import SeparableChain, stack_of_filters
from ..spectral import Border, border_index, kernel_spectrum, spectral_basis

# Taps of the kernels of all steps together: 512 MB.
MOST_TAPS = 2**22


@register("iterated_blur")
@dataclass(frozen=True, kw_only=True)
class IteratedBlur(SeparableChain):
    """T steps of a k x k Gaussian kernel, weights exp(-u^2 / 2 sigma_i^2) truncated at k // 2 and normalised.

    Every step is diagonal in the same basis, so k of them are one matrix per axis with the product of k spectra: border
    rule and truncation included, equal to the chain up to rounding, at a cost that does not grow with t.
    The defaults are the paper's MNIST setting.

    Source: Cold Diffusion section 4.1 and its appendix; its generation by blur for the end in the mean.

    Args:
        num_steps: T.
        kernel_size: taps per axis, odd. Small against sigma, the kernel is nearly a box. None is 2 int(2 sigma_i) + 3.
        sigmas: the width of each step, by formula.
        border: what lies outside: "reflect" (edge not repeated), "symmetric" (edge repeated), "circular".
        ends_in_mean: level T is the mean of each channel, whatever the last step would leave.
    """

    num_steps: int = 20
    kernel_size: int | None = 11
    sigmas: SigmaSchedule = ConstantSigma(sigma=7.0)
    border: Border = "circular"
    ends_in_mean: bool = False

    def check(self) -> None:
        if not 1 <= self.num_steps <= 10_000:
            raise ValueError(f"num_steps must be in 1 .. 10,000, got {self.num_steps}")
        if self.kernel_size is not None and (self.kernel_size < 1 or self.kernel_size % 2 == 0):
            raise ValueError(f"kernel_size must be odd and >= 1, got {self.kernel_size}")
        sigmas = self.sigmas.sigmas(self.num_steps)
        widest = float(sigmas.max())
        if self.kernel_size is not None and self.num_steps * self.kernel_size > MOST_TAPS:
            raise ValueError(f"{self.num_steps} kernels of {self.kernel_size} taps are too large: take fewer of both")
        if self.kernel_size is None and not self.num_steps * (4 * widest + 3) <= MOST_TAPS:
            raise ValueError(f"a sigma of {widest:.3g} pixels makes kernels too large: give a kernel_size, got None")
        if not 1e-6 <= float(sigmas.min()) <= widest <= 1e6:
            raise ValueError(f"sigmas must be 1e-6 to 1e6 pixels wide, got {float(sigmas.min()):.3g} .. {widest:.3g}")

    @property
    def levels(self) -> int:
        return self.num_steps

    @property
    def has_spectrum(self) -> bool:
        """The mean weighs all pixels alike; to the DCT-I of reflected borders those at the edge count half."""
        return not (self.ends_in_mean and self.border == "reflect")

    def axis(self, n: int, size: tuple[int, int]) -> Params:
        return stack_of_filters(*self._filters(n))

    def matrix(self, s: Tensor, axis: Params) -> Tensor:
        found = super().matrix(s, axis)
        if not self.ends_in_mean:
            return found
        return torch.where((s == self.num_steps).reshape(-1, 1, 1), 1 / found.shape[-1], found)

    def spectrum(self, n: int, s: Tensor) -> tuple[Tensor, Tensor]:
        if not self.has_spectrum:
            return super().spectrum(n, s)
        basis, eigenvalues = self._filters(n)
        if self.ends_in_mean:
            eigenvalues[-1, 1:] = 0
        return basis, eigenvalues[s]

    def chain(self, x: Images, k: int, params: Params) -> Images:
        c, kernels = 2 * x - 1, self.kernels().to(x)
        reach = kernels.shape[1] // 2
        rows, columns = (border_index(n, reach, self.border).to(x.device) for n in x.shape[-2:])
        for kernel in kernels[:k]:
            square = (kernel[:, None] * kernel)[None, None].expand(x.shape[1], 1, -1, -1)
            c = F.conv2d(c[:, :, rows][..., columns], square, groups=x.shape[1])
        if self.ends_in_mean and k == self.num_steps:
            c = c.mean(dim=(2, 3), keepdim=True).expand_as(x)
        return (c + 1) / 2

    def kernels(self) -> Tensor:
        """The 1-D kernel of each step: (num_steps, taps of the widest), float64, sums 1."""
        sigmas = self.sigmas.sigmas(self.num_steps)
        if self.kernel_size is None:
            return gaussian_kernels(sigmas, (2 * sigmas).long() + 1)
        return gaussian_kernels(sigmas, torch.full((self.num_steps,), self.kernel_size // 2))

    def _filters(self, n: int) -> tuple[Tensor, Tensor]:
        """The basis (2, n, n) and the eigenvalues (T + 1, n) of the chain itself."""
        basis, omega = spectral_basis(n, self.border)
        clean = torch.ones(1, n, dtype=torch.float64)
        return basis, torch.cat([clean, torch.cumprod(kernel_spectrum(self.kernels(), omega), dim=0)])
