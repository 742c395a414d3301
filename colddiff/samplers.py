"""The samplers: each walks a grid of times from damaged to clean using nothing but a restorer and a degradation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from .degradations.base import BoundDegradation, Images, check_images
from .kernels import normal
from .registry import suggestion

Restorer = Callable[[Tensor, Tensor], Tensor]
Generators = torch.Generator | Sequence[torch.Generator] | None


@dataclass(frozen=True)
class State:
    """Where a sampler stands after a step.

    Args:
        x: the image at time t, (B, C, H, W); not clamped.
        x0: the restorer's answer that led here, (B, C, H, W).
        t: the time of x, (B,).
    """

    x: Tensor
    x0: Tensor
    t: Tensor


class Sampler(Protocol):
    """A generator function over an explicit grid of times, (K + 1,) or one column per image (K + 1, B)."""

    def __call__(
        self, R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
    ) -> Iterator[State]: ...


@torch.no_grad()
def one_shot(
    R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
) -> Iterator[State]:
    """The restorer's answer at the first time, and nothing more.

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

    Source: Cold Diffusion, Algorithm 2.
    """
    for t, s in pairwise(_on_device(times, x)):
        x0 = R(x, t)
        x = _where_later(s, t, x + D.change(x0, t, s), x)  # change: D(x0, s) - D(x0, t)
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
    sampler.estimates = True  # type: ignore[attr-defined]  # what it needs of D, see `restoration`
    sampler.memoryless = eta == 0  # type: ignore[attr-defined]  # see `captured`
    return sampler


# A step depends on nothing but R, D, x and two times: neither on steps before nor on noise, see `captured`.
for _sampler in (naive, improved):
    _sampler.memoryless = True  # type: ignore[attr-defined]

SAMPLERS: dict[str, Sampler] = {
    "one_shot": one_shot,
    "naive": naive,
    "improved": improved,
    "estimated": estimated(),
    "ddpm": estimated(eta=1.0),
}


def sample(
    R: Restorer,
    D: BoundDegradation,
    x: Images,
    *,
    steps: int | None = None,
    times: Tensor | Sequence[float] | None = None,
    start: float | Tensor = 1.0,
    sampler: Sampler | str = improved,
    generator: Generators = None,
) -> Images:
    """The last image of a sampler's walk from x, which is at time `start`, to 0.

    Args:
        R: any callable `(x, t) -> x0_hat` with t (B,).
        D: a degradation bound to the params of x.
        x: images (B, C, H, W) at time `start`, or at times[0].
        steps: how many equal steps of time; snapped to the operator's levels where it has some.
        times: an explicit, strictly decreasing grid instead, (K + 1,) or one column per image (K + 1, B).
        start: the time of x in (0, 1], one for all or one per image (B,).
        sampler: a sampler, or its name in `SAMPLERS`.
        generator: a sampler's own noise: a CPU generator, or one per image.

    Returns:
        Images (B, C, H, W), not clamped.
    """
    for state in walk(R, D, x, steps=steps, times=times, start=start, sampler=sampler, generator=generator):
        x = state.x
    return x


def walk(
    R: Restorer,
    D: BoundDegradation,
    x: Images,
    *,
    steps: int | None = None,
    times: Tensor | Sequence[float] | None = None,
    start: float | Tensor = 1.0,
    sampler: Sampler | str = improved,
    generator: Generators = None,
) -> Iterator[State]:
    """`sample`, one `State` after another: for progress bars, trajectories and stopping early."""
    if not isinstance(D, BoundDegradation):
        raise TypeError("D must be bound to its params: D = degradation.bind(degradation.draw(x), like=x)")
    check_images(x)
    sampler = named_sampler(sampler) if isinstance(sampler, str) else sampler
    if (steps is None) == (times is None):
        raise ValueError("give either steps (a number) or times (a decreasing grid), and not both")
    if times is None:
        assert steps is not None
        times = time_grid(steps, start, levels=D.degradation.level_times())
    grid = times if isinstance(times, Tensor) else torch.tensor(times, dtype=torch.float64)
    check_grid(grid, len(x))
    return sampler(R, D, x, grid, generator=generator)


def named_sampler(name: str) -> Sampler:
    """The sampler of that name."""
    if name not in SAMPLERS:
        raise LookupError(f"no sampler is named {name!r}{suggestion(name, SAMPLERS)}; known: {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def time_grid(steps: int, start: float | Tensor = 1.0, *, levels: Tensor | None = None) -> Tensor:
    """`steps` equal steps of time from `start` to 0, snapped to `levels` (the times of an operator's levels).

    Args:
        steps: at least 1.
        start: in (0, 1], one for all or one per image (B,).
        levels: increasing times of levels 0 .. T, or None for a continuous operator.

    Returns:
        Strictly decreasing times (K + 1,) or (K + 1, B), float64 on the CPU; K < steps, with a warning, where
        several steps fell on one level.
    """
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number >= 1, got {steps!r}")
    begin = torch.as_tensor(start, dtype=torch.float64).cpu()
    if begin.dim() > 1 or not bool(((begin > 0) & (begin <= 1)).all()):
        raise ValueError(f"start must be in (0, 1], one for all or one per image, got {begin.tolist()}")
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64).reshape(-1, *[1] * begin.dim()) * begin
    if levels is None:
        return times
    middles = (levels[1:] + levels[:-1]) / 2
    times = levels[torch.bucketize(times, middles, right=True)]
    times[0] = torch.maximum(times[0], levels[1])  # a start below the first level is that level
    if bool(((times[0] - begin).abs() > 1e-6).any()):
        warnings.warn(f"start {begin.tolist()} is between levels: {times[0].tolist()} is taken", stacklevel=3)
    moved = (times[1:] < times[:-1]).reshape(steps, -1).any(dim=1)
    if not bool(moved.all()):
        warnings.warn(f"{steps} steps on {len(levels) - 1} levels: only {int(moved.sum())} are distinct", stacklevel=3)
    return times[torch.cat([torch.tensor([True]), moved])]


def check_grid(times: Tensor, batch: int) -> None:
    """Raise unless times are a decreasing grid in [0, 1], (K + 1,) or (K + 1, batch)."""
    if times.dim() not in (1, 2) or len(times) < 2 or (times.dim() == 2 and times.shape[1] not in (1, batch)):
        raise ValueError(
            f"times must be (K + 1,), or (K + 1, {batch}) with a column per image, got {tuple(times.shape)}"
        )
    rows = times.detach().cpu().reshape(len(times), -1)
    falls = rows[1:] < rows[:-1]
    # Columns snapped to levels may stand still while others move.
    if not bool((falls.any(dim=1) & (rows[1:] <= rows[:-1]).all(dim=1)).all()):
        raise ValueError(f"times must decrease strictly from damaged to clean, got {times.tolist()}")
    if not bool(((rows >= 0) & (rows <= 1)).all()):
        raise ValueError(f"times must be in [0, 1], got {times.tolist()}")


def draw_noise(like: Tensor, generator: Generators) -> Tensor:
    """Standard normal noise shaped as `like`, from one CPU generator or from one per image."""
    if generator is None or isinstance(generator, torch.Generator):
        return normal(tuple(like.shape), like, generator)
    if len(generator) != len(like):
        raise ValueError(f"expected one generator per image, {len(like)}, got {len(generator)}")
    return torch.cat([normal((1, *like.shape[1:]), like, g) for g in generator])


def _where_later(s: Tensor, t: Tensor, moved: Images, x: Images) -> Images:
    """`moved`, but x where its own column of the grid stands still: on levels, some images finish before others."""
    if s.stride(0) == 0:
        return moved  # one column: it falls at every step
    return torch.where((s < t).reshape(-1, 1, 1, 1), moved, x)


def _on_device(times: Tensor, x: Tensor) -> Tensor:
    """The grid as (K + 1, B) on the device of x, moved once."""
    grid = times.to(x.device, non_blocking=True)
    return grid.reshape(len(grid), -1).expand(-1, len(x))
