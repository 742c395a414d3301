"""Run a sampler, given itself or by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from ..degradations.base import BoundDegradation, Degradation, Images, check_images
from ..degradations.times import float_times
from ..utils.config import suggestion
from ..utils.rng import Generators
from .algorithms import SAMPLERS, improved
from .base import Restorer, Sampler, State
from .time_grid import check_grid, time_grid


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
    """`sample`, one `State` after another: for progress bars, trajectories and stopping early.

    Its arguments are those of `sample`; they are checked before the first step.
    """
    if not isinstance(D, BoundDegradation):
        raise TypeError("D must be bound to its params: D = degradation.bind(degradation.draw(x), like=x)")
    check_images(x)
    sampler = named_sampler(sampler)
    if (steps is None) == (times is None):
        raise ValueError("give either steps (a number) or times (a decreasing grid), and not both")
    if times is None:
        assert steps is not None
        times = time_grid(steps, start, levels=D.degradation.level_times())
    grid = float_times(times)
    check_grid(grid, len(x))
    return sampler(R, D, x, grid, generator=generator)


def named_sampler(sampler: Sampler | str) -> Sampler:
    """The sampler of that name, or the sampler itself.

    Raises:
        LookupError: no such name. TypeError: neither a sampler nor a name.
    """
    if not isinstance(sampler, str):
        if not callable(sampler):
            raise TypeError(f"expected a sampler or the name of one ({', '.join(SAMPLERS)}), got {sampler!r}")
        return sampler
    if sampler not in SAMPLERS:
        known = ", ".join(SAMPLERS)
        raise LookupError(f"no sampler is named {sampler!r}{suggestion(sampler, SAMPLERS)}; known: {known}")
    return SAMPLERS[sampler]


def restorer_calls(sampler: str, steps: int) -> int:
    """How often the sampler of that name asks the restorer on a grid of so many steps."""
    return {"one_shot": 1, "heun": 2 * steps - 1}.get(sampler, steps)


def supports(sampler: str, degradation: Degradation, conditional: bool = False) -> bool:
    """Whether the sampler of a name gets all that it needs where a degradation is undone.

    Args:
        sampler: its name.
        degradation: what is undone.
        conditional: whether it starts from a prior, beside a picture: params are known then.
    """
    known = conditional or degradation.deterministic or degradation.observable or degradation.estimable
    needs = {
        **dict.fromkeys(("improved", "heun", "multistep"), known),
        "estimated": degradation.estimable,
        "ddpm": degradation.refreshable,
        "momentum": type(degradation).noise_scale is not Degradation.noise_scale,
    }
    return needs.get(sampler, True)
