"""Slow twins of operators, and the operators that several tests have in common."""

import torch
import torch.nn.functional as F
from torch import Tensor

from colddiff import Degradation, GaussianMask
from colddiff.degradations.operators.colour_mask import ColourMask
from colddiff.degradations.spectral import border_index
from support.comparing import seeded


def padded(x: Tensor, radius: int, border: str) -> Tensor:
    """x with `radius` more rows and columns on each side."""
    if border != "symmetric":
        return F.pad(x, (radius,) * 4, mode=border)
    for dim in (-2, -1):
        n = x.shape[dim]
        where = [i % (2 * n) for i in range(-radius, n + radius)]
        x = x.index_select(dim, torch.tensor([i if i < n else 2 * n - 1 - i for i in where]))
    return x


def convolved(x: Tensor, kernel: Tensor, border: str) -> Tensor:
    """One depthwise convolution by the outer product of a 1-D kernel with itself."""
    weight = torch.outer(kernel, kernel).expand(x.shape[1], 1, -1, -1)
    return F.conv2d(padded(x, len(kernel) // 2, border), weight, groups=x.shape[1])


def drawn(op: Degradation, x: Tensor) -> dict[str, Tensor]:
    return op.draw(x, seeded(0))


def kept_by_steps(op: GaussianMask | ColourMask, sigmas: list[float], h: int, w: int) -> list[Tensor]:
    """prod_{i < k} z_i for k = 0 .. T around the middle, one step after another."""
    rows, columns = torch.arange(h).double()[:, None] - (h // 2 - 1), torch.arange(w).double()[None] - (w // 2 - 1)
    kept = [torch.ones(h, w, dtype=torch.float64)]
    for sigma in sigmas:
        kept.append(kept[-1] * (1 - torch.exp(-(rows**2 + columns**2) / (2 * sigma**2))))
    return kept


def gaussian_2d(size, sigma):
    """A kernel of size x size taps, as the paper has it."""
    u = torch.arange(size, dtype=torch.float64) - size // 2
    kernel = torch.exp(-(u[:, None] ** 2 + u**2) / (2 * sigma**2))
    return kernel / kernel.sum()


def convolved_2d(x, kernel, border):
    """Each channel with the kernel, in two dimensions."""
    rows, columns = (border_index(n, len(kernel) // 2, border) for n in x.shape[-2:])
    bordered = x[:, :, rows][..., columns]
    return F.conv2d(bordered, kernel.expand(x.shape[1], 1, -1, -1), groups=x.shape[1])
