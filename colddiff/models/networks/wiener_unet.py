"""A U-Net that sees the Wiener estimate: what is linear and ill-posed about a blur is solved before it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ...degradations.base import Degradation
from ...degradations.families.separable import SeparableLinear
from ...utils.config import register
from ..wiener import ROUNDING_VARIANCE, spectral_moments, wiener_estimate
from .unet import RestorerConfig, UNetConfig

LONGEST_SIDE = 1024  # pixels: mean and power are kept for each


@register("wiener_unet")
@dataclass(frozen=True, kw_only=True)
class WienerUNetConfig(RestorerConfig):
    """A U-Net around the best linear estimate, for blurs that are diagonal in some basis.

    A blur leaves high frequencies in float32 at a millionth of what they were, which a network learns to amplify
    slowly or never; the Wiener filter gives them back at their own scale as far as noise lets them be seen.

    Source: Wiener 1949 for the estimate; the linear estimate as a skip around a network is that of Jin et al. 2017,
    "Deep convolutional neural network for inverse problems in imaging", section IV.

    Args:
        net: the U-Net, residual: it begins as the estimate.
        degradation: what it undoes; that of the training where it is left out.
        size: (H, W) in pixels of the images that it is fitted to, and the only ones that it takes.
        noise: standard deviation of what images carry beside D(x0, t), in [0, 1]; that of rounding to 8 bits where
            the training rounds, else that of float32 and of the training's own `input_noise`.
    """

    net: UNetConfig = UNetConfig()
    degradation: Degradation | None = None
    size: tuple[int, ...] | None = None
    noise: float | None = None

    def check(self) -> None:
        known = self.degradation
        if known is not None and not (isinstance(known, SeparableLinear) and known.has_spectrum):
            raise ValueError(
                f"wiener_unet is for blurs that have a spectrum, as gaussian_blur and iterated_blur, not for "
                f"{known.registered_name}: use unet"
            )
        size = self.size
        if size is not None and (len(size) != 2 or not all(1 <= side <= LONGEST_SIDE for side in size)):
            raise ValueError(f"size must be (H, W) in 1 .. {LONGEST_SIDE} pixels, got {str(size)[:100]}")
        if self.noise is not None and not 0 < self.noise < math.inf:
            raise ValueError(f"noise must be > 0, got {self.noise}")

    def fitted_for(
        self, degradation: Degradation, channels: int, size: tuple[int, int], quantize_inputs: bool, input_noise: float
    ) -> WienerUNetConfig:
        """The same for a training: what was left open is filled in."""
        if self.degradation not in (None, degradation) or self.size not in (None, size):
            raise ValueError(
                f"the restorer is made for {self.degradation} at {self.size}, the training has {degradation} at "
                f"{size}: leave degradation and size out"
            )
        own = math.sqrt(ROUNDING_VARIANCE) if quantize_inputs else 0.0
        noise = self.noise if self.noise is not None else math.hypot(own, max(input_noise, FLOAT32_NOISE))
        net = replace(self.net, channels=channels)
        return replace(self, net=net, degradation=degradation, size=size, noise=noise)

    def build(self) -> WienerUNet:
        return WienerUNet(self)


# Of images near 1/2 whose chain of blurs was computed in float32, step by step: measured, 6e-8 after 20 steps.
FLOAT32_NOISE = 1e-7


class WienerUNet(nn.Module):
    """R(x, t) -> x0_hat: the U-Net's answer to the Wiener estimate of x."""

    mean: Tensor
    power: Tensor

    def __init__(self, config: WienerUNetConfig) -> None:
        super().__init__()
        if config.degradation is None or config.size is None or config.noise is None:
            raise ValueError("wiener_unet needs degradation, size and noise, which a training fills in")
        assert isinstance(config.degradation, SeparableLinear)
        self.config, self.degradation, self.variance = config, config.degradation, config.noise**2
        self.net = config.net.build()
        shape = (self.net.channels, *config.size)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("power", torch.ones(shape))

    def fit(self, images: Tensor) -> None:
        """Take mean and power from training images (N, C, H, W) uint8."""
        mean, power = spectral_moments(self.degradation, images)
        self.mean.copy_(mean)
        self.power.copy_(power)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x0_hat (B, C, H, W) in [0, 1] from x (B, C, H, W) at times t (B,)."""
        if x.shape[1:] != self.mean.shape:
            raise ValueError(
                f"this restorer was fitted to images {tuple(self.mean.shape)}, got {tuple(x.shape[1:])}: bring them to "
                "that size (--resize-as-training, --image-size), or train a unet, which takes any"
            )
        answer: Tensor = self.net(self.estimate(x, t).to(x.dtype), t)
        return answer

    def to_bfloat16(self) -> WienerUNet:
        """The U-Net with its weights in bf16, but for the first layer; in place."""
        self.net.to_bfloat16()
        return self

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def estimate(self, x: Tensor, t: Tensor) -> Tensor:
        """What the U-Net sees; in float64, where differences of a millionth are large."""
        return wiener_estimate(self.degradation, x, t, self.mean, self.power, self.variance)
