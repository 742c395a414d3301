"""Degradations that are a straight line between two images, a number or a map saying how far along."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ..base import Degradation, Images, Params


@dataclass(frozen=True, kw_only=True)
class Blend(Degradation, ABC):
    """D(x, s) = x + w(s) (end - x): at w = 0 the clean image, to the last bit."""

    @abstractmethod
    def end(self, x: Images, params: Params) -> Tensor:
        """What x becomes where it is gone, broadcastable to (B, C, H, W)."""

    @abstractmethod
    def weight(self, s: Tensor, x: Images, params: Params) -> Tensor:
        """How much of x is gone at severity s, broadcastable to (B, 1, H, W); 0 at s = 0."""

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        return torch.lerp(x, self.end(x, params), self.weight(s, x, params))

    def change(self, x: Images, s: Tensor, r: Tensor, params: Params) -> Images:
        """(w(r) - w(s)) (end - x)."""
        return (self.weight(r, x, params) - self.weight(s, x, params)) * (self.end(x, params) - x)
