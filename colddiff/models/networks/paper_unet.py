"""What the two networks of the Cold Diffusion paper share: how they are told the time, and what images they see."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...degradations.levels import level_at
from .unet import RestorerConfig, check_sizes, cropped

STEPS = 1000  # if nobody says


@dataclass(frozen=True, kw_only=True)
class OfficialConfig(RestorerConfig):
    """What both networks have.

    Args:
        channels: of the images, in and out; None is what the data has, or 3.
        multipliers: features of each level, in those of the first layer; each level halves the resolution.
        residual: predict the difference from x rather than x0 itself.
        num_steps: T of the label by which the network is told the time, i = t T - 1; None is that of the training's
            degradation, or 1000 where it has none.
    """

    channels: int | None = None
    multipliers: tuple[int, ...] = ()
    residual: bool = False
    num_steps: int | None = None

    def check(self) -> None:
        check_sizes(levels=len(self.multipliers), channels=self.channels or 3)
        optional = (1 if number is None else number for number in (self.channels, self.num_steps))
        numbers = (*optional, len(self.multipliers))
        if min(*numbers, *self.multipliers) < 1:
            raise ValueError(f"channels, num_steps and multipliers must be >= 1, got {self}")
        if (self.num_steps or 1) > 1_000_000:
            raise ValueError(f"num_steps must be at most 1,000,000, got {self.num_steps}")


class OfficialUNet(nn.Module, ABC):
    """R(x, t) -> x0_hat for images of any size: upstream's networks see [-1, 1] and the label i of step i + 1."""

    def __init__(self, config: OfficialConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = config.channels or 3

    @abstractmethod
    def predict(self, h: Tensor, label: Tensor) -> Tensor:
        """The network itself: (B, C, H, W) in [-1, 1] from as much, at labels (B,); sides are multiples of a block."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x0_hat (B, C, H, W) in [0, 1] from x (B, C, H, W) at times t (B,)."""
        centred = 2 * x - 1
        if x.shape[1] != self.channels:
            raise ValueError(f"this U-Net takes {self.channels} channels, got images {tuple(x.shape)}")
        height, width = x.shape[-2:]
        block = 2 ** (len(self.config.multipliers) - 1)
        h = centred.to(next(self.parameters()).dtype)
        h = F.pad(h, (0, -width % block, 0, -height % block), mode="replicate")
        answer = self.predict(h, time_label(t, self.config.num_steps or STEPS).to(h.dtype))
        out = cropped(answer, height, width).to(x.dtype)
        return ((out + centred if self.config.residual else out) + 1) / 2


def time_label(t: Tensor, num_steps: int) -> Tensor:
    """i = t T - 1 at times t (B,): a whole number at the levels t = k / T, and 0 before the first."""
    level, fraction = level_at(t.reshape(-1, 1, 1, 1), num_steps)
    return (level + fraction.flatten() - 1).clamp(min=0)


class Sinusoids(nn.Module):
    """sin(w_k i), then cos(w_k i), of labels i (B,): w_k = 10000^(-k / (half - 1)) for k = 0 .. half - 1.

    Source: Ho et al. 2020, appendix B, after Vaswani et al. 2017.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        w = torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half))
        self.register_buffer("frequencies", w, persistent=False)

    def forward(self, label: Tensor) -> Tensor:
        phase = label[:, None] * self.frequencies
        return torch.cat([phase.sin(), phase.cos()], dim=1)
