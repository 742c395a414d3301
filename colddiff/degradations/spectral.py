"""Linear maps with one matrix per axis, and the bases in which filters with a border rule are diagonal."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Border = Literal["reflect", "circular", "symmetric"]


def apply_axes(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """A_h x A_w^T, or the difference of two such maps, in two products.

    Args:
        x: images (B, C, H, W).
        rows: A_h, (1, B, H, H), or (2, B, H, H) for what the first map makes of x less what the second does; B may be
            1, where all images share a matrix.
        columns: A_w, (1, B, W, W) or (2, B, W, W).
    """
    (b, c, h, w), (terms, shared) = x.shape, rows.shape[:2]
    if terms == 1:
        left, right = rows[0], columns[0].mT
    else:
        # Row i of both terms side by side, so that what comes out of the first product is what goes into the second.
        left = rows.transpose(0, 1).transpose(1, 2).reshape(shared, 2 * h, h)
        right = torch.cat([columns[0].mT, -columns[1].mT], dim=1)
    half = left[:, None] @ x
    if shared == 1:
        return (half.reshape(-1, terms * w) @ right[0]).view(x.shape)
    return torch.bmm(half.reshape(b, c * h, terms * w), right).view(x.shape)


def from_spectrum(basis: Tensor, identity: Tensor, change: Tensor) -> Tensor:
    """The matrices I + V diag(change) W, change = eigenvalue - 1: the identity to the last bit where nothing changes.

    Args:
        basis: (2, n, n), synthesis V and analysis W, from `spectral_basis`.
        identity: (n, n).
        change: (B, n).
    """
    return identity + (basis[0] * change[:, None, :]) @ basis[1]


def spectral_basis(n: int, border: Border) -> tuple[Tensor, Tensor]:
    """Basis in which every symmetric convolution with that border rule is diagonal, for an axis of n pixels.

    Circular borders are diagonal in the real Fourier basis, reflected ones (the edge pixel not repeated) in the
    DCT-I, symmetric ones (the edge pixel repeated) in the DCT-II: a kernel w has there the eigenvalues
    sum_k w_k cos(omega k).

    Returns:
        The basis (2, n, n), synthesis V and analysis W = V^-1, and the frequencies omega (n,) in radians per pixel;
        all float64 on the CPU.
    """
    position, index = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None]
    if border == "circular":
        omega = 2 * math.pi * ((torch.arange(n) + 1) // 2).double() / n
        phase = position * omega[None]
        synthesis = torch.where(index % 2 == 1, torch.cos(phase), torch.sin(phase))
        synthesis[:, 0] = 1
        if n % 2 == 0:
            synthesis[:, -1] = torch.cos(math.pi * position[:, 0])
        synthesis /= synthesis.norm(dim=0)
        return torch.stack([synthesis, synthesis.mT]), omega
    if border == "symmetric":
        omega = math.pi * torch.arange(n).double() / n
        synthesis = torch.cos(math.pi * (position + 0.5) * index / n)
        synthesis /= synthesis.norm(dim=0)
        return torch.stack([synthesis, synthesis.mT]), omega
    omega = math.pi * torch.arange(n).double() / max(n - 1, 1)
    synthesis = torch.cos(math.pi * position * index / max(n - 1, 1))
    # DCT-I is its own inverse up to the weights of its two ends, which appear once in the mirrored signal.
    weight = torch.full((n,), 2.0, dtype=torch.float64)
    weight[[0, -1]] = 1
    analysis = weight[:, None] * synthesis * weight[None] / (2 * max(n - 1, 1)) if n > 1 else synthesis
    return torch.stack([synthesis, analysis]), omega


def kernel_spectrum(kernel: Tensor, omega: Tensor) -> Tensor:
    """Eigenvalues (..., n) of convolution by symmetric odd kernels (..., 2r + 1) at frequencies omega (n,)."""
    radius = kernel.shape[-1] // 2
    offset = torch.arange(-radius, radius + 1, dtype=kernel.dtype)
    return kernel @ torch.cos(offset[:, None] * omega[None])


def border_index(n: int, radius: int, border: Border) -> Tensor:
    """Which of the n pixels of an axis stands at positions -radius .. n - 1 + radius, for any radius."""
    position = torch.arange(-radius, n + radius)
    if border == "circular" or n == 1:
        return position % n
    period = 2 * n - 2 if border == "reflect" else 2 * n
    position = position % period
    mirrored = (period if border == "reflect" else period - 1) - position
    return torch.where(position < n, position, mirrored)
