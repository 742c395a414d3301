"""Distances between images, one number per image, and their averages with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def rmse(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square difference of each image: (B,), float64."""
    return (a.double() - b.double()).square().mean(dim=(1, 2, 3)).sqrt()


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB for a range of 1: (B,), float64; 100 dB where they are equal."""
    return -20 * torch.log10(rmse(a, b).clamp(min=1e-5))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image: (B,), float64.

    scikit-image's Gaussian one (sigma 1.5, 11 taps, borders left out); 7 taps or fewer on images below 11 pixels.

    Source: Wang et al. 2004.
    """
    from kornia.metrics import ssim as ssim_map

    window = ssim_window(min(a.shape[-2:]))
    return ssim_map(a.double(), b.double(), window, eps=0.0, padding="valid").mean(dim=(1, 2, 3))


def ssim_window(side: int) -> int:
    """Taps of the SSIM window for images of that side: 11, or the largest of 7, 5, 3, 1 that fits."""
    return next(taps for taps in (11, 7, 5, 3, 1) if taps <= side)


@dataclass(frozen=True)
class Summary:
    """A mean over images with its 95% interval (normal approximation)."""

    mean: float
    low: float
    high: float


def summary(values: Tensor) -> Summary:
    """Mean of (N,) values and its 95% interval."""
    mean = float(values.mean())
    half = 1.96 * float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Summary(mean, mean - half, mean + half)
