"""The paper's experiments as trainings: one line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..degradations.base import Degradation
from ..training.config import TrainConfig
from ..utils.config import suggestion
from .operators import animorph, blur, colour_mask, decolor, mask, noise, resolution, snow

# Of every experiment: Adam at 2e-5 without decay, 700,000 steps of two batches of 32, L1. Weights are averaged by 0.995
# every ten steps, 0.9995 at each. One thing is not the paper's: Adam's second moment has 0.99 here, 0.999 there.
TRAINING: dict[str, Any] = {
    "steps": 700_000, "batch_size": 32, "grad_accumulation": 2, "lr": 2e-5, "warmup_steps": 0, "cosine_decay": False,
    "grad_clip": 1e9, "loss": "l1", "ema_decay": 0.9995, "quantize_inputs": False, "precision": "fp32",
}  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """An experiment of the paper.

    Args:
        about: what it is, and which table or figure it belongs to.
        degradation: what is undone.
        side: of the images in pixels.
        channels: of the images.
        restorer: the official network: "convnext_unet" or "resnet_unet".
        changes: what differs from `TRAINING`.
    """

    about: str
    degradation: Degradation
    side: int
    channels: int = 3
    restorer: str = "convnext_unet"
    changes: tuple[tuple[str, Any], ...] = ()

    def fields(self) -> dict[str, Any]:
        """Every setting of its training but data and out, as JSON."""
        told = TRAINING | {"image_size": self.side, "colour": "grey" if self.channels == 1 else "rgb"}
        net = {"type": self.restorer, "channels": self.channels}
        return told | {"degradation": self.degradation.to_config(), "restorer": net} | dict(self.changes)

    def config(self, data: str, out: str, **changes: Any) -> TrainConfig:
        """Its training on that data; a number of minutes or steps replaces its own steps."""
        fields = self.fields() | changes
        if "minutes" in changes:
            fields["steps"] = None
        return TrainConfig(data=data, out=out, **fields)


EIGHT_BIT = (("quantize_inputs", True),)
FLIP = (("flip", True),)
FLIP_AND_EIGHT_BIT = (*EIGHT_BIT, *FLIP)
OF_CELEBA_HOLES = (("batch_size", 100), ("steps", 350_000))

CIFAR_BLUR = blur("Special_6_routine", 50, 11, 0.1)
CELEBA_BLUR = blur("Exponential_reflect", 200, 15, 0.01)
GENERATION_BLUR = blur("Exponential", 300, 27, 0.01, discrete=True)
SMALL_MASK = mask("Random_Incremental", 50, 0.1, 11)
CELEBA_MASK = mask("Incremental", 100, 0.2, 1)
HALVED = "Incremental_factor_2"

# fmt: off
PRESETS = {
    "deblur_mnist":        Preset("table 1", blur("Constant", 20, 11, 7.0), 32, 1, changes=FLIP),
    "deblur_cifar10":      Preset("table 1", CIFAR_BLUR, 32, restorer="resnet_unet", changes=FLIP),
    "deblur_celeba":       Preset("table 1", CELEBA_BLUR, 128, changes=FLIP),
    "inpaint_mnist":       Preset("table 2", SMALL_MASK, 32, 1, changes=EIGHT_BIT),
    "inpaint_cifar10":     Preset("table 2", SMALL_MASK, 32, restorer="resnet_unet", changes=FLIP_AND_EIGHT_BIT),
    "inpaint_celeba":      Preset("table 2", CELEBA_MASK, 128, changes=(*FLIP, *OF_CELEBA_HOLES)),
    "superres_mnist":      Preset("table 3", resolution(HALVED, 3), 32, 1),
    "superres_cifar10":    Preset("table 3", resolution(HALVED, 3), 32, restorer="resnet_unet"),
    "superres_celeba":     Preset("table 3", resolution(HALVED, 4), 128, changes=FLIP),
    "snow_cifar10":        Preset("snowification", snow(3, 200), 32, changes=FLIP),
    "snow_celeba":         Preset("snowification", snow(4, 200), 128, changes=(*FLIP, ("batch_size", 16))),
    "decolor_cifar10":     Preset("colorization", decolor("Linear", 20), 32, changes=FLIP),
    "decolor_celeba":      Preset("colorization", decolor("Linear", 20), 64, changes=FLIP),
    "generate_celeba":     Preset("generation, cold", GENERATION_BLUR, 128, changes=FLIP_AND_EIGHT_BIT),
    "generate_afhq":       Preset("generation, cold", GENERATION_BLUR, 128, changes=FLIP_AND_EIGHT_BIT),
    "noise_celeba":        Preset("generation, hot", noise(200), 128, changes=FLIP),
    "noise_afhq":          Preset("generation, hot", noise(200), 128, changes=FLIP),
    "animorph_celeba":     Preset("generation, from animals (--target-data AFHQ)", animorph(200), 128, changes=FLIP),
    "colour_celeba":       Preset("generation, from a colour", colour_mask(750, 0.05), 128, changes=FLIP),
    "superres_generation": Preset("generation, from 2 x 2 pixels", resolution(HALVED, 6), 128, changes=FLIP),
}
# fmt: on


def preset(name: str) -> Preset:
    """The experiment of that name.

    Raises:
        LookupError: no such name.
    """
    if name not in PRESETS:
        raise LookupError(f"no preset is named {name!r}{suggestion(name, PRESETS)}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
