"""Pixels that turn black or white one after another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ...utils.rng import integers, uniform
from ..base import Claims, Degradation, Images, Params


@register("salt_and_pepper")
@dataclass(frozen=True, kw_only=True)
class SaltAndPepper(Degradation):
    """Each pixel is hit with probability s share, and a hit pixel is black or white in all channels, as a coin falls.

    Hits are nested in t, so Algorithm 2 never changes a pixel that was not hit.

    Source: impulse noise, Gonzalez & Woods, "Digital Image Processing", section 5.2.

    Args:
        share: of pixels hit at t = 1, in (0, 1].

    Params: rank (B, 1, H, W) in [0, 1): a pixel is hit where rank < s share; salt (B, 1, H, W), its value then: 0 or 1.
    """

    share: float = 0.9

    claims = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE | Claims.POINTWISE

    def check(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1], a part of all pixels, got {self.share}")

    @property
    def prior(self) -> str | None:
        return "constant" if self.share == 1 else None

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        return torch.where(params["rank"] < s * self.share, params["salt"], x)

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        shape = (len(like), 1, *like.shape[-2:])
        return {"rank": uniform(shape, like, generator), "salt": integers(2, shape, like, generator)}

    def observe(self, x_t: Images, t: Tensor, mask: Tensor | None = None) -> Params:
        """Hit where the user's mask says so, else where all channels are 0, or all 1, to within half an 8-bit level.

        Without a mask, what is black or white in the picture itself is taken for hit too: nobody can tell. The order
        within the hit and within the other pixels is a fixed, well-spread one, and salt is the damaged picture
        itself (B, C, H, W), so that D reproduces whatever stands under a mask.
        """
        n, _, h, w = x_t.shape
        if mask is None:
            black, white = ((x_t - value).abs() < 0.5 / 255 for value in (0, 1))
            mask = black.all(dim=1, keepdim=True) | white.all(dim=1, keepdim=True)
        hit = (self.severity(t) * self.share).to(x_t.dtype).reshape(-1, 1, 1, 1)
        golden = torch.arange(h * w, device=x_t.device, dtype=torch.float64) * 0.6180339887498949
        order = (golden - golden.floor()).to(x_t.dtype).reshape(1, 1, h, w).expand(n, 1, h, w)
        return {"rank": torch.where(mask.bool(), hit * order, hit + (1 - hit) * order), "salt": x_t}
