"""Randomness by key: generators, and draws made on the CPU, so that a seed means the same everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from .numerics import moved


def generator_for(*key: int | str) -> torch.Generator:
    """A CPU generator whose stream depends on the key alone."""
    return torch.Generator().manual_seed(seed_for(*key))


def seed_for(*key: int | str) -> int:
    """A 63-bit seed from a key, the same on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@lru_cache(maxsize=4)
def permutation(n: int, seed: int, epoch: int) -> Tensor:
    """The order of n images in an epoch."""
    return torch.randperm(n, generator=generator_for(seed, "epoch", epoch))


def normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal draws, made on the CPU in float32 whatever `like` is, so that a seed means the same anywhere."""
    return moved(torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32), like)


def uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws from U[0, 1), made on the CPU in float32 whatever `like` is."""
    return moved(torch.rand(shape, generator=generator, device="cpu", dtype=torch.float32), like)


def integers(high: int, shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws from {0 .. high - 1}, in the computing dtype of `like`."""
    return moved(torch.randint(high, shape, generator=generator, device="cpu"), like)


Generators = torch.Generator | Sequence[torch.Generator] | None


def draw_noise(like: Tensor, generator: Generators) -> Tensor:
    """Standard normal noise shaped as `like`, from one CPU generator or from one per image."""
    if generator is None or isinstance(generator, torch.Generator):
        return normal(tuple(like.shape), like, generator)
    if len(generator) != len(like):
        raise ValueError(f"expected one generator per image, {len(like)}, got {len(generator)}")
    return torch.cat([normal((1, *like.shape[1:]), like, g) for g in generator])
