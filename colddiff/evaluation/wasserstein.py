"""Grids of times whose image distributions are equally far apart."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from ..data.dataset import ImageData
from ..degradations.base import BoundDegradation, Degradation, Images, Params
from ..samplers.time_grid import default_grid, on_levels
from . import metrics
from .calibration import STILL, Sample, refined

NODES = 33  # severities at which images are damaged, at first; up to 8 times as many where they change fast
ROUNDS = 12  # at most; each measures where the one before has come to
EQUAL = 2e-3  # by what share distances may differ
APART = 1e-9  # severities stay so far apart, where images jump from one to the next


def wasserstein_times(
    degradation: Degradation,
    images: Images | ImageData,
    steps: int,
    start: float = 1.0,
    *,
    params: Params | None = None,
    seed: int = 0,
) -> Tensor:
    """A grid as of `time_grid`, whose consecutive image distributions are equally far apart in 2-Wasserstein distance.

    Every image is coupled with itself: W2^2 = E |D(x, t) - D(x, s)|^2, the norm over all its pixels. That is the
    distance itself for a symmetric blur, which is a gradient of a convex function (Brenier), and of any degradation at
    times so near that no damaged image is nearer to another's place than to its own; else it is an upper bound. They
    are equal to about a percent; to some more on levels, or where pixels jump one by one.

    Source: Daras et al. 2023, "Soft Diffusion", whose scheduler puts levels where those distances are equal.

    Args:
        degradation: any; times are those of its own schedule. Levels are kept: times go to the nearest ones.
        images, params, seed: as of `calibrate`.
        steps: at least 1.
        start: in (0, 1].

    Returns:
        Strictly decreasing times (K + 1,) from start to 0, float64 on the CPU; K < steps, with a warning, where
        several steps fell on one level.

    Raises:
        TypeError, ValueError: as of `calibrate`; a degradation that does not change the images.
    """
    sample = Sample.of(degradation, images, params, seed)
    levels = degradation.level_times()
    begin = default_grid(steps, start, levels)[0]
    if begin.dim():
        raise ValueError(f"start must be one number, got one per image: {begin.tolist()}")
    high = float(degradation.severity(begin))
    severities, _ = refined(lambda s: sample.measure(s, metrics.rmse), 0.0, high, NODES)
    found = equally_far(severities, moves(sample, severities), steps)
    for _ in range(ROUNDS):
        distances = moves(sample, found)
        nearer = equally_far(found, distances, steps)
        if float((distances / distances.mean() - 1).abs().max()) < EQUAL or float(nearer.diff().min()) < APART:
            break
        found = nearer
    found = found.flip(0)
    times = degradation.schedule.inverse(found)
    times[0], times[-1] = begin, 0
    times = times if levels is None else on_levels(times, levels)
    if levels is not None and len(times) <= steps:
        told = f"{steps} steps on {len(levels) - 1} levels: only {len(times) - 1} are distinct"
        warnings.warn(told, stacklevel=2)
    return times


@torch.no_grad()
def moves(sample: Sample, severities: Tensor) -> Tensor:
    """How far images move from each severity (K,) to the next, all together: (K - 1,), those that hold nan left out."""
    found = torch.cat([_squares(x, D, severities.tolist()) for x, D in sample.batches()], dim=1)
    kept = found.isfinite().all(dim=0)
    still = int((found[:, kept].amax(dim=0) <= STILL**2 * sample.images[0].numel()).sum())
    if still == int(kept.sum()):
        raise ValueError(
            f"these images do not change, or hold nan: {still} of {len(kept)} do not change, {len(kept) - still} hold "
            "nan, so there are no distances to be equal; give other ones"
        )
    return found[:, kept].mean(dim=1).sqrt()


def equally_far(severities: Tensor, distances: Tensor, count: int) -> Tensor:
    """Severities (count + 1,) that part a way equally, which is as long as the distances (K - 1,) between some (K,)."""
    way = torch.cat([torch.zeros(1, dtype=torch.float64), distances.cumsum(0)])
    wanted = torch.linspace(0, float(way[-1]), count + 1, dtype=torch.float64)
    above = torch.searchsorted(way, wanted).clamp(1, len(way) - 1)
    share = ((wanted - way[above - 1]) / (way[above] - way[above - 1])).clamp(0, 1)
    found = torch.lerp(severities[above - 1], severities[above], share)
    found[0], found[-1] = severities[0], severities[-1]
    return found


def _squares(x: Tensor, D: BoundDegradation, severities: Sequence[float]) -> Tensor:
    """The square distance of each image from one severity to the next: (K - 1, B) float64 on the CPU."""
    found, before = [], D(x, severities[0])
    for s in severities[1:]:
        after = D(x, s)
        found.append((after - before).double().square().flatten(1).sum(dim=1).cpu())
        before = after
    return torch.stack(found)
