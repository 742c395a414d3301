"""The sampling algorithms, each a generator over a grid of times, and the table of them by name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from ..degradations.base import BoundDegradation, Images
from ..utils.rng import Generators, draw_noise
from .base import Restorer, Sampler, State


@torch.no_grad()
def one_shot(
    R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
) -> Iterator[State]:
    """The restorer's answer at the first time, and nothing more.

    Its arguments are those of every `Sampler`.

    Source: the "direct" reconstruction of Cold Diffusion, tables 1 to 3.
    """
    times = _on_device(times, x)
    x0 = R(x, times[0])
    yield State(x0, x0, torch.zeros_like(times[0]))


@torch.no_grad()
def naive(
    R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
) -> Iterator[State]:
    """x = D(x0, s): restore, then degrade a little less.

    Its arguments are those of every `Sampler`.

    Source: Cold Diffusion, Algorithm 1.
    """
    for t, s in pairwise(_on_device(times, x)):
        x0 = R(x, t)
        x = _where_later(s, t, D(x0, s), x)
        yield State(x, x0, s)


@torch.no_grad()
def improved(
    R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
) -> Iterator[State]:
    """x = x + (D(x0, s) - D(x0, t)): errors of the restorer cancel to first order.

    The bracket leaves what D does not touch as it is: to the last bit in single pixels, to rounding under filters.

    Its arguments are those of every `Sampler`.

    Source: Cold Diffusion, Algorithm 2.
    """
    for t, s in pairwise(_on_device(times, x)):
        x0 = R(x, t)
        x = _where_later(s, t, x + D.change(x0, t, s), x)  # change: D(x0, s) - D(x0, t)
        yield State(x, x0, s)


@torch.no_grad()
def heun(
    R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
) -> Iterator[State]:
    """x = x + (change by R(x, t) + change by R(x', s)) / 2, x' where `improved` would be: the slope at both ends.

    Two calls a step; the last has one, as no restorer is trained at t = 0. `improved` is Euler's method for
    dx/dt = d/dt D(R(x, t), t), x0 held fixed: this is Heun's.

    Its arguments are those of every `Sampler`.

    Source: Karras et al. 2022, algorithm 1, for Gaussian noise; here for any D.
    """
    grid = _on_device(times, x)
    for t, s in pairwise(grid[:-1]):
        x0 = R(x, t)
        step = D.change(x0, t, s)
        ahead = R(x + step, s)
        # Images whose own column of the grid ends here have no slope at its end.
        second = torch.where((s > 0).reshape(-1, 1, 1, 1), D.change(ahead, t, s), step)
        x = _where_later(s, t, x + (step + second) / 2, x)
        yield State(x, ahead, s)
    yield from improved(R, D, x, grid[-2:])


@torch.no_grad()
def multistep(
    R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
) -> Iterator[State]:
    """`improved` with x0 carried on to the middle of the step, by a straight line through the last two answers.

    Second order like `heun`, for one call a step.

    Its arguments are those of every `Sampler`.

    Source: the two-step method of Adams and Bashforth; Lu et al. 2022, "DPM-Solver++", algorithm 2, for diffusion.
    """
    grid = _on_device(times, x)
    before, x0_before = grid[0], x  # of which the first step uses nothing
    for t, s in pairwise(grid):
        x0 = R(x, t)
        second = before > t  # the first step has no line to go on with
        share = torch.where(second, (t - s) / torch.where(second, before - t, 1) / 2, 0)
        ahead = x0 + share.to(x.dtype).reshape(-1, 1, 1, 1) * (x0 - x0_before)
        x = _where_later(s, t, x + D.change(ahead, t, s), x)
        before, x0_before = torch.where(s < t, t, before), _where_later(s, t, x0, x0_before)
        yield State(x, x0, s)


def estimated(eta: float = 0.0) -> Sampler:
    """A sampler that reads the params off the picture anew at each step: D such that D(x0, t) = x, then x = D(x0, s).

    Both algorithms coincide there. With Gaussian noise it is DDIM, and at eta = 1 DDPM; with `Interpolate` it is
    InDI and rectified flow's Euler step.

    Source: Song et al. 2021, equation 12; Delbracio & Milanfar 2023, equation 7; the "estimated noise" of Cold
    Diffusion section 5.

    Args:
        eta: the share of the noise that is redrawn, from 0 (none) to 1 (DDPM); above 0 for Gaussian noise only.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be in [0, 1], got {eta}")

    @torch.no_grad()
    def sampler(
        R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
    ) -> Iterator[State]:
        for t, s in pairwise(_on_device(times, x)):
            x0 = R(x, t)
            D = D.estimate(x, x0, t)
            if eta > 0:
                D = D.refresh(t, s, eta, draw_noise(x, generator))
            x = _where_later(s, t, D(x0, s), x)
            yield State(x, x0, s)

    sampler.__doc__ = (estimated.__doc__ or "").split("\n\n")[0]
    sampler.estimates = True  # type: ignore[attr-defined]  # what it needs of D, see `unknown_params`
    sampler.memoryless = eta == 0  # type: ignore[attr-defined]  # see `cuda_graph`
    return sampler


@torch.no_grad()
def momentum(
    R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
) -> Iterator[State]:
    """`improved` for a signal C_t x0 + sigma_t z: what R says of the noise shrinks, new noise makes up for it.

    x = x - ((sigma_s / sigma_t)^2 - 1) (C_t x0 - x) + sqrt(sigma_t^2 - sigma_s^2) z + (C_s x0 - C_t x0), the last
    step without z. With constant sigma it is `improved`. D says how much noise it adds (`noise_scale`).

    Its arguments are those of every `Sampler`.

    Source: Daras et al. 2023, "Soft Diffusion", algorithm 2.
    """
    C = D.with_params(D.params | {"noise": torch.zeros_like(x)})
    for t, s in pairwise(_on_device(times, x)):
        before, after = D.noise_scale(t), D.noise_scale(s)
        x0 = R(x, t)
        e = C(x0, t) - x
        z = (s > 0).reshape(-1, 1, 1, 1) * draw_noise(x, generator)
        fresh = (before**2 - after**2).clamp(min=0).sqrt() * z
        moved = x - ((after / before) ** 2 - 1) * e + fresh + C.change(x0, t, s)
        x = _where_later(s, t, moved.to(x.dtype), x)
        yield State(x, x0, s)


def perturbed(delta: float) -> Sampler:
    """A sampler that restores, degrades a little less, and adds noise: x = D(x0, s) + delta z, the last step without.

    With blurs it is the sampler of inverse heat dissipation: the noise keeps a deterministic walk among what R has
    seen, if R was trained with `input_noise`, 0.01 there.

    Source: Rissanen et al. 2023, "Generative modelling with inverse heat dissipation", algorithm 2.

    Args:
        delta: standard deviation in [0, 1], 1.25 times that of the training.
    """
    if not 0 <= delta < 10:
        raise ValueError(f"delta must be in [0, 10), got {delta}")

    @torch.no_grad()
    def sampler(
        R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
    ) -> Iterator[State]:
        for t, s in pairwise(_on_device(times, x)):
            x0 = R(x, t)
            z = (delta * (s > 0).reshape(-1, 1, 1, 1) * draw_noise(x, generator)).to(x.dtype)
            x = _where_later(s, t, D(x0, s) + z, x)
            yield State(x, x0, s)

    sampler.__doc__ = (perturbed.__doc__ or "").split("\n\n")[0]
    return sampler


# A step depends on nothing but R, D, x and two times: neither on steps before nor on noise, see `cuda_graph`.
for _sampler in (naive, improved):
    _sampler.memoryless = True  # type: ignore[attr-defined]
# Theirs are differences of D, which cancel with the very params alone that made x, see `unknown_params`.
for _sampler in (improved, heun, multistep):
    _sampler.differences = True  # type: ignore[attr-defined]


SAMPLERS: dict[str, Sampler] = {
    "one_shot": one_shot,
    "naive": naive,
    "improved": improved,
    "heun": heun,
    "multistep": multistep,
    "estimated": estimated(),
    "ddpm": estimated(eta=1.0),
    "momentum": momentum,
    "ihdm": perturbed(0.0125),
}


def _where_later(s: Tensor, t: Tensor, moved: Images, x: Images) -> Images:
    """`moved`, but x where its own column of the grid stands still: on levels, some images finish before others."""
    if s.stride(0) == 0:
        return moved  # one column: it falls at every step
    return torch.where((s < t).reshape(-1, 1, 1, 1), moved, x)


def _on_device(times: Tensor, x: Tensor) -> Tensor:
    """The grid as (K + 1, B) on the device of x, moved once."""
    grid = times.to(x.device, non_blocking=True)
    return grid.reshape(len(grid), -1).expand(-1, x.shape[0])  # which a graph may leave open, unlike len
