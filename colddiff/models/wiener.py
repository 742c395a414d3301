"""The best linear estimate of what a separable filter has blurred, frequency by frequency."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..degradations.base import Images
from ..degradations.families.separable import SeparableLinear
from ..degradations.levels import one_if_shared
from ..degradations.times import as_times
from ..utils.numerics import exact_float32

# The error of rounding to 8-bit levels, even over 1 / 255.
ROUNDING_VARIANCE = (1 / 255) ** 2 / 12
MOST_IMAGES = 10_000  # that statistics are fitted to, and
MOST_VALUES = 2**25  # pixels times channels of all of them: a second or two
BATCH_VALUES = 2**20  # at once


def wiener_estimate(
    op: SeparableLinear, x: Images, t: Tensor | float, mean: Tensor, power: Tensor, noise: float
) -> Images:
    """mean + V [g S / (g^2 S + N)] W (x - D(mean)), pair of frequencies by pair of frequencies.

    V and W are the operator's own basis, g its gain at each image's severity, S the power of the deviations of clean
    images from their mean, N that of what x carries beside D(x0, t). A basis that is not orthogonal (DCT-I) changes N
    by the norms of the rows of W. It is the best linear estimate where frequencies are uncorrelated.

    Args:
        op: what blurred x; it has a spectrum.
        x: images (B, C, H, W) at times t, one or (B,).
        mean, power: (C, H, W), from `spectral_moments`.
        noise: its variance in a pixel.

    Returns:
        x0_hat (B, C, H, W) in float64; not clamped.
    """
    with exact_float32(x.device):
        (back_h, there_h), (back_w, there_w) = op.bases(x)
        mean, power = mean.to(x.device, torch.float64), power.to(x.device, torch.float64)
        times = one_if_shared(as_times(t, x))
        gain = op.gain(op.severity(times), (x.shape[-2], x.shape[-1])).to(x.device)
        rows = noise * there_h.square().sum(dim=1)[:, None] * there_w.square().sum(dim=1)
        mean = there_h @ mean @ there_w.mT
        deviation = there_h @ x.double() @ there_w.mT - gain * mean
        found = mean + shrinkage(gain, power, rows) * deviation
        estimate: Tensor = back_h @ found @ back_w.mT
        return estimate


def spectral_moments(op: SeparableLinear, images: Tensor) -> tuple[Tensor, Tensor]:
    """The mean image and the power of the deviations in the operator's basis, (C, H, W) float64, of uint8 images."""
    (back_h, there_h), (back_w, there_w) = op.bases(images)
    mean, power = moments(images, lambda x: there_h @ x @ there_w.mT)
    return back_h @ mean @ back_w.mT, power


def moments(images: Tensor, change: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and variance (C, H, W) of what `change` makes of images (N, C, H, W) uint8, as float64 in [0, 1].

    Where they are many, of 10,000 that are evenly spaced among all.
    """
    values = images[0].numel()
    number = min(len(images), MOST_IMAGES, max(2, MOST_VALUES // values))
    total = squares = torch.zeros((), dtype=torch.float64)
    places = torch.linspace(0, len(images) - 1, number, dtype=torch.float64).round().long()
    for part in torch.split(places, max(1, BATCH_VALUES // values)):
        changed = change(images[part].double() / 255)
        total, squares = total + changed.sum(dim=0), squares + changed.square().sum(dim=0)
    mean = total / number
    return mean, (squares / number - mean.square()).clamp(min=0)


def shrinkage(gain: Tensor, power: Tensor, noise: Tensor | float) -> Tensor:
    """g S / (g^2 S + N), and 0 where there is nothing to estimate."""
    total = gain.square() * power + noise
    return torch.where(total > 0, gain * power / total, 0)
