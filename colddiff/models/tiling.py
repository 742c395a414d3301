"""A restorer for pictures of any size: it sees one tile after another, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..utils.memory import free_memory

TILE = 256
OVERLAP = 32
COPIES = 14  # of a picture in float32 that are alive at once while it is restored, with what the degradation needs
ACTIVATIONS = 700  # bytes per pixel that the default U-Net was seen to take
AT_ONCE = 2**21  # pixels that the network is given at once, so that its memory has a bound
GRID = 16  # tiles begin on multiples of it, so that a network that halves its input sees every tile alike


def tiled(
    R: Callable[[Tensor, Tensor], Tensor], tile: int = TILE, overlap: int | None = None
) -> Callable[[Tensor, Tensor], Tensor]:
    """R over overlapping tiles, blended where they meet; a picture no larger than one tile is given as it is.

    Only the restorer is tiled: the degradation and the sampler see the whole picture.

    Args:
        R: any callable `(x, t) -> x0_hat` with t (B,).
        tile: side of a tile in pixels, a multiple of 16; in a larger picture up to 15 more, as tiles begin on the grid.
        overlap: pixels that neighbours share, 32 or a quarter of a tile if left out. Where the restorer sees less than
            a quarter of it around a pixel, the answer is that for the whole picture. A network with GroupNorm or
            attention sees its whole tile: tiles of another size answer a little differently, and blending hides the
            seams.

    Raises:
        ValueError: a tile that is not larger than its overlap and a multiple of 16.
    """
    overlap = _overlap(tile) if overlap is None else overlap
    if tile < 1 or tile % GRID:
        raise ValueError(f"tile must be a multiple of {GRID} px, got {tile}")
    if not 0 <= overlap < tile:
        raise ValueError(f"overlap must be >= 0 and smaller than the tile of {tile} px, got {overlap}")

    def whole(x: Tensor, t: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if max(height, width) <= tile:
            return _in_parts(R, x, t)
        total, weights = torch.zeros_like(x), x.new_zeros(height, width)
        for rows in spans(height, tile, overlap):
            for columns in spans(width, tile, overlap):
                part = x[..., rows, columns]
                weight = window(rows, height, overlap, x)[:, None] * window(columns, width, overlap, x)
                total[..., rows, columns] += weight * _in_parts(R, part, t)
                weights[rows, columns] += weight
        return total / weights

    return whole


def tile_count(height: int, width: int, tile: int = TILE) -> int:
    """In how many tiles `tiled` shows a picture to R."""
    return len(spans(height, tile, _overlap(tile))) * len(spans(width, tile, _overlap(tile)))


def spans(side: int, tile: int, overlap: int) -> list[slice]:
    """Evenly spread stretches that cover 0 .. side, each beginning on the grid and overlapping the next."""
    if side <= tile:
        return [slice(0, side)]
    count = -(-(side - overlap) // (tile - overlap))
    starts = dict.fromkeys(k * (side - tile) // (count - 1) // GRID * GRID for k in range(count))
    return [slice(start, min(start + tile + GRID - 1, side)) for start in starts]


def window(span: slice, side: int, overlap: int, like: Tensor) -> Tensor:
    """Weights along a stretch: where it ends inside the picture, none for a quarter of the overlap, then a ramp.

    A restorer sees nothing beyond the edge of its tile, and so errs there.
    """
    position = torch.arange(span.start, span.stop, device=like.device, dtype=like.dtype)
    margin, ramp = overlap // 4, max(overlap // 2, 1)
    left = position - span.start + 1 - margin if span.start > 0 else torch.full_like(position, ramp)
    right = span.stop - position - margin if span.stop < side else torch.full_like(position, ramp)
    return torch.minimum(left, right).clamp(0, ramp) / ramp


def check_memory(x: Tensor) -> None:
    """Raise a ValueError where restoring images x (B, C, H, W) takes more than what is free of their device's memory.

    Asked beforehand: a Linux that has given out too much memory kills the process without a word.
    """
    pixels = x.numel() // x.shape[1]
    needed = COPIES * 4 * x.numel() + ACTIVATIONS * min(pixels, AT_ONCE)
    free = torch.cuda.mem_get_info(x.device)[0] if x.device.type == "cuda" else free_memory()
    if needed > free:
        raise ValueError(
            f"restoring {len(x)} images of {x.shape[-1]} x {x.shape[-2]} px takes about {needed / 2**30:.1f} GiB of "
            f"memory and {free / 2**30:.1f} GiB is free: make them smaller (--image-size), or give fewer at a time"
        )


def _overlap(tile: int) -> int:
    """Pixels that neighbours share where nobody says."""
    return min(OVERLAP, tile // 4)


def _in_parts(R: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor) -> Tensor:
    """R of a batch, so many images at once as its memory allows."""
    count = max(1, AT_ONCE // (x.shape[-2] * x.shape[-1]))
    if len(x) <= count:
        return R(x, t)
    return torch.cat([R(x[i : i + count], t[i : i + count]) for i in range(0, len(x), count)])
