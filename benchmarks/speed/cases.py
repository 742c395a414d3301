"""What is measured: images, operators bound to them, the paper's blur settings."""

from __future__ import annotations

import torch
from torch import Tensor

import colddiff as cd
from colddiff.degradations.base import BoundDegradation, Degradation
from colddiff.degradations.blur_schedules import ExponentialSigma, LinearSigma

CIFAR = cd.IteratedBlur(num_steps=50, kernel_size=11, sigmas=LinearSigma(start=0.35, slope=0.01), border="reflect")
CELEBA = cd.IteratedBlur(num_steps=200, kernel_size=15, sigmas=ExponentialSigma(start=1.0, rate=0.01), border="reflect")

# The chain, and the batch that it is measured on.
SETTINGS = {
    "mnist": (cd.IteratedBlur(), (32, 1, 32, 32)),
    "cifar": (CIFAR, (32, 3, 32, 32)),
    "celebA": (CELEBA, (16, 3, 128, 128)),
}

# Operators that have no defaults: they are made of others.
PARTS = (cd.GaussianBlur(), cd.Desaturate())
COMPOSED = {"compose": cd.Compose(parts=PARTS), "one_of": cd.OneOf(options=PARTS)}


def images(*shape: int, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random images in [0, 1], the same ones for the same shape."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)


def bound(op: Degradation, x: Tensor) -> BoundDegradation:
    """D of a batch; an operator whose endpoint comes from the data is given the batch in reverse."""
    params = op.draw(x, torch.Generator().manual_seed(0)) if not op.required_params else {"endpoint": x.flip(0)}
    return op.bind(params, like=x)


def random_levels(op: Degradation, batch: int) -> Tensor:
    """A level 1 .. T for each image, and one of them T."""
    assert op.levels is not None
    levels = torch.randint(1, op.levels + 1, (batch,), generator=torch.Generator().manual_seed(0))
    levels[0] = op.levels
    return levels
