"""Variance-preserving mixes with another image: c_t = sqrt(ab_t) c_0 + sqrt(1 - ab_t) z."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.numerics import moved
from ..base import Degradation, Images, Params
from ..levels import between_levels, one_if_shared
from ..noise_schedules import LinearBetas, NoiseSchedule


@dataclass(frozen=True, kw_only=True)
class VariancePreserving(Degradation, ABC):
    """c = 2 x - 1, the centred image, fades as z comes up, until only z is left, up to the last alpha_bar of the table.

    Args:
        betas: the chain's variances; alpha_bar is their cumulative product of 1 - beta.
    """

    betas: NoiseSchedule = LinearBetas()

    @abstractmethod
    def end(self, params: Params) -> Tensor:
        """z (B, C, H, W), what the centred image becomes."""

    @abstractmethod
    def params_of(self, end: Tensor) -> Params:
        """The params whose `end` that is."""

    @property
    def levels(self) -> int:
        return self.betas.num_steps

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        a_minus_1, b = self._coefficients(s, params)
        # (1 + a) x - a / 2 + b z / 2 with a = sqrt(ab) - 1: x itself where a = b = 0.
        return torch.addcmul(torch.addcmul(-a_minus_1 / 2, x, 1 + a_minus_1), self.end(params), b / 2)

    def change(self, x: Images, s: Tensor, r: Tensor, params: Params) -> Images:
        (a_s, b_s), (a_r, b_r) = self._coefficients(s, params), self._coefficients(r, params)
        return torch.addcmul((a_r - a_s) * (x - 0.5), self.end(params), (b_r - b_s) / 2)

    def tables(self, like: Images) -> Params:
        # sqrt(ab) - 1 and sqrt(1 - ab) rather than ab: neither end of the chain loses digits in float32.
        alpha_bar = self.betas.alpha_bars()
        rows = torch.stack([alpha_bar.sqrt() - 1, (1 - alpha_bar).sqrt()], dim=1)
        return {
            "coefficients": moved(rows, like),
            "amplitudes": alpha_bar.sqrt().to(like.device, non_blocking=True),
        }

    def estimate(self, x_t: Images, x0: Images, t: Tensor, params: Params) -> Params:
        """z = (c_t - sqrt(ab_t) c_0) / sqrt(1 - ab_t)."""
        s = self.severity(one_if_shared(t)).to(x_t.dtype).reshape(-1, 1, 1, 1)
        a_minus_1, b = self._coefficients(s, params)
        scale = torch.where(b > 0, 2 / torch.where(b > 0, b, 1), 0)
        return self.params_of(torch.addcmul(scale * a_minus_1 / 2, torch.addcmul(x_t, x0, -1 - a_minus_1), scale))

    def _coefficients(self, s: Tensor, params: Params) -> tuple[Tensor, Tensor]:
        row = between_levels(params["coefficients"], one_if_shared(s)).unsqueeze(-1).unsqueeze(-1)
        return row[:, :1], row[:, 1:]
