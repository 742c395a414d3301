"""Falling snow: flakes of a Gaussian field, blurred by their motion and drawn twice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from kornia.filters import filter2d_separable
from torch import Tensor

from ...utils.config import register
from ...utils.numerics import flush_negligible, moved
from ...utils.rng import integers, normal
from ..base import Claims, Degradation, Images, Params
from ..blur_schedules import gaussian_kernels
from ..levels import level_at, on_levels, one_if_shared


class Weather(NamedTuple):
    """A level of snow: of the field, and of what is made of it from the first step to the last."""

    mean: float
    std: float
    zoom: float
    taps: int  # of the motion
    threshold: tuple[float, float]
    motion: tuple[float, float]  # its sigma in pixels
    beta: tuple[float, float]  # how much of the image keeps its brightness


# What red, green and blue add to grey; of other images all channels add the same.
LUMINANCE = (0.299, 0.587, 0.114)

LEVELS = {
    1: Weather(0.1, 0.3, 3.0, 5, (0.7, 0.3), (0.5, 5.0), (0.95, 0.7)),
    2: Weather(0.55, 0.3, 2.5, 11, (1.15, 0.7), (0.05, 12.0), (0.95, 0.55)),
    3: Weather(0.55, 0.3, 2.5, 11, (1.15, 0.7), (0.05, 16.0), (0.95, 0.4)),
    4: Weather(0.55, 0.3, 2.5, 11, (1.15, 0.55), (0.05, 20.0), (0.95, 0.3)),
}


@register("snow")
@dataclass(frozen=True, kw_only=True)
class Snow(Degradation):
    """clip(b + S + rot180(S), 0, 1): S the flakes of a fixed layer above a threshold, blurred along a line.

    From step 1 to step T the threshold falls, the motion's sigma grows, and b, the image, turns brighter and greyer:
    b = beta x + (1 - beta) max(x, 1.5 grey + 0.5); or b = x. D at level 0 is x itself, not clipped.

    Source: Cold Diffusion, "snowification", after the snow of Hendrycks & Dietterich 2019.

    Args:
        num_steps: T.
        level: how heavy, 1 .. 4; the paper's CIFAR-10 has 3, its CelebA 4.
        fix_brightness: leave the image's brightness as it is, b = x.

    Params: layer (B, 1, H, W), the Gaussian field, zoomed in; vertical (B,) bool, true where its flakes fall along
        columns, false along rows.
    """

    num_steps: int = 200
    level: int = 3
    fix_brightness: bool = True

    claims = Claims.MONOTONE | Claims.TRACEABLE  # not differentiable where it clips, at black and white

    def check(self) -> None:
        if not 1 <= self.num_steps <= 10_000:
            raise ValueError(f"num_steps must be in 1 .. 10,000, got {self.num_steps}")
        if self.level not in LEVELS:
            raise ValueError(f"level must be in 1 .. {len(LEVELS)}, got {self.level}")

    @property
    def levels(self) -> int:
        return self.num_steps

    @property
    def param_shapes(self) -> dict[str, tuple[int | str, ...]]:
        return {"layer": (1, "H", "W"), "vertical": ()}

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        k, fraction = level_at(one_if_shared(s), self.num_steps)
        lower = torch.where(k.reshape(-1, 1, 1, 1) > 0, self._snowed(x, k, params), x)
        if on_levels(fraction):
            return lower
        return torch.lerp(lower, self._snowed(x, (k + 1).clamp(max=self.num_steps), params), fraction)

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        weather, (b, _, h, w) = LEVELS[self.level], like.shape
        # Zoomed on the CPU in float64, so that a seed means the same snow everywhere.
        field = weather.mean + weather.std * normal((b, 1, h, w), torch.zeros((), dtype=torch.float64), generator)
        return {"layer": moved(zoomed(field, weather.zoom), like), "vertical": integers(2, (b,), like, generator) > 0}

    def tables(self, like: Images) -> Params:
        """What each level has, (T + 1, ...), and what each channel adds to grey."""
        weather, channels = LEVELS[self.level], like.shape[1]
        thresholds, sigmas, betas = (self._along(ends) for ends in (weather.threshold, weather.motion, weather.beta))
        kernels = flush_negligible(gaussian_kernels(sigmas, torch.full(sigmas.shape, weather.taps // 2)))
        # Level 0, where no flake is seen, has the kernel of one that does not move: that of the axis across.
        kernels[0] = torch.eye(weather.taps, dtype=torch.float64)[weather.taps // 2]
        grey = torch.tensor(LUMINANCE if channels == 3 else (1 / channels,) * channels, dtype=torch.float64)
        tables = {"thresholds": thresholds, "kernels": kernels, "betas": betas, "grey": grey}
        return {name: moved(table, like) for name, table in tables.items()}

    def _along(self, ends: tuple[float, float]) -> Tensor:
        """A number of steps 1 .. T, linear from end to end, as that of levels 0 .. T: (T + 1,) float64."""
        steps = torch.linspace(*ends, self.num_steps, dtype=torch.float64)
        return torch.cat([steps[:1], steps])

    def _snowed(self, x: Images, k: Tensor, params: Params) -> Images:
        """D at levels k, (B,) or (1,)."""
        threshold, beta = (params[name].index_select(0, k).reshape(-1, 1, 1, 1) for name in ("thresholds", "betas"))
        flakes = torch.where(params["layer"] < threshold, 0, params["layer"]).clamp(0, 1)
        moving, still = params["kernels"].index_select(0, k), params["kernels"][:1]
        vertical = params["vertical"][:, None] > 0
        along, down = torch.where(vertical, still, moving), torch.where(vertical, moving, still)
        flakes = filter2d_separable(flakes, along, down, border_type="constant")
        if not self.fix_brightness:
            grey = (x * params["grey"].reshape(1, -1, 1, 1)).sum(dim=1, keepdim=True)
            x = torch.lerp(torch.maximum(x, 1.5 * grey + 0.5), x, beta)
        return (x + flakes + flakes.flip(-2, -1)).clamp(0, 1)


def zoomed(field: Tensor, factor: float) -> Tensor:
    """The centre of a field (B, 1, H, W), ceil(side / factor) pixels of each side, enlarged linearly to H x W.

    Source: the `clipped_zoom` of Hendrycks & Dietterich 2019; corners are aligned, as by scipy's zoom of order 1.
    """
    rows, columns = (_zoom_matrix(side, factor) for side in field.shape[-2:])
    return rows @ field @ columns.mT


def _zoom_matrix(side: int, factor: float) -> Tensor:
    """How one axis is enlarged: (side, side), float64."""
    kept = math.ceil(side / factor)
    enlarged = round(kept * factor)
    place = (torch.arange(side) + (enlarged - side) // 2).double() * (kept - 1) / max(enlarged - 1, 1)
    pixel = torch.arange(side) - (side - kept) // 2
    return torch.relu(1 - (place[:, None] - pixel).abs())
