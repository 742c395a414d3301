"""Noise schedules: the variances of a chain of T noising steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..utils.config import Configurable, register
from .levels import between_levels


@dataclass(frozen=True, kw_only=True)
class NoiseSchedule(Configurable, ABC):
    """A variance-preserving noise chain: the variances beta_k added at step k = 1 .. num_steps."""

    group: ClassVar[str] = "colddiff.noise_schedules"

    @property
    @abstractmethod
    def num_steps(self) -> int:
        """T; a field of a formula, the length of a table."""

    @abstractmethod
    def betas(self) -> Tensor:
        """beta_1 .. beta_T: shape (num_steps,), float64, each in (0, 1)."""

    def alpha_bars(self) -> Tensor:
        """Remaining signal variance at levels 0 .. T: shape (num_steps + 1,), float64, from 1 down."""
        return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - self.betas(), dim=0)])

    def alpha_bar(self, t: Tensor) -> Tensor:
        """Remaining signal variance at times t in [0, 1] of any shape, float64.

        Exact within float32 error of k / T; the signal's *amplitude* is linear between.
        """
        amplitude = self.alpha_bars().sqrt().to(t.device)
        return between_levels(amplitude, t.double()).reshape(t.shape) ** 2


@dataclass(frozen=True, kw_only=True)
class FormulaBetas(NoiseSchedule, ABC):
    """Betas by formula, for any number of steps.

    Args:
        num_steps: T.
    """

    num_steps: int = 1000

    def check(self) -> None:
        if not 1 <= self.num_steps <= 1_000_000:
            raise ValueError(f"num_steps must be in 1 .. 1,000,000, got {self.num_steps}")


@register("linear")
@dataclass(frozen=True, kw_only=True)
class LinearBetas(FormulaBetas):
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
class QuadraticBetas(FormulaBetas):
    """sqrt(beta_k) evenly spaced from that of `beta_start` to that of `beta_end` ("scaled_linear" in diffusers).

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
class CosineBetas(FormulaBetas):
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
    """Any betas, one per step.

    Args:
        values: beta_1 .. beta_T, each in (0, 1).
    """

    values: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8)

    def check(self) -> None:
        if not self.values:
            raise ValueError("values must have at least one beta, got none")
        _check_betas(*self.values)

    @property
    def num_steps(self) -> int:
        return len(self.values)

    def betas(self) -> Tensor:
        return torch.tensor(self.values, dtype=torch.float64)


def _check_betas(*betas: float) -> None:
    if not all(0 < beta < 1 for beta in betas):
        raise ValueError(f"betas must be in (0, 1), got {str(betas)[:100]}")
