"""Networks that predict noise, velocity or flow instead of x0, behind the same R(x, t) -> x0_hat."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...degradations.levels import between_levels
from ...degradations.operators.gaussian_noise import GaussianNoise
from ...degradations.operators.interpolate import Interpolate
from ...utils.config import register
from .unet import RestorerConfig, UNetConfig


@dataclass(frozen=True, kw_only=True)
class NoiseParametrization(RestorerConfig):
    """A network for Gaussian noise whose raw output is a mix of x0 and the noise z."""

    net: UNetConfig = UNetConfig(residual=False)
    degradation: GaussianNoise = GaussianNoise()

    def build(self) -> NoisePredictor:
        return NoisePredictor(self)

    def clean(self, c: Tensor, out: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """The centred clean image from c_t = a c_0 + b z and the network's output."""
        raise NotImplementedError

    def weight(self, a: Tensor, b: Tensor) -> Tensor:
        """What turns an error in x0 into an error of the network's output."""
        raise NotImplementedError


@register("epsilon")
@dataclass(frozen=True, kw_only=True)
class Epsilon(NoiseParametrization):
    """out = z, so c_0 = (c_t - b z) / a.

    Source: Ho et al. 2020, equation 15.
    """

    def clean(self, c: Tensor, out: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return (c - b * out) / a

    def weight(self, a: Tensor, b: Tensor) -> Tensor:
        return a / b


@register("velocity")
@dataclass(frozen=True, kw_only=True)
class Velocity(NoiseParametrization):
    """out = a z - b c_0, so c_0 = a c_t - b out.

    Source: Salimans & Ho 2022, appendix D.
    """

    def clean(self, c: Tensor, out: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return a * c - b * out

    def weight(self, a: Tensor, b: Tensor) -> Tensor:
        return 1 / b


@register("flow")
@dataclass(frozen=True, kw_only=True)
class Flow(RestorerConfig):
    """out = y - x0, the direction of a straight line to its endpoint, so x0 = x_t - s out.

    Source: Liu et al. 2023, "Flow straight and fast", equation 1.
    """

    net: UNetConfig = UNetConfig(residual=False)
    degradation: Interpolate = Interpolate()

    def build(self) -> FlowPredictor:
        return FlowPredictor(self)


class FlowPredictor(nn.Module):
    """R(x, t) -> x0_hat around a network that predicts the direction of a straight line."""

    def __init__(self, config: Flow) -> None:
        super().__init__()
        self.config = config
        self.net = config.net.build()

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        direction: Tensor = 2 * self.net(x, t).to(x.dtype) - 1
        return x - self._severity(t, x) * direction

    def loss_weight(self, t: Tensor, like: Tensor) -> Tensor:
        """Factor (B, 1, 1, 1) that turns an error in x0 into one of what the network predicts."""
        weight: Tensor = 1 / self._severity(t, like).clamp(min=0.001)
        return weight

    def _severity(self, t: Tensor, like: Tensor) -> Tensor:
        return self.config.degradation.severity(t).to(like.dtype).reshape(-1, 1, 1, 1)


class NoisePredictor(nn.Module):
    """R(x, t) -> x0_hat around a network that predicts noise or velocity."""

    amplitudes: Tensor

    def __init__(self, config: NoiseParametrization) -> None:
        super().__init__()
        self.config = config
        self.net = config.net.build()
        alpha_bar = config.degradation.betas.alpha_bars()
        amplitudes = torch.stack([alpha_bar.sqrt(), (1 - alpha_bar).sqrt()], dim=1)
        # A table of the degradation belongs neither into the saved weights nor into their average.
        self.register_buffer("amplitudes", amplitudes, persistent=False)

    def forward(self, x: Tensor, t: Tensor, *condition: Tensor) -> Tensor:
        a, b = self._coefficients(t, x)
        out = 2 * self.net(x, t, *condition).to(x.dtype) - 1
        return (self.config.clean(2 * x - 1, out, a, b) + 1) / 2

    def loss_weight(self, t: Tensor, like: Tensor) -> Tensor:
        """Factor (B, 1, 1, 1) on an error in x0 that makes it half the error of what the network predicts."""
        return self.config.weight(*self._coefficients(t, like))

    def _coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        s = self.config.degradation.severity(t).reshape(-1, 1, 1, 1)
        # Linear between levels, as the degradation's own.
        a, b = between_levels(self.amplitudes, s).clamp(min=torch.finfo(torch.float32).tiny).to(like.dtype).unbind(1)
        return a[:, None, None, None], b[:, None, None, None]
