"""Blurs as others do them: the paper's chain convolved step by step, one large kernel, a cosine transform."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from colddiff import IteratedBlur


def chain_kernels(op: IteratedBlur, channels: int, like: Tensor) -> Tensor:
    """The k x k kernels of all steps for a convolution by channel: (T, C, 1, k, k)."""
    taps = op.kernels()
    kernels = (taps[:, :, None] * taps[:, None, :]).to(like)
    # A processor takes 4 to 7 times as long over denormal taps, which the original convolves with.
    kernels = torch.where(kernels < torch.finfo(kernels.dtype).tiny, 0, kernels)
    return kernels[:, None, None].repeat(1, channels, 1, 1, 1)


def iterated(x: Tensor, levels: Tensor, kernels: Tensor, border: str, most: int | None = None) -> Tensor:
    """Every image at its own level: the whole batch goes through as many convolutions as the last of them needs.

    The original keeps all the batches on the way, stacks them and picks from the stack; here they are picked in
    passing, which is faster.

    Source: Cold Diffusion section 4.1 and its code, `q_sample`.

    Args:
        levels: (B,), from 0 to T.
        kernels: from `chain_kernels`.
        most: convolutions after which to stop, for a time that is to be scaled up.
    """
    radius, out = kernels.shape[-1] // 2, x.clone()
    for k in range(1, min(int(levels.max()), most or len(kernels)) + 1):
        x = F.conv2d(F.pad(x, (radius,) * 4, mode=border), kernels[k - 1], groups=x.shape[1])
        there = levels == k
        out[there] = x[there]
    return out


def effective_sigma(op: IteratedBlur) -> Tensor:
    """The standard deviation in pixels of k steps of a chain together, (T + 1,): variances add."""
    taps = op.kernels()
    offset = torch.arange(taps.shape[1], dtype=taps.dtype) - taps.shape[1] // 2
    return torch.cat([torch.zeros(1, dtype=taps.dtype), (taps @ offset**2).cumsum(0)]).sqrt()


def one_large_kernel(x: Tensor, sigma: Tensor, size: int, border: str) -> Tensor:
    """kornia's Gaussian blur, each image with its own sigma (B,) > 0."""
    return gaussian_blur2d(x, size, sigma[:, None].expand(-1, 2), border_type=border)


def large_kernel_size(sigma: Tensor, side: int) -> int:
    """Three standard deviations on each side, as far as the border of a picture can be mirrored."""
    return 2 * min(math.ceil(3 * float(sigma.max())), side - 1) + 1


def dct_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Heat equation in the basis of cosines, each image with its own sigma (B,), by fast Fourier transforms.

    Source: Rissanen et al. 2023, "Generative modelling with inverse heat dissipation", equation 6.
    """
    squared = [(math.pi * torch.arange(n, device=x.device, dtype=x.dtype) / n) ** 2 for n in x.shape[-2:]]
    frequencies = squared[0][:, None] + squared[1]
    variance = sigma.to(x).reshape(-1, 1, 1, 1) ** 2
    spectrum = _on_both_axes(dct, x) * torch.exp(-frequencies * variance / 2)
    return _on_both_axes(idct, spectrum)


def dct(x: Tensor) -> Tensor:
    """DCT-II of the last axis from one transform of its length.

    Source: Makhoul 1980, "A fast cosine transform in one and two dimensions".
    """
    folded = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1)
    return (torch.fft.fft(folded) * _quarter_turns(x, -1)).real


def idct(x: Tensor) -> Tensor:
    """The inverse of `dct`."""
    shifted = F.pad(x.flip(-1)[..., :-1], (1, 0))
    folded = torch.fft.ifft(torch.complex(x, -shifted) * _quarter_turns(x, 1)).real
    out, half = torch.empty_like(x), (x.shape[-1] + 1) // 2
    out[..., ::2], out[..., 1::2] = folded[..., :half], folded[..., half:].flip(-1)
    return out


def _quarter_turns(x: Tensor, sign: int) -> Tensor:
    n = x.shape[-1]
    angle = sign * math.pi / (2 * n) * torch.arange(n, device=x.device, dtype=x.dtype)
    return torch.polar(torch.ones_like(angle), angle)


def _on_both_axes(transform: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return transform(transform(x).mT).mT
