"""Batches whose images differ in time or treatment, or that are too many for one call."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from ..degradations.base import Images


def in_chunks(
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


def per_image(time: float | Tensor, places: Sequence[int], name: str) -> float | Tensor:
    """The times of the images at some places among all that were given.

    Raises:
        ValueError: neither one time, nor one for every image.
    """
    if not isinstance(time, Tensor) or not time.dim():
        return time
    if time.dim() != 1 or max(places) >= len(time):
        raise ValueError(f"{name} must be one number, or one for every image, got shape {tuple(time.shape)}")
    return time[list(places)]


def apply_grouped(fn: Callable[[Tensor, Sequence[int]], Tensor], x: Tensor, keys: Sequence[Hashable]) -> Tensor:
    """fn of the images (B, ...) of each key by themselves, and of their rows; what it makes of them, in order."""
    alike: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        alike.setdefault(key, []).append(row)
    if len(alike) <= 1:
        return fn(x, range(len(x)))
    made = torch.cat([fn(x[rows], rows) for rows in alike.values()])
    order = torch.tensor([row for rows in alike.values() for row in rows]).argsort()
    return made[order.to(made.device)]
