"""Grids of times whose image distributions are equally far apart."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from . import metrics
from .calibration import STILL, Sample, refined
from .data import ImageData
from .degradations.base import Degradation, Images, Params
from .grids import grid_within, on_levels

NODES = 33  # severities at which images are damaged, at first; up to 8 times as many where they change fast
BATCH_NUMBERS = 2**16  # in images that are damaged at a time, to all severities
ROUNDS = 3  # each measures where the one before has come to
HALVINGS = 50


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
    levels = degradation.level_times()
    begin = grid_within(steps, start, levels)[0]
    if begin.dim():
        raise ValueError(f"start must be one number, got one per image: {begin.tolist()}")
    sample = Sample.of(degradation, images, params, seed)
    high = float(degradation.severity(begin))
    severities, _ = refined(lambda s: sample.measure(s, metrics.rmse), 0.0, high, NODES)
    for _ in range(ROUNDS):
        falling = severities.flip(0)
        i, share = equal_chords(embedded(sample, falling), steps)
        found = torch.lerp(falling[i], falling[i + 1], share)
        severities = torch.cat([severities, found[1:-1]]).sort().values
    times = degradation.schedule.inverse(found)
    times[0], times[-1] = begin, 0
    times = times if levels is None else on_levels(times, levels)
    if levels is not None and len(times) <= steps:
        told = f"{steps} steps on {len(levels) - 1} levels: only {len(times) - 1} are distinct"
        warnings.warn(told, stacklevel=2)
    return times


@torch.no_grad()
def embedded(sample: Sample, severities: Tensor) -> Tensor:
    """Points (K, K) as far apart as all the images together are at some severities (K,).

    Their products follow from those of the damaged images, which need not be in memory at once.
    """
    products = torch.zeros(len(severities), len(severities), dtype=torch.float64)
    for x, D in sample.batches(BATCH_NUMBERS):
        moved = torch.stack([(D(x, s) - x).flatten() for s in severities.tolist()]).double()
        products += (moved @ moved.T).cpu()
    if not float(products.diagonal().max()) > STILL**2 * sample.images.numel():
        raise ValueError("these images do not change, or hold nan: there are no distances to be equal; give other ones")
    values, vectors = torch.linalg.eigh(products / len(sample.images))
    points: Tensor = vectors * values.clamp(min=0).sqrt()
    return points


def equal_chords(path: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Points on a path of straight lines, from its beginning to its end, each equally far from the one before it.

    Args:
        path: corners (K, n).
        count: of chords.

    Returns:
        For each of count + 1 points the corner before it, (count + 1,) int64, and how far it is to the next, in [0, 1].
    """
    low, high = 0.0, float(path.diff(dim=0).norm(dim=1).sum()) / count  # no chord is longer than its part of the path
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        *_, (i, share) = _walked(path, middle, count - 1)
        left = float((path[-1] - torch.lerp(path[i], path[i + 1], share)).norm())
        low, high = (middle, high) if left > middle else (low, middle)
    points = [*_walked(path, low, count - 1), (len(path) - 2, 1.0)]
    return torch.tensor([i for i, _ in points]), torch.tensor([share for _, share in points], dtype=torch.float64)


def _walked(path: Tensor, chord: float, count: int) -> list[tuple[int, float]]:
    """The beginning of a path and the ends of `count` chords along it; its end where it is too short."""
    points = [(0, 0.0)]
    for _ in range(count):
        i, share = points[-1]
        here = torch.lerp(path[i], path[i + 1], share)
        beyond = ((path[i + 1 :] - here).norm(dim=1) >= chord).nonzero()
        if not len(beyond):
            return [*points, (len(path) - 2, 1.0)]
        j = i + int(beyond[0])  # the line on which the chord ends
        # |path[j] + u step - here| = chord: of both roots in u the later one.
        step, back = path[j + 1] - path[j], path[j] - here
        square, half, rest = float(step @ step), float(step @ back), float(back @ back) - chord**2
        u = (-half + max(half**2 - square * rest, 0.0) ** 0.5) / square
        points.append((j, min(u, 1.0)))
    return points
