"""What is trained on what: every setting of a training, and the defaults that depend on the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from .data import ImageData
from .degradations.base import Degradation
from .degradations.gaussian_noise import GaussianNoise
from .parametrization import Epsilon, Velocity
from .priors import ChannelGaussian, Prior
from .registry import Configurable, register
from .unet import RestorerConfig, UNetConfig


@register("train")
@dataclass(frozen=True, kw_only=True)
class TrainConfig(Configurable):
    """Everything that decides what comes out of a training.

    Args:
        data: what `load_data` takes.
        degradation: what to undo.
        out: the run's directory.
        steps: optimizer steps; or `minutes`, which are turned into steps by timing a few. Neither means 10 minutes.
        minutes: wall-clock budget.
        split: of the data to train on.
        image_size: side of the images in pixels; None keeps them.
        restorer: the network; None takes a U-Net that suits the images.
        predict: what the network predicts: x0, or for Gaussian noise the noise (epsilon) or velocity.
        batch_size: images per step and process, `accumulate` times.
        accumulate: batches per optimizer step.
        lr: peak learning rate, reached after warmup_steps and brought down to nothing by a cosine.
        warmup_steps: of the learning rate; at most a tenth of all.
        loss: mean absolute ("l1", the paper's) or squared ("l2") difference from x0.
        ema_decay: of the averaged weights, which is what is saved; shorter at first.
        clip: largest norm of the gradient.
        precision: of the network: bf16 where the hardware has it ("auto"), fp32 or bf16.
        eight_bit: round what the network sees to 8-bit levels, as pictures come.
        flip: mirror images at random.
        shift: move images at random by up to so many pixels, edges repeated.
        prior: where generation starts; None takes what suits the degradation.
        seed: of everything random.
        validate_every, checkpoint_every, sample_every, log_every: in steps.
        device: "auto", "cpu", "cuda".
    """

    group: ClassVar[str] = "colddiff.configs"

    data: str
    degradation: Degradation
    out: str
    steps: int | None = None
    minutes: float | None = None
    split: str = "train"
    image_size: int | None = None
    restorer: RestorerConfig | None = None
    predict: Literal["x0", "epsilon", "velocity"] = "x0"
    batch_size: int = 64
    accumulate: int = 1
    lr: float = 1e-3
    warmup_steps: int = 100
    loss: Literal["l1", "l2"] = "l1"
    ema_decay: float = 0.999
    clip: float = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    eight_bit: bool = True
    flip: bool = False
    shift: int = 0
    prior: Prior | None = None
    seed: int = 0
    validate_every: int = 500
    checkpoint_every: int = 1000
    sample_every: int = 1000
    log_every: int = 10
    device: str = "auto"

    def check(self) -> None:
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give steps or minutes, not both")
        for name in ("steps", "minutes", "batch_size", "accumulate", "lr", "clip", "image_size"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be > 0, got {value}")
        for name in ("validate_every", "checkpoint_every", "sample_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1 step, got {getattr(self, name)}")
        if not 0 <= self.ema_decay < 1 or self.warmup_steps < 0 or self.shift < 0:
            raise ValueError("ema_decay must be in [0, 1), warmup_steps and shift >= 0")
        if self.predict != "x0" and not isinstance(self.degradation, GaussianNoise):
            raise ValueError(
                f"predict={self.predict!r} is for gaussian_noise only: other degradations have no such target"
            )
        if self.predict != "x0" and not isinstance(self.restorer, UNetConfig | None):
            raise ValueError(f"predict={self.predict!r} goes with a unet, got {self.restorer}")


# What may differ between a run and its continuation: where and how often, not what.
FREE_TO_CHANGE = {"out", "device", "validate_every", "checkpoint_every", "sample_every", "log_every"}


def restorer_for(config: TrainConfig, data: ImageData) -> RestorerConfig:
    """The network asked for, else a U-Net of about 5M parameters, smaller below 32 pixels; with its prediction."""
    channels, side = data.images.shape[1], min(data.images.shape[2:])
    large, small = UNetConfig(channels=channels), UNetConfig(channels=channels, patch=1, multipliers=(1, 2))
    shape = config.restorer or (large if side >= 32 else small)
    if config.predict == "x0":
        return shape
    assert isinstance(config.degradation, GaussianNoise) and isinstance(shape, UNetConfig)
    plain = UNetConfig.from_config(shape.to_config() | {"residual": False})
    kind = Epsilon if config.predict == "epsilon" else Velocity
    return kind(net=plain, degradation=config.degradation)


def default_prior(degradation: Degradation, data: ImageData) -> Prior:
    """The operator's own prior; else one colour per image as in the training set, with a little noise to differ."""
    if degradation.prior is not None:
        return Prior.from_config(degradation.prior)
    return ChannelGaussian.fit(data[torch.arange(min(len(data), 10_000))], sigma=0.001)
