"""The methods that are compared: how each is trained, and how it walks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..degradations.base import Degradation
from ..degradations.noise_schedules import CosineBetas
from ..degradations.operators.blur_noise import BlurNoise
from ..degradations.operators.gaussian_noise import GaussianNoise
from ..degradations.operators.interpolate import Interpolate
from ..degradations.schedules import Bridge

NOISE = GaussianNoise(betas=CosineBetas(num_steps=1000))
NOISE_END = GaussianNoise(betas=CosineBetas(num_steps=200))


@dataclass(frozen=True)
class Method:
    """A way to train and to walk.

    Args:
        about: what it is, and whose.
        training: its name in folders; methods of one name share their runs.
        sampler: how it walks, by name.
        degradation: what it is trained to undo, from what damages the images (B, C, H, W) and their side in pixels.
        changes: settings of its training.
        beside: whether the network sees the damaged picture beside that.
    """

    about: str
    training: str
    sampler: str
    degradation: Callable[[Degradation, int], Degradation] = lambda D, side: D
    changes: dict[str, Any] = field(default_factory=dict)
    beside: bool = False


HOT: dict[str, Any] = {
    "quantize_inputs": False,
    "prior": None,
}  # nobody ever sees noise as a picture; its start is known
# As published: a walk through noise needs the mean of what x0 may be, where L1 finds the median, black for most pixels
# of a digit.
MEAN = {"loss": "l2"}
# fmt: off
NAIVE = Method("Algorithm 1 (Bansal et al. 2022)", "cold", "naive")
IMPROVED = Method("Algorithm 2 (Bansal et al. 2022)", "cold", "improved")
INDI = Method("a straight line to the damaged picture, x0 (InDI, Delbracio & Milanfar 2023)", "indi", "estimated",
              lambda D, side: Interpolate(to=D))
I2SB = Method("the same line in the time of a bridge, its ODE (I2SB, Liu et al. 2023)", "i2sb", "estimated",
              lambda D, side: Interpolate(to=D, schedule=Bridge()))
# The noise itself would be divided by a signal that has vanished at t = 1, which few steps do not survive.
DDPM = Method("Gaussian noise on a cosine (Ho et al. 2020), velocity (Salimans & Ho 2022); DDIM, as DDPM needs many "
              "more steps", "ddpm", "estimated", lambda D, side: NOISE, HOT | {"predict": "velocity"})
BLUR_NOISE = Method("blur and noise at once, deterministic, L2 (Hoogeboom & Salimans 2023)", "blur_noise", "estimated",
                    lambda D, side: BlurNoise(sigma_max=0.625 * side), HOT | MEAN)  # there 20 pixels of 32
RESTORING = {
    "one_shot": Method("one call, the direct answer (Bansal et al. 2022)", "cold", "one_shot"),
    "naive": NAIVE, "improved": IMPROVED, "indi": INDI,
    "flow": Method("a straight line to the damaged picture, its direction (rectified flow, Liu et al. 2023)", "flow",
                   "estimated", lambda D, side: Interpolate(to=D), {"predict": "flow"}),
    "i2sb": I2SB, "ddpm": replace(DDPM, beside=True), "blur_noise": replace(BLUR_NOISE, beside=True),
}
GENERATING = {
    "naive": NAIVE, "improved": IMPROVED,
    "ihdm": Method("noise added at every step, L2 (IHDM, Rissanen et al. 2023)", "ihdm", "ihdm",
                   changes={"input_noise": 0.01} | MEAN),
    "indi": INDI, "i2sb": I2SB,
    "flow": Method("a straight line to noise, its direction (rectified flow, Liu et al. 2023)", "flow", "estimated",
                   lambda D, side: Interpolate(to=NOISE_END), HOT | {"predict": "flow"}),
    "ddpm": DDPM, "blur_noise": BLUR_NOISE,
}
# fmt: on
