"""Where generation starts, D(u, 1) + sigma z for u of a prior, and new images from there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..degradations.base import BoundDegradation, Degradation, Images
from ..utils.rng import draw_noise
from .algorithms import improved
from .base import Restorer, Sampler
from .priors import Prior, Shape
from .sample import sample


def generate(
    R: Restorer,
    degradation: Degradation,
    prior: Prior,
    shape: Shape,
    generators: Sequence[torch.Generator],
    *,
    steps: int = 50,
    sampler: Sampler | str = improved,
    device: torch.device | str = "cpu",
) -> Images:
    """New images, one per generator, so that image i depends on its own seed and not on the batch.

    Args:
        R: any callable `(x, t) -> x0_hat` with t (B,), on `device`.
        degradation: what R undoes.
        prior: where the walk starts: at D(u, 1) + sigma z.
        shape: (C, H, W) of an image, in pixels.
        generators: CPU generators, one per image.
        steps: restorer calls, >= 1.
        sampler: a sampler, or its name in `SAMPLERS`.
        device: where the images are made.

    Returns:
        Images (n, *shape), not clamped.

    Raises:
        ValueError: a prior that was not fitted, or was to other shapes; steps < 1. LookupError: no such sampler.
        TypeError: a degradation with params that come from the data.
    """
    D, x = initial_state(degradation, prior, shape, generators, device)
    return sample(R, D, x, steps=steps, sampler=sampler, generator=generators)


def initial_state(
    degradation: Degradation, prior: Prior, shape: Shape, generators: Sequence[torch.Generator],
    device: torch.device | str = "cpu",
) -> tuple[BoundDegradation, Images]:  # fmt: skip
    """Where generation starts: D with params of its own for each image, and x = D(u, 1) + sigma z."""
    u = torch.cat([prior.sample(1, shape, g) for g in generators]).to(device)
    if degradation.required_params:  # it ends in images of the prior, whatever it began with
        x = u + prior.sigma * draw_noise(u, generators)
        return degradation.bind(dict.fromkeys(degradation.required_params, x), like=x), x
    D = degradation.bind(degradation.draw_each(u, generators), like=u)
    return D, D(u, 1.0) + prior.sigma * draw_noise(u, generators)


def interpolated_states(
    degradation: Degradation, prior: Prior, shape: Shape, seeds: tuple[int, int], n: int,
    device: torch.device | str = "cpu",
) -> tuple[BoundDegradation, Images]:  # fmt: skip
    """Where generation starts on a path of n images from one seed to another: the ends are those of `initial_state`.

    Colours go straight; what is not colour goes along the sphere, so that noise stays as strong as it is.
    """
    D, x = initial_state(degradation, prior, shape, [torch.Generator().manual_seed(seed) for seed in seeds], device)
    way = torch.linspace(0, 1, n, dtype=torch.float64)
    x = _between(x, way)
    return degradation.bind({name: _between(value, way) for name, value in D.params.items()}, like=x), x


def _between(ends: Tensor, way: Tensor) -> Tensor:
    """Values (n, ...) from the first of two rows to the second, at shares of the way (n,)."""
    w = way.to(ends.device).reshape(-1, *[1] * (ends.dim() - 1))
    if not ends.is_floating_point():  # a choice: one or the other
        return torch.where(w < 0.5, ends[0], ends[1])
    a, b = ends.double()
    if ends.dim() < 4:
        return torch.lerp(a, b, w).to(ends.dtype)
    colours = ends.double().mean(dim=(-2, -1), keepdim=True)
    p, q = ends.double() - colours
    angle = torch.acos((p.flatten() @ q.flatten() / (p.norm() * q.norm()).clamp(min=1e-12)).clamp(-1, 1))
    if float(angle.sin()) < 1e-6:  # alike, opposite, or nothing but colour
        return torch.lerp(a, b, w).to(ends.dtype)
    rest: Tensor = (torch.sin((1 - w) * angle) * p + torch.sin(w * angle) * q) / torch.sin(angle)
    return (torch.lerp(colours[0], colours[1], w) + rest).to(ends.dtype)
