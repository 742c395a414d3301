"""Holes that grow around a centre: cumulative products of Gaussian masks."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.numerics import flush_negligible, moved
from ..base import Images, Params
from ..levels import level_at, on_levels, one_if_shared
from .blend import Blend

# Above this many numbers the table of cumulative masks is not kept: the product is taken on the spot.
LARGEST_TABLE = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class Radial(Blend, ABC):
    """What is gone of a pixel depends on its distance r from a centre alone, by K_k = prod_{i < k} (1 - g_i(r)).

    g_i = exp(-r^2 / 2 sigma_i^2), sigma_i = kernel_std (i + initial_mask) pixels, so that the centre goes first. Few
    integers are sums of two squares: tables have a column for each r^2 that occurs, a pixel has the rank of its own.

    Source: Cold Diffusion section 4.2.

    Args:
        num_steps: T.
        kernel_std: growth of sigma per step, in pixels.
        initial_mask: steps by which the first mask is already grown.
    """

    num_steps: int = 50
    kernel_std: float = 0.1
    initial_mask: int = 11

    def check(self) -> None:
        if not 1 <= self.num_steps <= 10_000:
            raise ValueError(f"num_steps must be in 1 .. 10,000, got {self.num_steps}")
        if not 1e-6 <= self.kernel_std <= 1e6 or not 1 <= self.initial_mask <= 1_000_000:
            raise ValueError(
                "kernel_std must be in [1e-6, 1e6] pixels and initial_mask in 1 .. 1,000,000, got "
                f"{self.kernel_std} and {self.initial_mask}"
            )

    @property
    def levels(self) -> int:
        return self.num_steps

    @property
    def inwards(self) -> bool:
        """Whether the chain is run backwards: 1 - K_{T - k} is left at level k >= 1, nothing at all at level T."""
        return False

    def sigmas(self) -> list[float]:
        """Widths of the T masks in pixels."""
        return [self.kernel_std * (i + self.initial_mask) for i in range(self.num_steps)]

    def weight(self, s: Tensor, x: Images, params: Params) -> Tensor:
        rank = params["rank"] if "rank" in params else ranks_around(params["center"], x, params["ranks"])
        level, fraction = level_at(one_if_shared(s), self.num_steps)
        lower = self._gone_at(level, rank, params)
        if on_levels(fraction):
            return lower
        return torch.lerp(lower, self._gone_at((level + 1).clamp(max=self.num_steps), rank, params), fraction)

    def radial_tables(self, like: Images, reach: tuple[int, int]) -> Params:
        """Tables for pixels up to so many rows and columns from the centre, R different distances among them.

        `ranks` has which one it is, by rows from the centre and, going on as long again with the last one, columns to
        its left and right; `radii` (R,) their squares; `gone` (T + 1, R) unless that is too large to be kept.
        """
        r2, ranks = _different_distances(*reach)
        ranks = ranks[:, torch.arange(-2 * reach[1], 2 * reach[1] + 1).abs().clamp(max=reach[1])]
        tables = {"radii": moved(r2, like), "ranks": ranks.to(like.device, non_blocking=True)}
        if (self.num_steps + 1) * len(r2) > LARGEST_TABLE:
            return tables
        gone = torch.empty(self.num_steps + 1, len(r2), dtype=torch.float64)
        for level, row in self._chain(r2.double()):
            gone[level] = row
        return tables | {"gone": moved(gone, like)}

    def central_tables(self, like: Images) -> Params:
        """The same for the one centre (H // 2 - 1, W // 2 - 1), with the `rank` (1, 1, H, W) of each pixel."""
        sides = like.shape[-2:]
        middle = [side // 2 - 1 for side in sides]
        farthest = [max(place, side - 1 - place) for place, side in zip(middle, sides, strict=True)]
        tables = self.radial_tables(like, (farthest[0], farthest[1]))
        center = moved(torch.tensor([middle]), like)
        rank = ranks_around(center, like, tables.pop("ranks"))
        return tables | {"center": center, "rank": rank}

    def _gone_at(self, level: Tensor, rank: Tensor, params: Params) -> Tensor:
        """What is gone at levels (B,) of pixels of these ranks, (B, 1, H, W)."""
        rows = params.get("gone")
        if rows is None:
            rows, level = self._rows(level, params["radii"]), torch.arange(len(level), device=level.device)
        return rows.take(rank + rows.shape[1] * level.view(-1, 1, 1, 1))

    def _rows(self, level: Tensor, r2: Tensor) -> Tensor:
        """The rows of levels (B,) of a table that is too large to be kept: (B, R)."""
        rows = r2.new_zeros(len(level), len(r2))
        for k, row in self._chain(r2):
            rows = torch.where(level[:, None] == k, row, rows)
        return rows

    def _chain(self, r2: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Every level k with what is gone there at squared distances (R,)."""
        keep = torch.ones_like(r2)
        yield 0, torch.zeros_like(r2)
        for i, sigma in enumerate(self.sigmas()):
            before, keep = keep, flush_negligible(keep * -torch.expm1(-r2 / (2 * sigma**2)))
            yield (self.num_steps - i, before) if self.inwards else (i + 1, 1 - keep)


def _different_distances(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """The squared distances that occur up to so many rows and columns away, and which of them is at each place."""
    r2 = torch.arange(rows + 1)[:, None] ** 2 + torch.arange(columns + 1) ** 2
    if torch.compiler.is_compiling():  # how many differ is no shape that a graph could know: each has its own column
        return r2.flatten(), torch.arange(r2.numel()).view_as(r2)
    different, ranks = torch.unique(r2, return_inverse=True)
    return different, ranks


def ranks_around(center: Tensor, like: Tensor, ranks: Tensor) -> Tensor:
    """The rank of each pixel around centres (B, 2), (B, 1, H, W); one far outside is as far as the table goes.

    An index past the end of a table would stop a GPU for good.
    """
    h, w = like.shape[-2:]
    rows, middle = ranks.shape[0] - 1, ranks.shape[1] // 2
    center = center.round().long()
    dy = (torch.arange(h, device=like.device) - center[:, :1]).abs().clamp(max=rows)
    # Each row of pixels is a piece of a row of the table, copied whole: a look-up per pixel takes four times as long.
    left = (middle - center[:, 1:]).clamp(0, 2 * middle + 1 - w)
    return ranks.unfold(1, w, 1)[dy, left][:, None]


def colour_of_hole(x_t: Images, gone: Tensor) -> Tensor:
    """The one colour that fills a hole, (B, C, 1, 1), where `gone` (B or 1, 1, H, W) is how much of x it replaces.

    Pixels count by the squared odds that what is seen is the colour: one that is wholly gone outweighs the rest.
    """
    odds = (gone / (1 - gone + 1 / 255)) ** 2 + 1e-9  # where nothing is gone, the mean of the picture
    return (odds * x_t).sum(dim=(2, 3), keepdim=True) / odds.sum(dim=(2, 3), keepdim=True)
