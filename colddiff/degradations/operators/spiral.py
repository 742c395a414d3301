"""Pixels that vanish one after another along a spiral."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ...utils.rng import uniform
from ..base import Claims, Images, Params
from ..families.blend import Blend
from ..families.radial import colour_of_hole
from ..fill import check_fill, fill_colour
from ..levels import level_at, on_levels, one_if_shared


@register("spiral")
@dataclass(frozen=True, kw_only=True)
class Spiral(Blend):
    """Pixels take the fill colour along a square spiral from ((H - 1) // 2, (W - 1) // 2): right, down, left, up.

    At level k of T the first round(k H W / T) pixels are gone; what the spiral passes outside the picture is skipped.
    Masks are nested, so Algorithm 2 never changes an observed pixel.

    Source: upstream's `Spiral` and, with a random fill, `Spiral_2` routines, which are for 32 x 32 pixels.

    Args:
        num_steps: T; H W of them remove one pixel each.
        fill: the colour of a missing pixel in [0, 1]: one number, or one per channel.
        random_fill: one colour per image instead, each channel from U[0.5, 1]; fill has no effect.

    Params: color (B, C, 1, 1) with random_fill.
    """

    num_steps: int = 1024
    fill: tuple[float, ...] = (0.5,)
    random_fill: bool = False

    prior = "constant"

    def check(self) -> None:
        check_fill(self.fill)
        if not 1 <= self.num_steps <= 1_000_000:
            raise ValueError(f"num_steps must be in 1 .. 1,000,000, got {self.num_steps}")

    @property
    def claims(self) -> Claims:
        smooth = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE | Claims.POINTWISE
        return smooth if self.random_fill or any(self.fill) else smooth | Claims.LINEAR

    @property
    def levels(self) -> int:
        return self.num_steps

    @property
    def deterministic(self) -> bool:
        return not self.random_fill

    @property
    def param_shapes(self) -> dict[str, tuple[int | str, ...]]:
        return {"color": ("C", 1, 1)} if self.random_fill else {}

    def end(self, x: Images, params: Params) -> Tensor:
        return params["color"] if self.random_fill else params["fill"]

    def weight(self, s: Tensor, x: Images, params: Params) -> Tensor:
        level, fraction = level_at(one_if_shared(s), self.num_steps)
        lower = self._gone_at(level, s, params["order"])
        if on_levels(fraction):
            return lower
        return torch.lerp(lower, self._gone_at((level + 1).clamp(max=self.num_steps), s, params["order"]), fraction)

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        return {"color": 0.5 + uniform((*like.shape[:2], 1, 1), like, generator) / 2} if self.random_fill else {}

    def tables(self, like: Images) -> Params:
        order = spiral_order(*like.shape[-2:]).to(like.device, non_blocking=True)
        return {"order": order} if self.random_fill else {"order": order, "fill": fill_colour(self.fill, like)}

    def observe(self, x_t: Images, t: Tensor, mask: Tensor | None = None) -> Params:
        """The colour of the pixels that are gone at time t, or of the user's mask."""
        if not self.random_fill:
            return {}
        s = self.severity(one_if_shared(t)).to(x_t.dtype).reshape(-1, 1, 1, 1)
        gone = self.weight(s, x_t, self._tables(x_t)) if mask is None else mask.to(x_t.dtype)
        return {"color": colour_of_hole(x_t, gone)}

    def _gone_at(self, level: Tensor, s: Tensor, order: Tensor) -> Tensor:
        """1 where a pixel is gone at levels (B,), else 0: (B, 1, H, W)."""
        count = (2 * level * order.numel() + self.num_steps) // (2 * self.num_steps)
        return (order < count.view(-1, 1, 1, 1)).to(s.dtype)


def spiral_order(h: int, w: int) -> Tensor:
    """When a square spiral from the centre comes to each pixel: (h, w) int64, a permutation of 0 .. h w - 1."""
    dy, dx = torch.meshgrid(*(torch.arange(side) - (side - 1) // 2 for side in (h, w)), indexing="ij")
    ring = torch.maximum(dy.abs(), dx.abs())
    # Ring r: down its right side, left along the bottom, up the left side, right along the top to its very end.
    along = ring - 1 + dy
    along = torch.where(dy == ring, 3 * ring - 1 - dx, along)
    along = torch.where(dx == -ring, 5 * ring - 1 - dy, along)
    along = torch.where(dy == -ring, 7 * ring - 1 + dx, along)
    place = torch.where(ring > 0, (2 * ring - 1) ** 2 + along, 0)
    return place.flatten().argsort().argsort().view(h, w)
