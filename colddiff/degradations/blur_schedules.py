"""Blur schedules: the standard deviation of each of T blurring steps, and Gaussian kernels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..utils.config import Configurable, register


@dataclass(frozen=True, kw_only=True)
class SigmaSchedule(Configurable, ABC):
    """The width in pixels of the kernel of each step of a chain, by formula."""

    group: ClassVar[str] = "colddiff.sigma_schedules"

    @abstractmethod
    def sigmas(self, num_steps: int) -> Tensor:
        """Standard deviations in pixels of steps 0 .. num_steps - 1: float64, each > 0."""


@register("constant")
@dataclass(frozen=True, kw_only=True)
class ConstantSigma(SigmaSchedule):
    """sigma_i = sigma, in pixels."""

    sigma: float = 7.0

    def check(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma must be > 0 pixels, got {self.sigma}")

    def sigmas(self, num_steps: int) -> Tensor:
        return torch.full((num_steps,), self.sigma, dtype=torch.float64)


@register("linear")
@dataclass(frozen=True, kw_only=True)
class LinearSigma(SigmaSchedule):
    """sigma_i = start + slope i, in pixels."""

    start: float = 0.35
    slope: float = 0.01

    def check(self) -> None:
        if not 0 < self.start < math.inf or not 0 <= self.slope < math.inf:
            raise ValueError(f"start must be > 0 and slope >= 0 pixels, got {self.start} and {self.slope}")

    def sigmas(self, num_steps: int) -> Tensor:
        return self.start + self.slope * torch.arange(num_steps, dtype=torch.float64)


@register("exponential")
@dataclass(frozen=True, kw_only=True)
class ExponentialSigma(SigmaSchedule):
    """sigma_i = start exp(rate i), in pixels."""

    start: float = 1.0
    rate: float = 0.01

    def check(self) -> None:
        if not 0 < self.start < math.inf or not math.isfinite(self.rate):
            raise ValueError(f"start must be > 0 pixels and rate finite, got {self.start} and {self.rate}")

    def sigmas(self, num_steps: int) -> Tensor:
        return self.start * torch.exp(self.rate * torch.arange(num_steps, dtype=torch.float64))


@register("accumulating")
@dataclass(frozen=True, kw_only=True)
class AccumulatingSigma(SigmaSchedule):
    """The sigma of all steps so far is linear: sigma_i = sqrt(s_i^2 - s_{i-1}^2), s_i from `start` to `target` pixels.

    Source: the `Linear_Accum_Std` routine of Cold Diffusion's code, which nothing there uses.
    """

    start: float = 0.5
    target: float = 12.0

    def check(self) -> None:
        if not 0 < self.start < self.target < math.inf:
            raise ValueError(f"expected 0 < start < target pixels, got {self.start} and {self.target}")

    def sigmas(self, num_steps: int) -> Tensor:
        """The first is `start`, and so the only one of a chain of one step."""
        total = torch.linspace(self.start, self.target, num_steps, dtype=torch.float64)
        return torch.cat([total[:1], torch.sqrt(total.diff() * (total[1:] + total[:-1]))])


@register("decreasing")
@dataclass(frozen=True, kw_only=True)
class DecreasingSigma(SigmaSchedule):
    """sigma_i proportional to T - i, all of them together `target` pixels: sum sigma_i^2 = target^2.

    Source: the `Linear_Dec_Std` routine of Cold Diffusion's code, which nothing there uses.
    """

    target: float = 12.0

    def check(self) -> None:
        if not 0 < self.target < math.inf:
            raise ValueError(f"target must be > 0 pixels, got {self.target}")

    def sigmas(self, num_steps: int) -> Tensor:
        falling = torch.arange(num_steps, 0, -1, dtype=torch.float64)
        return self.target * falling / falling.square().sum().sqrt()


def gaussian_kernels(sigmas: Tensor, radii: Tensor) -> Tensor:
    """1-D kernels exp(-u^2 / 2 sigma^2), each truncated at its own radius: (T, 2 max radius + 1), float64, sums 1.

    Args:
        sigmas: standard deviations in pixels (T,), > 0.
        radii: in whole pixels (T,); a kernel is zero beyond.
    """
    widest = int(radii.max())
    offset = torch.arange(-widest, widest + 1, dtype=torch.float64)
    weights = torch.exp(-(offset**2) / (2 * sigmas.double()[:, None] ** 2)) * (offset.abs() <= radii[:, None])
    return weights / weights.sum(dim=1, keepdim=True)
