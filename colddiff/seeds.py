"""Randomness by key: what is drawn depends on what it is for, and on nothing that was drawn before."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor


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
