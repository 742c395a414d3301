"""Block means, down to one colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...utils.config import register
from ..base import Images, Params, is_measured
from ..families.separable import SeparableChain, stack
from ..levels import level_at


@register("pixelate")
@dataclass(frozen=True, kw_only=True)
class Pixelate(SeparableChain):
    """Means over blocks of 2^k pixels a side, k = s log2(largest).

    Blocks are nested, the last of a row may be narrower, and between two block sizes D is linear: any image size,
    any t.

    Source: Cold Diffusion section 4.3 (super-resolution), with area averages.

    Args:
        largest: side of the blocks at s = 1 in pixels, a power of two; None is the whole image. A restorer that is to
            see pictures of another size than those of its training needs it: else t means another block there.
    """

    largest: int | None = None

    # Beyond, a pyramid, whose cost grows with the number of pixels alone, beats products with block matrices.
    largest_side = 64

    def check(self) -> None:
        if self.largest is not None and (not 2 <= self.largest <= 2**16 or self.largest & (self.largest - 1)):
            raise ValueError(f"largest must be a power of two, >= 2 pixels and at most 65,536, got {self.largest}")

    def axis(self, n: int, size: tuple[int, int]) -> Params:
        place = torch.arange(n)
        blocks = [place // 2**k for k in range(self._halvings(*size) + 1)]
        together = torch.stack([(b[:, None] == b[None]).double() for b in blocks])
        return stack(together / together.sum(dim=-1, keepdim=True))

    def block_sides(self, n: int, size: tuple[int, int]) -> Tensor:
        return 2.0 ** torch.arange(self._halvings(*size) + 1, dtype=torch.float64)

    @property
    def projectable(self) -> bool:
        return True

    def projection(self, y: Images, s: Tensor, params: Params, noise: Tensor | float) -> Callable[[Images], Images]:
        """Block means: of the coarser of two block sizes as they are, of the finer 1 - f of what these add to them."""
        halvings = self._halvings(*y.shape[-2:])
        level, fraction = level_at(s, halvings)
        finer, coarser = (k.clamp(max=halvings).view(-1, 1, 1, 1) / halvings for k in (level, level + 1))
        gain = 1 - fraction
        told = is_measured(gain, noise)

        def of(x: Images) -> Images:
            missing = y - self.degrade(x, s, params)
            means = self.degrade(missing, coarser.to(x.dtype), params)
            details = self.degrade(missing, finer.to(x.dtype), params) - means
            return x + means + torch.where(told, details / torch.where(told, gain, 1), 0)

        return of

    def degrade_large(self, x: Images, s: Tensor, params: Params) -> Images:
        return pyramid(x, s, self._halvings(*x.shape[-2:]))

    def _halvings(self, h: int, w: int) -> int:
        return max((self.largest or max(h, w)) - 1, 1).bit_length()


def pyramid(x: Images, s: Tensor, halvings: int) -> Images:
    """The sum over k of w_k(s) U_k M_k x, M_k means over blocks of 2^k and U_k their repetition, coarse to fine.

    Straight from one block size to the next: w_k = max(0, 1 - |s halvings - k|).
    """
    weights = [torch.relu(1 - (s * halvings - k).abs()) for k in range(halvings + 1)]
    counts, sums = [torch.ones_like(x[:1, :1])], [x]
    for _ in range(halvings):
        counts, sums = [*counts, _pair_sums(counts[-1])], [*sums, _pair_sums(sums[-1])]
    mixed = weights[-1] * sums[-1] / counts[-1]
    for weight, total, count in zip(weights[-2::-1], sums[-2::-1], counts[-2::-1], strict=True):
        h, w = total.shape[-2:]
        mixed = F.interpolate(mixed, scale_factor=2.0, mode="nearest")[..., :h, :w] + weight * (total / count)
    return mixed


def _pair_sums(x: Images) -> Images:
    """Sums over blocks of 2 x 2; the last of a row or column may be narrower."""
    x = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2)) if x.shape[-1] % 2 or x.shape[-2] % 2 else x
    return F.avg_pool2d(x, 2, divisor_override=1)
