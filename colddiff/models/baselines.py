"""Classical restorers, which need no network: what a learned one has to beat."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataset import ImageData
from ..degradations.base import Claims, Degradation, Images
from ..degradations.families.separable import SeparableLinear
from ..degradations.levels import level_at, on_levels, one_if_shared
from ..degradations.spectral import apply_axes
from ..degradations.times import as_times
from ..samplers.unknown_params import bind_observed
from ..utils.table_cache import cached_tables
from .wiener import ROUNDING_VARIANCE, moments, shrinkage, spectral_moments, wiener_estimate


@dataclass(frozen=True, eq=False)
class Baseline(ABC):
    """A restorer R(x, t) -> x0_hat that follows from the degradation and a few statistics of clean images.

    Args:
        degradation: what it undoes.
        statistics: the tensors named in `needs`, (C, H, W), fitted to training images.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    description: ClassVar[str]  # what it is, for a report's protocol

    degradation: Degradation
    statistics: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        shapes = {name: tuple(value.shape) for name, value in self.statistics.items()}
        alike = len(set(shapes.values())) <= 1 and all(len(shape) == 3 for shape in shapes.values())
        if shapes.keys() != set(self.needs) or not alike:
            raise ValueError(
                f"the baseline {self.name} needs {', '.join(self.needs) or 'nothing'}, all (C, H, W), got {shapes}: "
                "without its file baseline.safetensors a run works too"
            )

    @classmethod
    @abstractmethod
    def suits(cls, degradation: Degradation) -> bool:
        """Whether it can undo that degradation, by what the operator claims and implements."""

    @classmethod
    def fit(cls, degradation: Degradation, data: ImageData) -> dict[str, Tensor]:
        """The statistics, float32: of at most 10,000 images, evenly spaced among all."""
        return {}

    @abstractmethod
    def __call__(self, x: Images, t: Tensor) -> Images:
        """x0_hat from images (B, C, H, W) at times t (B,), computed in float64; not clamped."""

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether it can restore images of shape (C, H, W)."""
        return all(tuple(value.shape) == tuple(shape) for value in self.statistics.values())

    def _statistic(self, name: str, like: Tensor) -> Tensor:
        return self.statistics[name].to(like.device, torch.float64)


class Wiener(Baseline):
    """mean + V [g S / (g^2 S + N)] W (x - D(mean)), pair of frequencies by pair of frequencies.

    See `wiener.wiener_estimate`, with the noise N of rounding to 8 bits, of variance (1/255)^2 / 12: where the gain g
    is so small that rounding has drowned what was there, the mean is returned.

    Source: Wiener 1949; Gonzalez & Woods, "Digital Image Processing", section 5.8.
    """

    name = "wiener"
    needs = ("mean", "power")
    description = "wiener: mean and power spectrum of training images, the noise that of 8-bit rounding"
    noise: ClassVar[float] = ROUNDING_VARIANCE

    @classmethod
    def suits(cls, degradation: Degradation) -> bool:
        return isinstance(degradation, SeparableLinear) and degradation.has_spectrum

    @classmethod
    def fit(cls, degradation: Degradation, data: ImageData) -> dict[str, Tensor]:
        assert isinstance(degradation, SeparableLinear)
        mean, power = spectral_moments(degradation, data.images)
        return {"mean": mean.float(), "power": power.float()}

    def __call__(self, x: Images, t: Tensor) -> Images:
        assert isinstance(self.degradation, SeparableLinear)
        mean, power = (self._statistic(name, x) for name in self.needs)
        return wiener_estimate(self.degradation, x, t, mean, power, self.noise).to(x.dtype)


class MeanFill(Baseline):
    """The mean image where the picture is lost, the picture where it is seen, and what is likeliest in between.

    A pointwise operator leaves a x + b of each pixel; its params are read off the picture, as in a restore. It gives
    mean + a S / (a^2 S + N) (x - D(mean)), S the variance of the pixel and N that of rounding to 8 bits, (1/255)^2
    / 12: what is faint is divided out, what has drowned in rounding is filled. Pixels with a = 1 are kept.
    """

    name = "mean fill"
    needs = ("mean", "variance")
    description = "mean fill: mean and variance of each pixel of training images, the noise that of 8-bit rounding"
    noise: ClassVar[float] = ROUNDING_VARIANCE

    @classmethod
    def suits(cls, degradation: Degradation) -> bool:
        known = degradation.observable or degradation.deterministic
        return Claims.POINTWISE in degradation.claims and known

    @classmethod
    def fit(cls, degradation: Degradation, data: ImageData) -> dict[str, Tensor]:
        mean, variance = moments(data.images, lambda x: x)
        return {"mean": mean.float(), "variance": variance.float()}

    def __call__(self, x: Images, t: Tensor) -> Images:
        D, mean = bind_observed(self.degradation, self, x, t), self._statistic("mean", x)
        fill = D(torch.zeros_like(x), t).double()
        kept = D(torch.ones_like(x), t) - fill
        weight = shrinkage(kept, self._statistic("variance", x), self.noise)
        return torch.where(kept == 1, x, (mean + weight * (x - kept * mean - fill)).to(x.dtype))


class Bicubic(Baseline):
    """The small image that is left, each of its pixels the mean of its block, enlarged by bicubic interpolation.

    Between two levels it is linear, as D is. Source: Keys 1981, with a = -3/4, as torch has it.
    """

    name = "bicubic"
    description = "bicubic: the small image that is left, enlarged"

    @classmethod
    def suits(cls, degradation: Degradation) -> bool:
        return isinstance(degradation, SeparableLinear) and degradation.has_blocks

    def __call__(self, x: Images, t: Tensor) -> Images:
        op, size = self.degradation, (x.shape[-2], x.shape[-1])
        assert isinstance(op, SeparableLinear)
        key = ("bicubic", op, size)
        matrices = cached_tables(key, lambda: {str(n): enlargements(n, op.block_sides(n, size)) for n in size})
        rows, columns = (matrices[str(n)].to(x.device) for n in size)
        level, fraction = level_at(op.severity(one_if_shared(as_times(t, x))).reshape(-1, 1, 1, 1), len(rows) - 1)

        def at(k: Tensor) -> Tensor:
            return apply_axes(x.double(), rows.index_select(0, k)[None], columns.index_select(0, k)[None])

        lower = at(level)
        if on_levels(fraction):
            return lower.to(x.dtype)
        return torch.lerp(lower, at((level + 1).clamp(max=len(rows) - 1)), fraction).to(x.dtype)


# The first that suits a degradation is its baseline.
BASELINES: dict[str, type[Baseline]] = {kind.name: kind for kind in (Wiener, MeanFill, Bicubic)}


def kind_for(degradation: Degradation) -> type[Baseline] | None:
    """The classical restorer for a degradation, or None."""
    return next((kind for kind in BASELINES.values() if kind.suits(degradation)), None)


def baseline_for(degradation: Degradation, data: ImageData | None = None) -> Baseline | None:
    """The classical restorer for a degradation, fitted to images; without images only one that needs none."""
    kind = kind_for(degradation)
    if kind is None or (kind.needs and data is None):
        return None
    return kind(degradation, {} if data is None else kind.fit(degradation, data))


def baseline_from(degradation: Degradation, statistics: dict[str, Tensor]) -> Baseline | None:
    """The classical restorer for a degradation, with statistics that were fitted before.

    Raises:
        ValueError: they are those of another one.
    """
    kind = kind_for(degradation)
    return None if kind is None else kind(degradation, statistics)


# --- helpers ---------------------------------------------------------------------------------------------------------


def enlargements(n: int, sides: Tensor) -> Tensor:
    """What takes the mean of each block of an axis and interpolates between the means: (T + 1, n, n), float64.

    Args:
        n: pixels of the axis.
        sides: of the blocks of each level, (T + 1,), see `SeparableLinear.block_sides`.
    """
    made = []
    for side in sides.tolist():
        small = math.ceil(n / side - 1e-9)
        whole = round(small * side)  # the last block may reach beyond the image
        number = torch.arange(small, dtype=torch.float64)
        block = F.interpolate(number[None, None], size=whole, mode="nearest-exact")[0, 0, :n]
        inside = (block == number[:, None]).double()
        pixels = torch.eye(small, dtype=torch.float64)[None, :, :, None]
        between = F.interpolate(pixels, size=(whole, 1), mode="bicubic", align_corners=False)[0, :, :n, 0].mT
        made.append(between @ (inside / inside.sum(dim=1, keepdim=True)))
    return torch.stack(made)
