"""Pixels that vanish one after another: nested masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ...utils.numerics import computing_dtype
from ...utils.rng import uniform
from ..base import Claims, Degradation, Images, Params
from ..fill import check_fill, fill_colour


@register("pixel_mask")
@dataclass(frozen=True, kw_only=True)
class PixelMask(Degradation):
    """Pixels are replaced by the fill colour in a random or given order: at severity s the first share s is gone.

    Masks are nested, so Algorithm 2 never changes an observed pixel.

    Source: Cold Diffusion section 4.2 in spirit; k-space cold diffusion (2023) orders its masks so.

    Args:
        fill: the colour of a missing pixel in [0, 1]: one number, or one per channel.

    Params: rank (B, 1, H, W) in [0, 1): a pixel is missing where rank < s.
    """

    fill: tuple[float, ...] = (0.5,)

    prior = "constant"

    def check(self) -> None:
        check_fill(self.fill)

    @property
    def claims(self) -> Claims:
        smooth = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE | Claims.POINTWISE
        return smooth | Claims.LINEAR if not any(self.fill) else smooth

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        return torch.where(params["rank"] < s, params["fill"], x)

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        """A random permutation of the pixels of each image."""
        n, h, w = len(like), *like.shape[-2:]
        order = uniform((n, h * w), like, generator).argsort(dim=1, stable=True).argsort(dim=1)
        # Half-way between severities k / (h w), so that rounding never moves a pixel to another level.
        rank = (order.to(computing_dtype(like.dtype)) + 0.5) / (h * w)
        return {"rank": rank.reshape(n, 1, h, w)}

    def tables(self, like: Images) -> Params:
        return {"fill": fill_colour(self.fill, like)}

    def observe(self, x_t: Images, t: Tensor, mask: Tensor | None = None) -> Params:
        """Missing where the user's mask says so, else where the colour is the fill to within an 8-bit level.

        The order within the missing and within the seen pixels is a fixed, well-spread one.
        """
        n, _, h, w = x_t.shape
        if mask is None:
            mask = ((x_t - fill_colour(self.fill, x_t)).abs() < 1 / 255).all(dim=1, keepdim=True)
        s = self.severity(t).to(x_t.dtype).reshape(-1, 1, 1, 1)
        golden = torch.arange(h * w, device=x_t.device, dtype=torch.float64) * 0.6180339887498949
        order = (golden - golden.floor()).to(x_t.dtype).reshape(1, 1, h, w).expand(n, 1, h, w)
        return {"rank": torch.where(mask.bool(), s * order, s + (1 - s) * order)}
