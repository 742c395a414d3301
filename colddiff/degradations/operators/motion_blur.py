"""Blur along a line: a camera that moved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from kornia.filters import filter2d
from torch import Tensor

from ...utils.config import register
from ...utils.numerics import moved
from ...utils.rng import uniform
from ..base import Claims, Degradation, Images, Params
from ..spectral import Border, border_index

# Points per pixel of the longest segment: each weight of the kernel is within 1e-3 of its limit.
LONGEST = 500  # pixels; kernels grow with the square
DENSITY = 16


@register("motion_blur")
@dataclass(frozen=True, kw_only=True)
class MotionBlur(Degradation):
    """The mean of the image along a segment of s length pixels, centred on each pixel, continuous in s and the angle.

    The segment is many equally spaced points, each shared bilinearly between the four pixels around it. It is not
    monotone: stripes of a period p, moved across, are gone at a length of p and come back, faint, beyond it.

    Source: uniform linear motion, Gonzalez & Woods, "Digital Image Processing", section 5.6; in steps of whole
    pixels it is kornia's `motion_blur` with direction 0.

    Args:
        length: of the segment at t = 1, in pixels.
        angle: of the segment, in degrees counter-clockwise from the x axis; None draws one per image.
        border: what lies outside: "reflect" (edge not repeated), "symmetric" (edge repeated), "circular".

    Params: angle (B,) in degrees, drawn from [0, 180).
    """

    length: float = 9.0
    angle: float | None = None
    border: Border = "reflect"

    claims = Claims.LINEAR | Claims.DIFFERENTIABLE | Claims.TRACEABLE

    def check(self) -> None:
        if not 0 < self.length <= LONGEST:
            raise ValueError(f"length must be > 0 pixels and at most {LONGEST}, got {self.length}")
        if self.angle is not None and not math.isfinite(self.angle):
            raise ValueError(f"angle must be a number of degrees, or None to draw one per image, got {self.angle}")

    @property
    def deterministic(self) -> bool:
        return self.angle is not None

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        bordered = x[:, :, params["rows"]][..., params["columns"]]
        kernel = self._segment(s.reshape(-1, 1) * self.length, params["angle"].reshape(-1, 1))
        return torch.where(s > 0, filter2d(bordered, kernel, padding="valid"), x)

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        return {} if self.deterministic else {"angle": 180 * uniform((len(like),), like, generator)}

    def tables(self, like: Images) -> Params:
        """Which pixels lie beyond the border, and the angle where it is not drawn."""
        rows, columns = (border_index(side, self._radius, self.border) for side in like.shape[-2:])
        tables = {name: i.to(like.device, non_blocking=True) for name, i in (("rows", rows), ("columns", columns))}
        return tables if self.angle is None else tables | {"angle": moved(torch.tensor([self.angle]), like)}

    @property
    def _radius(self) -> int:
        return math.ceil(self.length / 2)

    def _segment(self, length: Tensor, angle: Tensor) -> Tensor:
        """Kernels (B, k, k) of segments of these lengths and angles, (B, 1) each."""
        count = DENSITY * math.ceil(self.length)
        place = (torch.arange(count, device=length.device, dtype=length.dtype) + 0.5) / count - 0.5
        pixel = torch.arange(-self._radius, self._radius + 1, device=length.device, dtype=length.dtype)
        along, angle = length * place, torch.deg2rad(angle)
        # Rows are counted downwards. The four shares of a point sum to 1, hence the kernel does.
        right, down = ((c[..., None] - pixel).abs() for c in (along * angle.cos(), -along * angle.sin()))
        return torch.relu(1 - down).mT @ torch.relu(1 - right) / count
