"""Block means, down to one colour."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..registry import register
from .base import Claims, Degradation, Images, Params


@register("pixelate")
@dataclass(frozen=True, kw_only=True)
class Pixelate(Degradation):
    """Means over blocks of 2^k pixels a side, k = s log2(largest).

    Blocks are nested, the last of a row may be narrower, and between two block sizes D is linear: any image size,
    any t.

    Source: Cold Diffusion section 4.3 (super-resolution), with area averages.

    Args:
        largest: side of the blocks at s = 1 in pixels, a power of two; None is the whole image. A restorer that is to
            see pictures of another size than those of its training needs it: else t means another block there.
    """

    largest: int | None = None

    claims = Claims.LINEAR | Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE

    def check(self) -> None:
        if self.largest is not None and (self.largest < 2 or self.largest & (self.largest - 1)):
            raise ValueError(f"largest must be a power of two, >= 2 pixels, got {self.largest}")

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        halvings = max((self.largest or max(x.shape[-2:])) - 1, 1).bit_length()
        position = s * halvings
        mixed = torch.relu(1 - position) * x
        for k in range(1, halvings + 1):
            weight = torch.relu(1 - (position - k).abs())
            mixed = mixed + weight * block_means(x, 2**k)
        return torch.where(s > 0, mixed, x)


def block_means(x: Images, size: int) -> Images:
    """Every pixel replaced by the mean of its size x size block; blocks start at the top left corner."""
    h, w = x.shape[-2:]
    means = F.avg_pool2d(x, (min(size, h), min(size, w)), ceil_mode=True, count_include_pad=False)
    return means.repeat_interleave(size, dim=-2)[..., :h, :].repeat_interleave(size, dim=-1)[..., :w]
