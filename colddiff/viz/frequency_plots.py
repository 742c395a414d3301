"""What a degradation does to each spatial frequency: computed where it is known, else measured on images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor

from ..degradations.base import Degradation, Images
from ..degradations.families.separable import SeparableLinear
from .film_strips import film
from .style import SMALL, name_axes, panels, scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIMES = (0.1, 0.25, 0.5, 0.75, 1.0)
SIDE = 256  # pixels of an axis, where no images say
RINGS = 32  # of frequencies, at most
LEAST = 1e-3  # of a gain that is drawn: a quarter of a level of 8 bits
NOTHING = 1e-12  # of the power: what rounding leaves
MEASURED = "gain (square root of the ratio of powers)"


@dataclass(frozen=True)
class Gains:
    """By what a degradation multiplies each spatial frequency.

    Args:
        frequency: (K,) cycles per pixel, rising, in (0, 1/2].
        times: (T,).
        gain: (T, K). Exact, of the amplitude along one axis; measured, the root of the ratio of powers, in which what
            is added counts too.
        correlation: (T, K) in [-1, 1] of the degraded with the clean picture, NaN where nothing is left; None where
            the gain is exact.
    """

    frequency: Tensor
    times: Tensor
    gain: Tensor
    correlation: Tensor | None = None


def gains(
    degradation: Degradation,
    images: Images | None = None,
    *,
    times: Sequence[float] = TIMES,
    generator: torch.Generator | None = None,
) -> Gains:
    """The gain of every spatial frequency: of an operator with a `spectrum` exact, else measured on images.

    Args:
        degradation: what is looked at.
        images: clean, (B, C, H, W); of an operator with a spectrum only their size matters.
        times: in [0, 1].
        generator: for what is random.

    Raises:
        ValueError: images are needed and missing, or smaller than 8 pixels a side.
    """
    t = torch.tensor(times, dtype=torch.float64)
    if known(degradation):
        return _exact(degradation, SIDE if images is None else max(images.shape[-2:]), t)
    if images is None:
        raise ValueError(f"what {_named(degradation)} does to frequencies is measured: give images")
    if min(images.shape[-2:]) < 8:
        raise ValueError(f"frequencies need pictures of 8 pixels a side, got {tuple(images.shape)}")
    return _measured(degradation, images.double(), t, generator)


def known(degradation: Degradation) -> TypeGuard[SeparableLinear]:
    """Whether its gain follows from a spectrum, and needs no images."""
    return isinstance(degradation, SeparableLinear) and degradation.has_spectrum


def frequencies(
    degradation: Degradation,
    images: Images | None = None,
    *,
    times: Sequence[float] = TIMES,
    generator: torch.Generator | None = None,
) -> Figure:
    """A plot of `gains`, a line for each time; where it is measured, with the correlation beside it.

    Args:
        degradation: what is looked at.
        images: clean, (B, C, H, W); needed where nothing but a measurement tells.
        times: in [0, 1].
        generator: of what is random, on the CPU.

    Raises:
        ModuleNotFoundError: matplotlib is missing. What `gains` raises.
    """
    found = gains(degradation, images, times=times, generator=generator)
    if found.correlation is None:
        told, shown = "exact, from its spectrum", [("gain of the amplitude", found.gain)]
    else:
        assert images is not None
        n, _, height, width = images.shape
        told = f"measured on {n} picture{'' if n == 1 else 's'} of {width} x {height} pixels"
        shown = [(MEASURED, found.gain), ("correlation with the clean picture", found.correlation)]
    drawn, axes = panels(1, len(shown), f"{_named(degradation)}: {told}")
    x = found.frequency.tolist()
    for ax, (title, values) in zip(axes, shown, strict=True):
        for k, colour in enumerate(_shades(len(found.times))):
            ax.plot(x, values[k].tolist(), color=colour, lw=1.8, label=f"t = {times[k]:g}")
        scale(ax, "x", x, log=True)
        lines = values[values.isfinite()].tolist()
        many = max(lines) > 3
        scale(ax, "y", [max(v, LEAST) for v in lines] if many else [*lines, 0, 1], log=many)
        name_axes(ax, title, "spatial frequency (cycles per pixel)")
    axes[-1].legend(fontsize=SMALL, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return drawn


# --- helpers ---------------------------------------------------------------------------------------------------------


def _exact(op: SeparableLinear, n: int, times: Tensor) -> Gains:
    """Along one axis of n pixels, the other one at rest."""
    basis = op.spectrum(n, torch.zeros(1, dtype=torch.long))[0][0]
    gain = op.gain(op.severity(times), (n, n))[:, 0, :, 0]
    # Waves obey v[p - 1] + v[p + 1] = 2 cos(omega) v[p], whatever the border: that is how they tell their frequency.
    inner = basis[1:-1]
    cosine = (inner * (basis[:-2] + basis[2:])).sum(dim=0) / (2 * inner.square().sum(dim=0))
    frequency = cosine.clamp(-1, 1).acos() / (2 * math.pi)
    order = frequency.argsort()[1:]  # without the mean
    return Gains(frequency[order], times, gain[:, order])


def _measured(op: Degradation, x: Images, times: Tensor, generator: torch.Generator | None) -> Gains:
    """In rings of frequencies, over all directions, channels and images; a window keeps the borders out of it."""
    height, width = x.shape[-2:]
    fy, fx = torch.fft.fftfreq(height, dtype=torch.float64), torch.fft.rfftfreq(width, dtype=torch.float64)
    side = min(height, width)
    radius = (fy[:, None] ** 2 + fx**2).sqrt()
    # The window smears the mean over the first ring.
    edges = torch.logspace(math.log10(1.5), math.log10(side / 2 + 0.5), RINGS + 1, dtype=torch.float64)
    edges = torch.unique((edges - 0.5).round() + 0.5) / side
    ring = torch.bucketize(radius, edges).flatten() - 1
    inside = (ring >= 0) & (ring < len(edges) - 1)
    window = _hann(height)[:, None] * _hann(width)

    def waves(images: Tensor) -> Tensor:
        images = images.cpu()
        found: Tensor = torch.fft.rfft2((images - images.mean(dim=(2, 3), keepdim=True)) * window)
        return found

    def summed(values: Tensor) -> Tensor:
        found = torch.zeros(len(edges) - 1, dtype=torch.float64)
        return found.index_add_(0, ring[inside], values.sum(dim=(0, 1)).flatten()[inside])

    clean = waves(x)
    power, ones = summed(clean.abs() ** 2), summed(torch.ones_like(radius)[None, None])
    frequency = summed(radius[None, None]) / ones
    gain, correlation = [], []
    for frame in film(op, x, times, generator=generator):
        seen = waves(frame)
        own = summed(seen.abs() ** 2)
        gain.append((own / power).sqrt())
        found = summed((clean.conj() * seen).real) / (own * power).sqrt()
        correlation.append(torch.where(own > NOTHING * power, found, math.nan))
    kept = (ones > 0) & (power > 0)
    return Gains(frequency[kept], times, torch.stack(gain)[:, kept], torch.stack(correlation)[:, kept])


def _hann(n: int) -> Tensor:
    return torch.sin(torch.linspace(0, math.pi, n, dtype=torch.float64)) ** 2


def _shades(count: int) -> list[tuple[float, float, float, float]]:
    """Colours that get darker with time, without the yellow that nobody sees on white."""
    from matplotlib import colormaps

    return [colormaps["viridis"](0.85 * (1 - k / max(count - 1, 1))) for k in range(count)]


def _named(op: Degradation) -> str:
    return op.registered_name or type(op).__name__
