"""What a restore may know: a damaged picture comes without the params that damaged it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..degradations.base import BoundDegradation, Claims, Degradation, Images, check_images
from ..degradations.times import as_times, float_times
from ..utils.numerics import computing_dtype
from ..utils.rng import Generators
from .algorithms import improved, one_shot
from .base import Restorer, Sampler, State
from .sample import walk
from .time_grid import check_grid


def restore(
    R: Restorer,
    degradation: Degradation,
    x: Images,
    times: Tensor,
    *,
    sampler: Sampler = improved,
    mask: Tensor | None = None,
    generator: Generators = None,
    capture: Callable[[Sampler], Sampler] | None = None,
) -> Iterator[State]:
    """A sampler's walk from damaged pictures whose params nobody knows.

    Args:
        R: any callable `(x, t) -> x0_hat`.
        degradation: what damaged them.
        x: images (B, C, H, W) at times[0].
        times: a decreasing grid, (K + 1,) or one column per image (K + 1, B).
        sampler: how to walk.
        mask: (B or 1, 1, H, W), true where the picture is missing, for operators with missing pixels.
        generator: for what has to be drawn.
        capture: what the walk goes through, as `cuda_graph.captured`, which replays steps on a GPU.
    """
    check_images(x)
    times = float_times(times)
    check_grid(times, len(x))
    if capture is not None:
        D = bind_observed(degradation, R, x, times[0], mask=mask, sampler=sampler, generator=generator)
        return walk(R, D, x, times=times, sampler=capture(sampler), generator=generator)
    asking = _Once(R)
    D = bind_observed(degradation, asking, x, times[0], mask=mask, sampler=sampler, generator=generator)
    return walk(asking, D, x, times=times, sampler=sampler, generator=generator)


@torch.no_grad()
def bind_observed(
    degradation: Degradation,
    R: Restorer,
    x: Images,
    t: float | Tensor,
    *,
    mask: Tensor | None = None,
    sampler: Sampler = improved,
    generator: Generators = None,
) -> BoundDegradation:
    """The degradation bound to what can be known of the params of damaged pictures x at time t.

    In this order: what the operator reads off the picture (a hole's place), with the user's mask if there is one;
    an estimate after a first call of R (Gaussian noise, the endpoint of an interpolation); else a fresh draw, which
    suits every sampler but `improved` and its like: those need the very params that made x.

    Args:
        degradation: what damaged them.
        R: any callable `(x, t) -> x0_hat`; asked once, where params are estimated.
        x: images (B, C, H, W).
        t: their time, or times (B,).
        mask: (B or 1, 1, H, W), true where the picture is missing.
        sampler: that is to walk with it.
        generator: of a fresh draw: a CPU generator, or one per image.

    Raises:
        ValueError: a mask that the operator has no use for, or a sampler that needs what nobody knows.
    """
    if mask is not None:
        mask = _checked(mask, degradation, x)
    if getattr(sampler, "estimates", False) and not degradation.estimable:
        raise ValueError(
            f"this sampler estimates params at every step, which {type(degradation).__name__} does not allow: "
            f"use {default_sampler(degradation)}, naive or one_shot"
        )
    if degradation.deterministic:
        return degradation.bind(like=x)
    if degradation.observable:
        seen = x.to(computing_dtype(x.dtype))
        return degradation.bind(degradation.observe(seen, as_times(t, x), mask), like=x)
    if degradation.estimable:
        unknown = degradation.bind_unknown(x)
        if sampler is one_shot or getattr(sampler, "estimates", False):
            return unknown  # never asked for D, or estimated at each step
        return unknown.estimate(x, R(x, as_times(t, x)), t)
    if getattr(sampler, "differences", False):
        raise ValueError(
            f"{getattr(sampler, '__name__', 'this sampler')} needs the params that damaged the picture, and "
            f"{type(degradation).__name__} cannot read them off it: use one_shot or naive"
        )
    one = generator is None or isinstance(generator, torch.Generator)
    params = degradation.draw(x, generator) if one else degradation.draw_each(x, generator)  # type: ignore[arg-type]
    return degradation.bind(params, like=x)


def default_sampler(degradation: Degradation) -> str:
    """The sampler to take where nobody chose: DDIM for Gaussian noise, Algorithm 2 where D is smooth in x, else 1.

    Algorithm 2 lives on errors that cancel in D(x0, s) - D(x0, t), which wrapping and rounding do not do.
    """
    if degradation.refreshable:
        return "estimated"
    smooth = Claims.DIFFERENTIABLE in degradation.claims
    return (
        "improved"
        if smooth and (degradation.deterministic or degradation.observable or degradation.estimable)
        else "naive"
    )


class _Once:
    """A restorer that is not asked the same question twice: an estimate of params and the first step share it."""

    def __init__(self, R: Restorer) -> None:
        self.R = R
        self.last: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        if self.last is None or self.last[0] is not x:
            self.last = x, self.R(x, t)
        return self.last[1]


def _checked(mask: Tensor, degradation: Degradation, x: Images) -> Tensor:
    """A mask as (B, 1, H, W) on the device of x."""
    if not degradation.observable:
        raise ValueError(f"{type(degradation).__name__} has no missing pixels: leave the mask out")
    if mask.dim() != 4 or mask.shape[0] not in (1, len(x)) or tuple(mask.shape[1:]) != (1, *x.shape[-2:]):
        raise ValueError(f"expected a mask ({len(x)}, 1, {x.shape[-2]}, {x.shape[-1]}), got {tuple(mask.shape)}")
    if not bool(mask.flatten(1).any(dim=1).all()):
        raise ValueError("the mask marks nothing as missing: it must be white (true) where the picture is to be filled")
    return mask.to(x.device).expand(len(x), 1, *x.shape[-2:])
