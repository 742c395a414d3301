"""Schedules: warps of time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from ..utils.config import Configurable, register


@dataclass(frozen=True, kw_only=True)
class Schedule(Configurable, ABC):
    """A warp `t -> s` of [0, 1] onto itself: 0 to 0, 1 to 1, increasing. Evaluated in float64."""

    group: ClassVar[str] = "colddiff.schedules"

    @abstractmethod
    def __call__(self, t: Tensor) -> Tensor:
        """Severity `s` at time `t`, both in [0, 1] and of any shape."""

    def inverse(self, s: Tensor) -> Tensor:
        """The time of severity `s`, by bisection to float64 precision where a schedule has no closed form."""
        low, high = torch.zeros_like(s), torch.ones_like(s)
        for _ in range(60):
            middle = (low + high) / 2
            above = self(middle) > s
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return torch.where(s <= 0, 0, torch.where(s >= 1, 1, (low + high) / 2))


@register("linear")
@dataclass(frozen=True, kw_only=True)
class Linear(Schedule):
    """s = t."""

    def __call__(self, t: Tensor) -> Tensor:
        return t

    def inverse(self, s: Tensor) -> Tensor:
        return s


@register("power")
@dataclass(frozen=True, kw_only=True)
class Power(Schedule):
    """s = t^exponent: an exponent above 1 spends more of the time on light damage."""

    exponent: float = 2.0

    def check(self) -> None:
        if not 1e-3 <= self.exponent <= 1e3:
            raise ValueError(f"exponent must be > 0, in [0.001, 1000], got {self.exponent}")

    def __call__(self, t: Tensor) -> Tensor:
        return t**self.exponent

    def inverse(self, s: Tensor) -> Tensor:
        return s ** (1 / self.exponent)


@register("exponential")
@dataclass(frozen=True, kw_only=True)
class Exponential(Schedule):
    """s = (exp(rate t) - 1) / (exp(rate) - 1): equal ratios from step to step, away from t = 0.

    Source: Rissanen et al. 2023, section 3, whose blurs are spaced so from 0.5 to 24 pixels: a rate of log 48.
    """

    rate: float = 3.871201010907891

    def check(self) -> None:
        if not 0 < self.rate <= 50:
            raise ValueError(f"rate must be in (0, 50], got {self.rate}")

    def __call__(self, t: Tensor) -> Tensor:
        return torch.expm1(self.rate * t) / torch.expm1(torch.full_like(t, self.rate))

    def inverse(self, s: Tensor) -> Tensor:
        return torch.log1p(s * math.expm1(self.rate)) / self.rate


@register("cosine")
@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """s = (1 - cos(pi t)) / 2: slow at both ends."""

    def __call__(self, t: Tensor) -> Tensor:
        return torch.sin(t * (math.pi / 2)) ** 2

    def inverse(self, s: Tensor) -> Tensor:
        return torch.asin(torch.sqrt(s)) * (2 / math.pi)


@register("bridge")
@dataclass(frozen=True, kw_only=True)
class Bridge(Schedule):
    """s = sigma_t^2 / sigma_1^2 of a Schroedinger bridge, whose noise rises and falls: slow at both ends.

    sqrt(beta) is a straight line from sqrt(beta_min) to half way to sqrt(beta_max), and back; sigma_t^2 its integral.
    `Interpolate` warped by it, with the sampler `estimated`, is the bridge's probability flow.

    Source: Liu et al. 2023, "I2SB", equations 6 and 12 and appendix; its default betas, but for a common factor.
    """

    beta_min: float = 1e-4
    beta_max: float = 3e-4

    def check(self) -> None:
        if not 1e-12 <= self.beta_min <= self.beta_max <= 1e6:
            raise ValueError(f"expected 1e-12 <= beta_min <= beta_max <= 1e6, got {self.beta_min} and {self.beta_max}")

    def __call__(self, t: Tensor) -> Tensor:
        first, slope = math.sqrt(self.beta_min), math.sqrt(self.beta_max) - math.sqrt(self.beta_min)

        def integral(u: Tensor | float) -> Tensor | float:  # of (first + slope u)^2 from 0 to u
            return u * (first * (first + slope * u) + slope**2 * u**2 / 3)

        rising = integral(torch.minimum(t, 1 - t)) / (2 * integral(0.5))
        return torch.where(t < 0.5, rising, 1 - rising)


@register("table")
@dataclass(frozen=True, kw_only=True)
class PiecewiseLinear(Schedule):
    """Straight lines through `values`, evenly spaced in time; the first is 0, the last 1, and they increase."""

    values: tuple[float, ...] = (0.0, 1.0)

    def check(self) -> None:
        v = self.values
        if len(v) < 2 or v[0] != 0 or v[-1] != 1 or any(not a < b for a, b in pairwise(v)):
            raise ValueError(f"values must increase strictly from 0 to 1, got {str(v)[:100]}")

    def __call__(self, t: Tensor) -> Tensor:
        values = torch.tensor(self.values, dtype=t.dtype, device="cpu").to(t.device, non_blocking=True)
        low = (t * (len(values) - 1)).floor().clamp(0, len(values) - 2)
        i = low.long()
        return torch.lerp(values[i], values[i + 1], t * (len(values) - 1) - low)

    def inverse(self, s: Tensor) -> Tensor:
        values = torch.tensor(self.values, dtype=s.dtype, device="cpu").to(s.device, non_blocking=True)
        i = (torch.searchsorted(values, s.contiguous()) - 1).clamp(0, len(values) - 2)
        low, high = values[i], values[i + 1]
        return (i + (s - low) / (high - low)) / (len(values) - 1)
