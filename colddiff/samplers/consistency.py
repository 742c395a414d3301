"""Samplers that keep what was measured: whatever is restored, the damaged picture remains what it was damaged to."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..degradations.base import BoundDegradation, Degradation, Images
from ..utils.rng import Generators
from .base import Restorer, Sampler, State

ROUNDING = 1 / 255 / 12**0.5  # standard deviation of what 8-bit levels are off by
EXACT = 2e-8  # of what float32 is, between 1/2 and 1
WILD = 1.5  # from mid-grey: known parts of an image in [0, 1] do not come that far
READ_OFF = 0.01  # of what a picture is taken to be made of where that was read off it, such as the colour of a hole


def consistent(sampler: Sampler, noise: float | None = None) -> Sampler:
    """The same walk, but each answer of the restorer is given what the damaged picture tells of the clean one.

    Known pixels under masks, block means under pixelation, grey under desaturation, frequencies that are left under a
    blur: `Degradation.projection`. Where the walk begins with an exact D(x0, t) in float32, D of its end is that
    picture, to 1e-6; of one that is off, what is known in spite of it.

    Args:
        sampler: any sampler.
        noise: standard deviation of what each value of the damaged picture is off by. None looks at each picture: that
            of rounding where all its values are 8-bit levels, or where no image in [0, 1] could have led to it; else
            that of its dtype.

    Raises:
        NotImplementedError: from the walk, where nothing is known for certain, as under noise.
    """

    @torch.no_grad()
    def walked(
        R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
    ) -> Iterator[State]:
        kept = D.projection(x, times[0], _noise_of(D, x, times[0]) if noise is None else noise)

        def agreeing(x: Tensor, t: Tensor) -> Tensor:
            return kept(R(x, t))

        for state in sampler(agreeing, D, x, times, generator=generator):
            ended = (state.t == 0).reshape(-1, 1, 1, 1)
            yield replace(state, x=torch.where(ended, kept(state.x), state.x))

    functools.update_wrapper(walked, sampler)
    walked.memoryless = False  # type: ignore[attr-defined]  # a step depends on where the walk began
    return walked


def consistently(sampler: Sampler, degradation: Degradation, noise: float = ROUNDING) -> Sampler:
    """`consistent`, for a restore: of params that were merely drawn or estimated nothing is known for certain.

    What follows from params that were read off the picture is known as well as they are: of soft edges, half.

    Raises:
        ValueError: a degradation of which nothing is.
    """
    if degradation.projectable and (degradation.deterministic or degradation.observable):
        return consistent(sampler, noise if degradation.deterministic else max(noise, READ_OFF))
    raise ValueError(
        f"nothing in a picture is known for certain under {type(degradation).__name__}, and so nothing can be kept: "
        "leave consistent out"
    )


def _noise_of(D: BoundDegradation, x: Images, t: Tensor) -> Tensor:
    """By how much each picture is off, (B, 1, 1, 1)."""
    levels = x * 255
    rounded = (levels - levels.round()).abs().amax(dim=(1, 2, 3), keepdim=True) < 1e-3
    exact = EXACT * torch.finfo(x.dtype).eps / torch.finfo(torch.float32).eps
    wild = (D.projection(x, t, exact)(x) - 0.5).abs().amax(dim=(1, 2, 3), keepdim=True) > WILD
    return torch.where(rounded | wild, ROUNDING, exact)
