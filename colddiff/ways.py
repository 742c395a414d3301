"""The ways to restore that a table compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from .degradations.base import Degradation
from .samplers.sample import walks
from .samplers.time_grid import grid_within, steps_within


@dataclass(frozen=True)
class Cell:
    """One way to restore: what is measured in a row of the table.

    Args:
        method: "degraded", a baseline's name, a sampler's name, or a sampler's name with " (oracle)".
        start: time of the damaged image.
        times: the sampler's grid; None where there is no sampler.
        steps: with which that grid is asked for; it has fewer where several fell on one level.
        classical: whether it is a baseline, which calls no network.
    """

    method: str
    start: float
    times: Tensor | None
    steps: int = 0
    classical: bool = False

    @property
    def oracle(self) -> bool:
        return self.method.endswith("(oracle)")

    @property
    def sampler(self) -> str:
        return self.method.removesuffix(" (oracle)")

    @property
    def label(self) -> str:
        plain = self.times is None or self.sampler == "one_shot"
        return self.method if plain else f"{self.method}, {len(self.times) - 1}"  # type: ignore[arg-type]


def cells(
    degradation: Degradation, starts: Sequence[float], steps: Sequence[int], baseline: str | None = None,
    conditional: bool = False,
) -> Iterator[Cell]:  # fmt: skip
    """The rows of a table, by start: the damaged images, the baseline, every sampler of use, and oracles.

    A conditional restorer starts at t = 1 whatever damaged the picture, with params of its own.
    """
    levels = degradation.level_times()
    if conditional:
        yield Cell("degraded", 1.0, None)
        drawn = [name for name in ("estimated", "ddpm") if walks(name, degradation)]
        names = drawn or ["improved"]
        for k in sorted(steps):
            yield from (Cell(name, 1.0, *_grid(k, 1.0, levels)) for name in names)
        return
    for start in _distinct(starts, levels):
        yield Cell("degraded", start, None)
        if baseline is not None:
            yield Cell(baseline, start, None, classical=True)
        yield Cell("one_shot", start, *_grid(1, start, levels))
        grids = {len(grid): (grid, count) for grid, count in (_grid(k, start, levels) for k in sorted(steps))}
        names = [name for name in ("naive", "improved", "estimated") if walks(name, degradation)]
        for grid in grids.values():
            yield from (Cell(name, start, *grid) for name in names)
        if not degradation.deterministic:
            longest = grids[max(grids)]
            yield from (Cell(f"{name} (oracle)", start, *longest) for name in ("naive", "improved"))


def _grid(steps: int, start: float, levels: Tensor | None) -> tuple[Tensor, int]:
    """A grid, and with how many steps it is asked for."""
    return grid_within(steps, start, levels), steps_within(steps, start, levels)


def _distinct(starts: Sequence[float], levels: Tensor | None) -> list[float]:
    """The starts in order, on the operator's levels, none twice."""
    for start in starts:
        if not 0 < start <= 1:
            raise ValueError(f"start must be in (0, 1], got {start}")
    if levels is not None:
        starts = [float(levels[1:][(levels[1:] - start).abs().argmin()]) for start in starts]
    return sorted(set(starts))
