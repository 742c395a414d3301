"""What a pipeline is given: generators, and images as people hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..data.convert import as_batch
from ..degradations.base import Images
from ..models.run import Run
from ..utils.rng import Generators


def one_each(generator: Generators, count: int) -> list[Any]:
    """One generator per image; none is torch's own."""
    each = [*generator] if isinstance(generator, Sequence) else [generator] * count
    if count < 1 or len(each) != count:
        raise ValueError(f"expected at least one image, and a generator for each, got {count} and {len(each)}")
    if any(g is not None and g.device.type != "cpu" for g in each):
        raise ValueError("generators must be on the CPU, where all draws are made: torch.Generator().manual_seed(0)")
    return each


def read_images(image: Any, run: Run) -> Images:
    """Images of any kind as one batch (B, C, H, W) in [0, 1]."""
    given = image if isinstance(image, list | tuple) else [image]
    parts = [as_batch(one, run.framing.read)[0] for one in given]
    shapes = {tuple(part.shape[1:]) for part in parts}
    if len(shapes) != 1 or next(iter(shapes))[0] != run.shape[0]:
        raise ValueError(f"expected images of {run.shape[0]} channels and of one size at a time, got {sorted(shapes)}")
    return torch.cat(parts)
