"""Colours that fade to grey."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.color import rgb_to_grayscale
from torch import Tensor

from ..kernels import moved
from ..registry import register
from .base import Claims, Images, Params
from .blend import Blend


@register("desaturate")
@dataclass(frozen=True, kw_only=True)
class Desaturate(Blend):
    """x + s (grey - x), grey the weighted sum of the three channels: undone, it is colourisation.

    Grey itself never changes, so that Algorithm 2 keeps the brightness of every pixel.

    Source: ITU-R BT.601-7 section 2.5.1 for the default weights, those of kornia's `rgb_to_grayscale`.

    Args:
        weights: what red, green and blue add to grey, summing to 1; (1/3, 1/3, 1/3) is their mean.

    Raises:
        ValueError: images that have not 3 channels.
    """

    weights: tuple[float, float, float] = (0.299, 0.587, 0.114)

    claims = Claims.LINEAR | Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE

    def check(self) -> None:
        if not all(weight >= 0 for weight in self.weights) or not abs(sum(self.weights) - 1) < 1e-6:
            raise ValueError(f"weights must be three numbers >= 0 that sum to 1, got {self.weights}")

    def end(self, x: Images, params: Params) -> Tensor:
        return rgb_to_grayscale(x, params["weights"])

    def weight(self, s: Tensor, x: Images, params: Params) -> Tensor:
        return s

    def tables(self, like: Images) -> Params:
        if like.shape[1] != 3:
            raise ValueError(f"Desaturate needs images of 3 channels, red, green and blue, got {like.shape[1]}")
        return {"weights": moved(torch.tensor(self.weights, dtype=torch.float64), like)}
