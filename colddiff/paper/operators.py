"""The operators of Cold Diffusion in its own vocabulary: routines by the names that its code has for them.

Every function returns a degradation of this library, for images in [0, 1]; step k of the paper's T is t = k / T.

Source: Bansal et al. 2022, and the options of the code that came with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..degradations.base import Degradation
from ..degradations.blur_schedules import (
    AccumulatingSigma,
    ConstantSigma,
    DecreasingSigma,
    ExponentialSigma,
    LinearSigma,
    SigmaSchedule,
)
from ..degradations.noise_schedules import CosineBetas
from ..degradations.operators.animorph import Animorph
from ..degradations.operators.colour_mask import ColourMask
from ..degradations.operators.desaturate import Desaturate
from ..degradations.operators.gaussian_mask import GaussianMask
from ..degradations.operators.gaussian_noise import GaussianNoise
from ..degradations.operators.iterated_blur import IteratedBlur
from ..degradations.operators.resolution import Resolution
from ..degradations.operators.snow import Snow
from ..degradations.operators.widening_blur import WideningBlur
from ..degradations.spectral import Border
from ..utils.config import suggestion

T = TypeVar("T")

KEPT = 0.9  # of the colour, by each step of the constant decolorization

# What each routine makes of T and kernel_std, and its border.
BLURS: dict[str, tuple[Callable[[int, float], SigmaSchedule], Border]] = {
    "Incremental": (lambda T, std: LinearSigma(start=std, slope=std), "circular"),
    "Constant": (lambda T, std: ConstantSigma(sigma=std), "circular"),
    "Constant_reflect": (lambda T, std: ConstantSigma(sigma=std), "reflect"),
    "Exponential": (lambda T, std: ExponentialSigma(rate=std), "circular"),
    "Exponential_reflect": (lambda T, std: ExponentialSigma(rate=std), "reflect"),
    "Special_6_routine": (lambda T, std: LinearSigma(start=0.35, slope=0.01), "reflect"),
    "Linear_Accum_Std": (
        lambda T, std: AccumulatingSigma(start=std / T, target=std) if T > 1 else ConstantSigma(sigma=std),
        "circular",
    ),
    "Linear_Dec_Std": (lambda T, std: DecreasingSigma(target=std), "circular"),
}
MASKS = {
    "Incremental": {"random_center": False},
    "Constant": {"random_center": False, "growing": False},
    "Random_Incremental": {"random_center": True},
}
MODES = {"": "bicubic", "_bilinear": "bilinear", "_area": "area"}
RESOLUTIONS = (
    {f"Incremental{name}": {"mode": mode, "halving": False} for name, mode in MODES.items()}
    | {f"Incremental{name}_factor_2": {"mode": mode} for name, mode in MODES.items()}
    | {f"Incremental_{mode}_with_blur": {"mode": mode, "halving": False, "blur": True} for mode in MODES.values()}
)
DECOLORS = {"Linear": None, "Constant": KEPT}


def blur(routine: str, num_steps: int, kernel_size: int, kernel_std: float, discrete: bool = False) -> Degradation:
    """num_steps truncated Gaussian kernels, one after another.

    Args:
        routine: Incremental, Constant, Constant_reflect, Exponential, Exponential_reflect; Special_6_routine, which
            has a size and widths of its own; Individual_Incremental, one kernel a level and none before it;
            Linear_Accum_Std and Linear_Dec_Std, which take kernel_std as the width of all steps together, in sizes
            of their own.
        num_steps: T.
        kernel_size: taps per axis, odd.
        kernel_std: in pixels; of the exponential routines the rate at which exp(kernel_std i) grows.
        discrete: level T is the mean of each channel. (To round what the network sees is an option of training.)
    """
    if routine == "Individual_Incremental":
        if discrete:
            raise ValueError("Individual_Incremental has no discrete end: leave discrete out")
        return WideningBlur(num_steps=num_steps)
    sigmas, border = _named(routine, BLURS, "Individual_Incremental")
    own = {"Special_6_routine": 11, "Linear_Accum_Std": None, "Linear_Dec_Std": None}
    return IteratedBlur(
        num_steps=num_steps, kernel_size=own.get(routine, kernel_size), sigmas=sigmas(num_steps, kernel_std),
        border=border, ends_in_mean=discrete,
    )  # fmt: skip


def mask(routine: str, num_steps: int, kernel_std: float, initial_mask: int = 1) -> Degradation:
    """A grey hole that grows.

    Args:
        routine: Incremental and Constant, around the middle; Random_Incremental, anywhere.
        num_steps: T.
        kernel_std: growth of the hole's sigma per step, in pixels; of Constant the sigma itself.
        initial_mask: steps by which the first hole is already grown.

    Params of Random_Incremental: center (B, 2), row and column in pixels.
    """
    fields = _named(routine, MASKS)
    return GaussianMask(num_steps=num_steps, kernel_std=kernel_std, initial_mask=initial_mask, **fields)  # type: ignore[arg-type]


def colour_mask(num_steps: int, kernel_std: float, initial_mask: int = 1, reverse: bool = True) -> Degradation:
    """One colour spreads over the image: from the border inwards, or else from the middle.

    Args:
        num_steps: T.
        kernel_std: growth of the mask's sigma per step, in pixels.
        initial_mask: steps by which the first mask is already grown.
        reverse: from the border inwards.

    Params: color (B, C, 1, 1) in [0, 1].
    """
    return ColourMask(num_steps=num_steps, kernel_std=kernel_std, initial_mask=initial_mask, reverse=reverse)


def resolution(routine: str, num_steps: int) -> Degradation:
    """Fewer pixels at every step.

    Args:
        routine: Incremental, a pixel less at each step (bicubic), Incremental_bilinear, Incremental_area; the same
            with _factor_2, half the side at each step; or Incremental_bicubic_with_blur, _bilinear_ and _area_.
        num_steps: T.
    """
    return Resolution(num_steps=num_steps, **_named(routine, RESOLUTIONS))  # type: ignore[arg-type]


def snow(level: int, num_steps: int, fix_brightness: bool = True) -> Degradation:
    """Snow, level 1 to 4.

    Args:
        level: how heavy; CIFAR-10 has 3, CelebA 4.
        num_steps: T.
        fix_brightness: leave the image's brightness as it is.

    Params: layer (B, 1, H, W), the Gaussian field after its zoom; vertical (B,) bool.
    """
    return Snow(level=level, num_steps=num_steps, fix_brightness=fix_brightness)


def decolor(routine: str, num_steps: int, total_removal: bool = True, lab: bool = False) -> Degradation:
    """Colours fade to the mean of the channels.

    Args:
        routine: Linear, the same share at each step, or Constant, which keeps 0.9 of what is left.
        num_steps: T.
        total_removal: of Constant: the last step removes all that is left.
        lab: each image goes through Lab and back, as where the network sees Lab.
    """
    third = 1 / 3
    keep = _named(routine, DECOLORS)
    return Desaturate(
        weights=(third, third, third), num_steps=num_steps, keep=keep, total_removal=total_removal, lab=lab
    )


def animorph(num_steps: int) -> Degradation:
    """An image becomes another one, in num_steps steps. Params: target (B, C, H, W) in [0, 1]."""
    return Animorph(betas=CosineBetas(num_steps=num_steps))


def noise(num_steps: int) -> Degradation:
    """Gaussian noise on the cosine schedule of num_steps steps. Params: noise (B, C, H, W), standard normal."""
    return GaussianNoise(betas=CosineBetas(num_steps=num_steps))


def _named(routine: str, known: dict[str, T], *others: str) -> T:
    if routine not in known:
        names = ", ".join([*known, *others])
        raise LookupError(f"the paper has no routine {routine!r}{suggestion(routine, known)}; known: {names}")
    return known[routine]
