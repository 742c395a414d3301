"""Schedules: warps of time, and the tables of formulas that noise and blur steps follow."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from .registry import Configurable, register


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
        if not 0 < self.exponent < math.inf:
            raise ValueError(f"exponent must be > 0 and finite, got {self.exponent}")

    def __call__(self, t: Tensor) -> Tensor:
        return t**self.exponent

    def inverse(self, s: Tensor) -> Tensor:
        return s ** (1 / self.exponent)


@register("cosine")
@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """s = (1 - cos(pi t)) / 2: slow at both ends."""

    def __call__(self, t: Tensor) -> Tensor:
        return torch.sin(t * (math.pi / 2)) ** 2

    def inverse(self, s: Tensor) -> Tensor:
        return torch.asin(torch.sqrt(s)) * (2 / math.pi)


@register("table")
@dataclass(frozen=True, kw_only=True)
class Table(Schedule):
    """Straight lines through `values`, evenly spaced in time; the first is 0, the last 1, and they increase."""

    values: tuple[float, ...] = (0.0, 1.0)

    def check(self) -> None:
        v = self.values
        if len(v) < 2 or v[0] != 0 or v[-1] != 1 or any(not a < b for a, b in pairwise(v)):
            raise ValueError(f"values must increase strictly from 0 to 1, got {v}")

    def __call__(self, t: Tensor) -> Tensor:
        values = torch.tensor(self.values, dtype=t.dtype, device="cpu").to(t.device, non_blocking=True)
        low = (t * (len(values) - 1)).floor().clamp(0, len(values) - 2)
        i = low.long()
        return torch.lerp(values[i], values[i + 1], t * (len(values) - 1) - low)


@dataclass(frozen=True, kw_only=True)
class NoiseSchedule(Configurable, ABC):
    """A variance-preserving noise chain: the variances beta_k added at step k = 1 .. num_steps."""

    group: ClassVar[str] = "colddiff.noise_schedules"

    num_steps: int = 1000

    def check(self) -> None:
        if not 1 <= self.num_steps <= 1_000_000:
            raise ValueError(f"num_steps must be in 1 .. 1,000,000, got {self.num_steps}")

    @abstractmethod
    def betas(self) -> Tensor:
        """beta_1 .. beta_T: shape (num_steps,), float64, each in (0, 1)."""

    def alpha_bars(self) -> Tensor:
        """Remaining signal variance at levels 0 .. T: shape (num_steps + 1,), float64, from 1 down."""
        return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - self.betas(), dim=0)])

    def alpha_bar(self, t: Tensor) -> Tensor:
        """Remaining signal variance at time t in [0, 1], float64; exact at k / T, the signal's *amplitude* is
        linear between."""
        amplitude = self.alpha_bars().sqrt().to(t.device)
        position = t.double() * self.num_steps
        low = position.floor().clamp(0, self.num_steps - 1).long()
        return torch.lerp(amplitude[low], amplitude[low + 1], position - low) ** 2


@register("linear")
@dataclass(frozen=True, kw_only=True)
class LinearBetas(NoiseSchedule):
    """beta_k evenly spaced from `beta_start` to `beta_end`.

    Source: Ho et al. 2020, section 4 (1e-4 to 0.02 for T = 1000).
    """

    beta_start: float = 1e-4
    beta_end: float = 0.02

    def check(self) -> None:
        super().check()
        _check_betas(self.beta_start, self.beta_end)

    def betas(self) -> Tensor:
        return torch.linspace(self.beta_start, self.beta_end, self.num_steps, dtype=torch.float64)


@register("quadratic")
@dataclass(frozen=True, kw_only=True)
class QuadraticBetas(NoiseSchedule):
    """sqrt(beta_k) evenly spaced: the betas grow quadratically ("scaled_linear" in diffusers).

    Source: Ho et al. 2020, the "quad" schedule of its code release.
    """

    beta_start: float = 1e-4
    beta_end: float = 0.02

    def check(self) -> None:
        super().check()
        _check_betas(self.beta_start, self.beta_end)

    def betas(self) -> Tensor:
        return torch.linspace(self.beta_start**0.5, self.beta_end**0.5, self.num_steps, dtype=torch.float64) ** 2


@register("cosine")
@dataclass(frozen=True, kw_only=True)
class CosineBetas(NoiseSchedule):
    """alpha_bar(t) = cos^2((t + offset) / (1 + offset) pi / 2), normalised; betas clipped at `beta_max`.

    Source: Nichol & Dhariwal 2021, equation 17.
    """

    offset: float = 0.008
    beta_max: float = 0.999

    def check(self) -> None:
        super().check()
        _check_betas(self.beta_max)
        if not 0 <= self.offset <= 1:
            raise ValueError(f"offset must be in [0, 1], got {self.offset}")

    def betas(self) -> Tensor:
        t = torch.arange(self.num_steps + 1, dtype=torch.float64) / self.num_steps
        f = torch.cos((t + self.offset) / (1 + self.offset) * (math.pi / 2)) ** 2
        return (1 - f[1:] / f[:-1]).clamp(max=self.beta_max)


@register("table")
@dataclass(frozen=True, kw_only=True)
class BetaTable(NoiseSchedule):
    """Any betas, one per step; `num_steps` follows from the table."""

    values: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8)
    num_steps: int = 0

    def check(self) -> None:
        _check_betas(*self.values)
        if self.num_steps not in (0, len(self.values)):
            raise ValueError(f"num_steps must be 0 or the length of values, {len(self.values)}, got {self.num_steps}")
        object.__setattr__(self, "num_steps", len(self.values))
        super().check()

    def betas(self) -> Tensor:
        return torch.tensor(self.values, dtype=torch.float64)


def _check_betas(*betas: float) -> None:
    if not all(0 < beta < 1 for beta in betas):
        raise ValueError(f"betas must be in (0, 1), got {betas}")


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
