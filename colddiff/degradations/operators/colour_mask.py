"""A picture that gives way to one colour: the paper's generation by inpainting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ...utils.rng import uniform
from ..base import Claims, Images, Params
from ..families.radial import Radial, colour_of_hole
from ..levels import one_if_shared


@register("colour_mask")
@dataclass(frozen=True, kw_only=True)
class ColourMask(Radial):
    """alpha_k x + (1 - alpha_k) c, c one colour per image and alpha_k a product of Gaussian masks.

    K_k = prod_{i < k} (1 - exp(-r^2 / 2 sigma_i^2)), sigma_i = kernel_std (i + initial_mask) pixels, r the distance
    from the pixel (H // 2 - 1, W // 2 - 1). Reversed, 1 - alpha_k = K_{T - k} for k >= 1: the picture disappears from
    the border inwards, and level T is the colour and nothing else. Otherwise alpha_k = K_k: a hole that grows.

    Source: Cold Diffusion section 5, generation by inpainting; upstream's constant-colour package.

    Args:
        num_steps: T.
        kernel_std: growth of sigma per step, in pixels.
        initial_mask: steps by which the first mask is already grown.
        reverse: from the border inwards.
        low, high: the colour is drawn from U[low, high] per image and channel, in units of [0, 1].

    Params: color (B, C, 1, 1).
    """

    num_steps: int = 750
    kernel_std: float = 0.05
    initial_mask: int = 1
    reverse: bool = True
    low: float = 0.25
    high: float = 0.75

    claims = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE | Claims.POINTWISE

    def check(self) -> None:
        super().check()
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"expected 0 <= low <= high <= 1, got {self.low} and {self.high}")

    @property
    def inwards(self) -> bool:
        return self.reverse

    @property
    def prior(self) -> str | None:
        return "constant" if self.reverse else None

    @property
    def param_shapes(self) -> dict[str, tuple[int | str, ...]]:
        return {"color": ("C", 1, 1)}

    def end(self, x: Images, params: Params) -> Tensor:
        return params["color"]

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        share = uniform((*like.shape[:2], 1, 1), like, generator)
        return {"color": self.low + (self.high - self.low) * share}

    def tables(self, like: Images) -> Params:
        return self.central_tables(like)

    def observe(self, x_t: Images, t: Tensor, mask: Tensor | None = None) -> Params:
        """The colour of what is gone at time t, or of the user's mask: of the whole picture at the end, if reversed."""
        s = self.severity(one_if_shared(t)).to(x_t.dtype).reshape(-1, 1, 1, 1)
        gone = self.weight(s, x_t, self._tables(x_t)) if mask is None else mask.to(x_t.dtype)
        return {"color": colour_of_hole(x_t, gone)}
