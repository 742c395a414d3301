"""What a restore may know: a damaged picture comes without the params that damaged it."""

from __future__ import annotations

import torch
from torch import Tensor

from .degradations.base import BoundDegradation, Claims, Degradation, Images, as_times
from .samplers import Generators, Restorer, Sampler, improved


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
    suits every sampler but `improved`: that one needs the very params that made x.

    Raises:
        ValueError: a mask that the operator has no use for, or `improved` where nothing is known.
    """
    if mask is not None and not degradation.observable:
        raise ValueError(f"{type(degradation).__name__} has no missing pixels: leave the mask out")
    if degradation.deterministic:
        return degradation.bind(like=x)
    if degradation.observable:
        return degradation.bind(degradation.observe(x, as_times(t, x), mask), like=x)
    if degradation.estimable:
        unknown = BoundDegradation(degradation, {}, degradation._tables(x))
        return unknown.estimate(x, R(x, as_times(t, x)), t)
    if sampler is improved:
        raise ValueError(
            f"improved needs the params that damaged the picture, and {type(degradation).__name__} cannot read them "
            "off it: use one_shot or naive"
        )
    one = generator is None or isinstance(generator, torch.Generator)
    params = degradation.draw(x, generator) if one else degradation.draw_each(x, generator)  # type: ignore[arg-type]
    return degradation.bind(params, like=x)


def suited_sampler(degradation: Degradation) -> str:
    """The sampler to take where nobody chose: DDIM for Gaussian noise, Algorithm 2 where D is smooth in x, else 1.

    Algorithm 2 lives on errors that cancel in D(x0, s) - D(x0, t), which wrapping and rounding do not do.
    """
    if degradation.refreshable:
        return "estimated"
    return "improved" if Claims.DIFFERENTIABLE in degradation.claims else "naive"
