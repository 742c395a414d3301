"""Batches whose images differ in time or treatment, or that are too many for one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..degradations.base import Images


def in_parts(
    make: Callable[[Sequence[torch.Generator]], Images], seeds: Sequence[int], size: int, *, fewer: bool
) -> Images:
    """Images by seed, always so many at a time, the last ones padded: the last bits of a network depend on the number.

    Args:
        make: new images from CPU generators, one for each.
        seeds: of the images, at least one.
        size: images at a time.
        fewer: halve that where a GPU has no room.
    """
    made, left = [], list(seeds)
    while left:
        part = left[:size]
        padded = part + part[-1:] * (size - len(part))
        try:
            images = make([torch.Generator().manual_seed(seed) for seed in padded])
        except torch.OutOfMemoryError:
            if not fewer or size == 1:
                raise
            size = (size + 1) // 2
            continue
        made.append(images[: len(part)])
        left = left[size:]
    return torch.cat(made)
