"""Which settings an evaluation compares, and the measurements of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce

import torch
from torch import Tensor

from ..data.dataset import ImageData
from ..degradations.base import Degradation
from ..models.baselines import Baseline
from ..models.run import Run
from ..samplers.algorithms import SAMPLERS
from ..samplers.sample import restorer_calls, sample, supports
from ..samplers.time_grid import default_grid, steps_within
from ..samplers.unknown_params import restore
from ..utils.distributed import map_over_processes, rank_and_world
from ..utils.progress import Progress
from ..utils.rng import generator_for
from . import metrics
from .features import Perception, features_of

PICTURED = 8


@dataclass
class CaseResult:
    """What is kept of the images of one cell, batch by batch."""

    calls: int = 0
    distances: list[dict[str, Tensor]] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    pictures: list[Tensor] = field(default_factory=list)

    def __add__(self, other: CaseResult) -> CaseResult:
        return CaseResult(
            self.calls, self.distances + other.distances, self.features + other.features, self.pictures + other.pictures
        )

    def of(self, name: str) -> Tensor:
        return torch.cat([batch[name] for batch in self.distances])


def measure(
    run: Run,
    data: ImageData,
    compared: list[EvalCase],
    sense: Perception,
    *,
    baseline: Baseline | None,
    images: int,
    batch_size: int,
    seed: int,
    quantize_inputs: bool,
    progress: bool,
    iterate_chain: bool = False,
) -> tuple[Tensor, list[CaseResult]]:
    """The features of the first clean images, and what each cell did to them; see `report.evaluate`.

    Split over torchrun's processes, batch by batch: each gets all.
    """
    with Progress[None]((), "evaluating", images * len(compared), unit="images", show=progress) as bar:

        def batch(k: int) -> tuple[list[Tensor], list[CaseResult]]:
            """The features of a batch, and what each cell did to it."""
            first = k * batch_size
            part = slice(first, min(first + batch_size, images))
            x0 = data[part].to(run.device)
            keys = [generator_for(seed, "evaluation", i) for i in range(part.start, part.stop)]
            given = {name: value.to(run.device) for name, value in data.params_at(part).items()}
            params = (run.condition or run.degradation).draw_each(x0, keys) | given
            kept = []
            for cell in compared:
                restored, calls = _restored(
                    run, baseline, cell, x0, params, seed, first, quantize_inputs, iterate_chain
                )
                restored = restored.clamp(0, 1)
                features = [features_of(sense.net, restored)] if sense.net else []
                pictures = [restored[: max(0, PICTURED - first)].cpu()]
                kept.append(CaseResult(calls, [_distances(restored, x0, sense)], features, pictures))
                bar.update(len(x0) * rank_and_world()[1])
            return [features_of(sense.net, x0)] if sense.net else [], kept

        batches = map_over_processes(batch, -(-images // batch_size))
    clean = [features for found, _ in batches for features in found]
    kept = [reduce(CaseResult.__add__, (batch[k] for _, batch in batches)) for k in range(len(compared))]
    return torch.cat(clean) if clean else torch.empty(0), kept


# --- helpers ---------------------------------------------------------------------------------------------------------


def _restored(
    run: Run, baseline: Baseline | None, cell: EvalCase, x0: Tensor, params: dict[str, Tensor],
    seed: int, first: int, quantize_inputs: bool, iterate_chain: bool,
) -> tuple[Tensor, int]:  # fmt: skip
    """The images of one cell, and how often the restorer was called for them."""
    true = (run.condition or run.degradation).bind(params, like=x0)
    x = true.chain(x0, cell.start) if iterate_chain else true(x0, cell.start)
    x = (x * 255).round() / 255 if quantize_inputs else x
    if cell.classical:
        assert baseline is not None
        return baseline(x, torch.tensor(cell.start, dtype=torch.float64).expand(len(x))), 0
    if cell.times is None:
        return x, 0
    calls = 0

    def R(x: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return run.R(x, t)

    sampler = SAMPLERS[cell.sampler]
    if run.condition is not None:
        own = [generator_for(seed, "restoring", i) for i in range(first, first + len(x))]
        for state in run.walk(x, start=1.0, steps=cell.steps, sampler=sampler, generator=own):
            x = state.x
        return x, restorer_calls(cell.sampler, len(cell.times) - 1)
    if cell.oracle:
        return sample(R, true, x, times=cell.times, sampler=sampler), calls
    drawn = [generator_for(seed, "restoring", i) for i in range(first, first + len(x))]
    for state in restore(R, run.degradation, x, cell.times, sampler=sampler, generator=drawn):
        x = state.x
    return x, calls


def _distances(restored: Tensor, x0: Tensor, sense: Perception) -> dict[str, Tensor]:
    """Every distance of each image from the clean one."""
    found = {m.__name__: m(restored, x0).cpu() for m in (metrics.rmse, metrics.psnr, metrics.ssim)}
    return found | ({"lpips": sense.lpips(restored, x0).cpu()} if sense.lpips else {})


@dataclass(frozen=True)
class EvalCase:
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


def eval_cases(
    degradation: Degradation, starts: Sequence[float], steps: Sequence[int], baseline: str | None = None,
    conditional: bool = False,
) -> Iterator[EvalCase]:  # fmt: skip
    """The rows of a table, by start: the damaged images, the baseline, every sampler of use, and oracles.

    A conditional restorer starts at t = 1 whatever damaged the picture, with params of its own.
    """
    levels = degradation.level_times()
    if conditional:
        yield EvalCase("degraded", 1.0, None)
        drawn = [name for name in ("estimated", "ddpm") if supports(name, degradation)]
        names = drawn or ["improved"]
        for k in sorted(steps):
            yield from (EvalCase(name, 1.0, *_grid(k, 1.0, levels)) for name in names)
        return
    for start in _distinct(starts, levels):
        yield EvalCase("degraded", start, None)
        if baseline is not None:
            yield EvalCase(baseline, start, None, classical=True)
        yield EvalCase("one_shot", start, *_grid(1, start, levels))
        grids = {len(grid): (grid, count) for grid, count in (_grid(k, start, levels) for k in sorted(steps))}
        names = [name for name in ("naive", "improved", "estimated") if supports(name, degradation)]
        for grid in grids.values():
            yield from (EvalCase(name, start, *grid) for name in names)
        if not degradation.deterministic:
            longest = grids[max(grids)]
            yield from (EvalCase(f"{name} (oracle)", start, *longest) for name in ("naive", "improved"))


def _grid(steps: int, start: float, levels: Tensor | None) -> tuple[Tensor, int]:
    """A grid, and with how many steps it is asked for."""
    return default_grid(steps, start, levels), steps_within(steps, start, levels)


def _distinct(starts: Sequence[float], levels: Tensor | None) -> list[float]:
    """The starts in order, on the operator's levels, none twice."""
    for start in starts:
        if not 0 < start <= 1:
            raise ValueError(f"start must be in (0, 1], got {start}")
    if levels is not None:
        starts = [float(levels[1:][(levels[1:] - start).abs().argmin()]) for start in starts]
    return sorted(set(starts))
