"""Numbers that tests compare, and generators of them."""

import torch
from torch import Tensor


def distance(a: Tensor, b: Tensor) -> float:
    """The largest difference."""
    assert a.shape == b.shape
    return float((a - b).abs().max())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
