"""A restorer that is wrong, and grids."""

from torch import Tensor


def wrong(x: Tensor, t: Tensor) -> Tensor:
    """A restorer that is wrong, and depends on all it is given."""
    return x.flip(3).sin() * (1 - t / 2).to(x.dtype).reshape(-1, 1, 1, 1) + 0.1
