"""A hole that grows: the paper's inpainting."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels import flush_negligible, integers, level_at, locate, moved, on_levels, one_if_shared
from ..registry import register
from .base import Claims, Images, Params, check_fill, fill_colour
from .blend import Blend

# Above this many numbers the table of cumulative masks is not kept: the product is taken on the spot.
LARGEST_TABLE = 16 * 2**20


@register("gaussian_mask")
@dataclass(frozen=True, kw_only=True)
class GaussianMask(Blend):
    """x times the cumulative mask K_k = prod_{i < k} (1 - exp(-r^2 / 2 sigma_i^2)), towards a fill colour.

    sigma_i = kernel_std (i + initial_mask) pixels, r the distance from the centre; the centre pixel is lost at the
    first step.

    Source: Cold Diffusion section 4.2; upstream's `Incremental` and `Random_Incremental` routines.

    Args:
        num_steps: T.
        kernel_std: growth of sigma per step, in pixels.
        initial_mask: steps by which the first mask is already grown.
        random_center: draw the centre from rows {-1 .. H - 1} and columns {-1 .. W - 1}; else (H // 2 - 1, W // 2 - 1).
        fill: the colour of the hole in [0, 1]: one number, or one per channel.

    Params: center (B, 2), row and column in whole pixels.
    """

    num_steps: int = 50
    kernel_std: float = 0.1
    initial_mask: int = 11
    random_center: bool = True
    fill: tuple[float, ...] = (0.5,)

    def check(self) -> None:
        check_fill(self.fill)
        if not 1 <= self.num_steps <= 100_000:
            raise ValueError(f"num_steps must be in 1 .. 100,000, got {self.num_steps}")
        if not 0 < self.kernel_std < math.inf or self.initial_mask < 1:
            raise ValueError(
                f"kernel_std must be > 0 pixels and initial_mask >= 1, got {self.kernel_std} and {self.initial_mask}"
            )

    @property
    def claims(self) -> Claims:
        smooth = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE | Claims.POINTWISE
        return smooth | Claims.LINEAR if not any(self.fill) else smooth

    @property
    def levels(self) -> int:
        return self.num_steps

    def end(self, x: Images, params: Params) -> Tensor:
        return params["fill"]

    def weight(self, s: Tensor, x: Images, params: Params) -> Tensor:
        r2 = params["r2"] if "r2" in params else self._squared_distances(params["center"], x)
        return 1 - self._keep(s, r2, params.get("masks"))

    def prepare(self, params: Params, like: Images) -> Params:
        """Squared distances r2 (B, 1, H, W) from centres that were drawn: whole numbers, within the table."""
        return {"r2": self._squared_distances(params["center"], like)} if self.random_center else {}

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        if not self.random_center:
            return {}
        sides = like.shape[-2:]
        places = [integers(side + 1, (len(like), 1), like, generator) - 1 for side in sides]
        return {"center": torch.cat(places, dim=1)}

    @property
    def deterministic(self) -> bool:
        return not self.random_center

    def tables(self, like: Images) -> Params:
        """The fill colour, the centre where it is not drawn, and K_k by squared distance, (T + 1, R)."""
        h, w = like.shape[-2:]
        tables = {"fill": fill_colour(self.fill, like)}
        if not self.random_center:
            tables["center"] = moved(torch.tensor([[h // 2 - 1, w // 2 - 1]]), like)
            tables["r2"] = self._squared_distances(tables["center"], like)
        radii = h**2 + w**2 + 1
        if (self.num_steps + 1) * radii > LARGEST_TABLE:
            return tables
        r2 = torch.arange(radii, dtype=torch.float64)
        steps = -torch.expm1(-r2 / (2 * self._sigmas()[:, None] ** 2))
        masks = flush_negligible(torch.cat([torch.ones(1, radii, dtype=torch.float64), torch.cumprod(steps, dim=0)]))
        return tables | {"masks": moved(masks, like)}

    def observe(self, x_t: Images, t: Tensor, mask: Tensor | None = None) -> Params:
        """The centre whose mask at time t explains best where the picture is like the fill colour.

        A user's mask gives its own centroid instead.
        """
        h, w = x_t.shape[-2:]
        rows, columns = (torch.arange(side, device=x_t.device, dtype=x_t.dtype) for side in (h, w))
        if mask is not None:
            weight = mask.to(x_t.dtype).sum(dim=1)
            total = weight.sum(dim=(1, 2)).clamp(min=1)
            row, column = (weight.sum(2) @ rows) / total, (weight.sum(1) @ columns) / total
            return {"center": torch.stack([row.round(), column.round()], dim=1)}
        # log |x_t - fill| = log K(p - c) + the picture's own contrast, floored at half an 8-bit step.
        seen = ((x_t - fill_colour(self.fill, x_t)).abs().amax(dim=1) + 1 / 512).log()
        s = self.severity(one_if_shared(t)).to(x_t.dtype).reshape(-1, 1, 1, 1)
        canvas, middle = x_t.new_empty(len(s), 1, 2 * h, 2 * w), moved(torch.tensor([[h - 1, w - 1]]), x_t)
        expected = (self._keep(s, self._squared_distances(middle, canvas), None)[:, 0] / 4 + 1 / 512).log()
        return {"center": locate(expected, seen).to(x_t.dtype)}

    def _squared_distances(self, center: Tensor, like: Tensor) -> Tensor:
        """(B, 1, H, W) from centres (B, 2); one far outside is as far as the table goes.

        An index past the end of a table would stop a GPU for good.
        """
        places = [torch.arange(side, device=like.device) for side in like.shape[-2:]]
        offsets = (p - center[:, i : i + 1].round().long() for i, p in enumerate(places))
        dy, dx = (offset.clamp(-side, side) for offset, side in zip(offsets, like.shape[-2:], strict=True))
        return (dy[:, :, None] ** 2 + dx[:, None, :] ** 2)[:, None]

    def _keep(self, s: Tensor, r2: Tensor, masks: Tensor | None) -> Tensor:
        """K at severity s: (B, 1, H, W), linear between levels."""
        level, fraction = level_at(one_if_shared(s), self.num_steps)
        level = level.reshape(-1, 1, 1, 1)
        if masks is None:
            return self._product(r2.to(s.dtype), level, fraction)
        lower = masks.take(r2 + masks.shape[1] * level)
        if on_levels(fraction):
            return lower
        return torch.lerp(lower, masks.take(r2 + masks.shape[1] * (level + 1).clamp(max=self.num_steps)), fraction)

    def _product(self, r2: Tensor, level: Tensor, fraction: Tensor) -> Tensor:
        """The same without a table, for canvases too large for one."""
        low, high = torch.ones_like(r2), torch.ones_like(r2)
        for i in range(self.num_steps):
            sigma = self.kernel_std * (i + self.initial_mask)
            step = -torch.expm1(-r2 / (2 * sigma**2))
            low, high = torch.where(i < level, low * step, low), torch.where(i <= level, high * step, high)
        return torch.lerp(low, high, fraction)

    def _sigmas(self) -> Tensor:
        return self.kernel_std * (torch.arange(self.num_steps, dtype=torch.float64) + self.initial_mask)
