"""Fewer pixels at every step: the paper's super-resolution."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...utils.config import register
from ..base import Claims, Images, Params
from ..families.separable import STACK_BYTES, SeparableChain, stack
from ..levels import level_at, one_if_shared


@register("resolution")
@dataclass(frozen=True, kw_only=True)
class Resolution(SeparableChain):
    """Each of T steps makes the image smaller, without antialiasing, and repeats pixels until it is as large again.

    From a side of n pixels step i = 0 .. T - 1 goes through max(1, n // 2^(i + 1)) pixels, or, where it does not halve,
    max(1, n - i): its first step then loses no pixel. Steps are composed: what one has lost is lost to the next.
    The defaults are the paper's MNIST and CIFAR-10 setting.

    Source: Cold Diffusion section 4.3; upstream's `Incremental_factor_2` routines, without halving its `Incremental`
    ones, with blur those `_with_blur`; scaled up by "nearest-exact".

    Args:
        num_steps: T.
        mode: how the image is made smaller, as torch calls it.
        halving: half the side at each step; else one pixel less.
        blur: before and after each step, by a 3 x 3 Gaussian of sigma 0.5 pixels, borders reflected.
    """

    num_steps: int = 3
    mode: Literal["bicubic", "bilinear", "area"] = "bicubic"
    halving: bool = True
    blur: bool = False

    def check(self) -> None:
        if not 1 <= self.num_steps <= 10_000:
            raise ValueError(f"num_steps must be in 1 .. 10,000, got {self.num_steps}")

    @property
    def claims(self) -> Claims:  # type: ignore[override]
        """Bicubic overshoot comes and goes over many small steps: those are not monotone."""
        steady = self.halving or self.mode != "bicubic"
        return (
            Claims.LINEAR | Claims.DIFFERENTIABLE | Claims.TRACEABLE | (Claims.MONOTONE if steady else Claims.NOTHING)
        )

    @property
    def levels(self) -> int:
        return self.num_steps

    @property
    def largest_side(self) -> float:  # type: ignore[override]
        """Beyond, T interpolations of the image itself are cheaper, or the matrices of T levels too many to keep."""
        return min(256, math.sqrt(STACK_BYTES / 4 / (self.num_steps + 1)))

    def axis(self, n: int, size: tuple[int, int]) -> Params:
        # Every column is an image of its own, n pixels high and one wide.
        columns = [torch.eye(n, dtype=torch.float64)[None, :, :, None]]
        for side in self._sides(n):
            columns.append(self._step(columns[-1], (side, 1)))
        return stack(torch.cat(columns).squeeze(-1).mT)

    @property
    def has_blocks(self) -> bool:
        return not self.blur

    def block_sides(self, n: int, size: tuple[int, int]) -> Tensor:
        if self.blur:
            return super().block_sides(n, size)
        return n / torch.tensor([n, *self._sides(n)], dtype=torch.float64)

    def degrade_large(self, x: Images, s: Tensor, params: Params) -> Images:
        level, fraction = level_at(one_if_shared(s), self.num_steps)
        place = level.reshape(-1, 1, 1, 1) + fraction
        mixed = torch.relu(1 - place) * x
        for k, sides in enumerate(zip(*map(self._sides, x.shape[-2:]), strict=True), start=1):
            x = self._step(x, sides)
            mixed = mixed + torch.relu(1 - (place - k).abs()) * x
        return mixed

    def _sides(self, n: int) -> Iterator[int]:
        for i in range(self.num_steps):
            yield max(1, n >> (i + 1) if self.halving else n - i)

    def _step(self, x: Images, sides: tuple[int, int]) -> Images:
        size = x.shape[-2:]
        x = _blurred(x) if self.blur else x
        x = F.interpolate(F.interpolate(x, size=sides, mode=self.mode), size=size, mode="nearest-exact")
        return _blurred(x) if self.blur else x


def _blurred(x: Images) -> Images:
    """x after three taps along each axis, exp(-2) : 1 : exp(-2), with the edge pixel not repeated."""
    side = 1 / (math.exp(2) + 2)
    for axis in (-2, -1):
        n = x.shape[axis]
        if n > 1:
            bordered = torch.cat([x.narrow(axis, 1, 1), x, x.narrow(axis, n - 2, 1)], dim=axis)
            x = (1 - 2 * side) * x + side * (bordered.narrow(axis, 0, n) + bordered.narrow(axis, 2, n))
    return x
