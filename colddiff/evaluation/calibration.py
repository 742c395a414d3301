"""Schedules that are measured: time as a straight line of how bad images look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..data.dataset import ImageData
from ..degradations.base import BoundDegradation, Degradation, Images, Params, check_images
from ..degradations.schedules import Linear, PiecewiseLinear
from ..utils.config import suggestion
from ..utils.numerics import computing_dtype
from ..utils.rng import generator_for
from . import metrics

Metric = Callable[[Tensor, Tensor], Tensor]
MetricName = Literal["psnr", "ssim", "rmse"]

MOST_IMAGES, MOST_NUMBERS = 512, 2**23  # of `ImageData`: beyond, a curve gets no smoother
BATCH_NUMBERS = 2**20  # in images that are damaged at a time
T_MIN = 0.05  # where a metric that is infinite at 0 begins
ROUNDS = 12  # of bisection: severities come as close as 2^-12 of a knot
WOBBLE = 1e-3  # share of what a metric moves in all, by which it may go back
STILL = 1e-6  # a metric that moves by less is rounding


def calibrate(
    degradation: Degradation,
    images: Images | ImageData,
    metric: MetricName | Metric = "psnr",
    *,
    params: Params | None = None,
    t_min: float = T_MIN,
    knots: int = 21,
    seed: int = 0,
) -> Degradation:
    """The same degradation with a schedule in which time is linear in a metric: equal steps look equally large.

    It is measured at the size of these images: at another size the same severity may look better or worse.

    Args:
        degradation: any; only its schedule is replaced, by a `PiecewiseLinear`. One with levels keeps them, at other
            times.
        images: clean ones, (B, C, H, W) in [0, 1]; of `ImageData` at most 512, spread over all, with their own params.
        metric: "psnr", "ssim", "rmse", or a callable (x, x0) -> (B,). Its mean over the images is made linear.
        params: of tensors, what the degradation requires, a row per image; the rest is drawn once per image.
        t_min: for a metric that is infinite where images are clean, as PSNR is: it is linear in time on [t_min, 1],
            t_min rounded to a knot; below, severity is a straight line. At t_min the damage stays what it was, or is
            the first level of a chain if that is more, and is doubled until the metric of most images is finite.
        knots: of the table, at least 3.
        seed: of what is drawn.

    Raises:
        LookupError: no such metric. TypeError: images that are none, or a missing param. ValueError: a metric that is
        not finite, does not move, or goes up and down; numbers out of range.
    """
    measured, name = named_metric(metric)
    if not isinstance(knots, int) or not 3 <= knots <= 10_000:
        raise ValueError(f"knots must be a whole number in 3 .. 10,000, got {knots}")
    if not 0 < t_min < 1:
        raise ValueError(f"t_min must be in (0, 1), got {t_min}")
    sample = Sample.of(degradation, images, params, seed)
    first, low = 0, 0.0
    if not bool(sample.measure([0.0], measured).isfinite().any()):
        first = min(max(round(t_min * (knots - 1)), 1), knots - 2)
        at_first = float(degradation.severity(torch.tensor(first / (knots - 1), dtype=torch.float64)))
        low = _beginning(sample, measured, at_first, degradation.levels)
    severities, values = refined(lambda s: sample.measure(s, measured), low, 1.0, knots)
    curve = _curve(values, severities, f"{name} of {_describe(degradation)}")
    begun = torch.linspace(0, low, first + 1, dtype=torch.float64)[:-1]
    table = [*begun.tolist(), *_inverted(curve, severities, knots - first).tolist()]
    # Digits beyond are rounding, which is not the same everywhere.
    return replace(degradation, schedule=PiecewiseLinear(values=tuple(float(f"{s:.12g}") for s in table)))


def measure_at(
    degradation: Degradation,
    images: Images | ImageData,
    times: Sequence[float] | Tensor,
    metric: MetricName | Metric = "psnr",
    *,
    params: Params | None = None,
    seed: int = 0,
) -> Tensor:
    """The mean of a metric at some times: (K,) float64, over the images for which it is finite at all of them.

    Its other arguments are those of `calibrate`.
    """
    s = degradation.severity(torch.as_tensor(times, dtype=torch.float64))
    measured, name = named_metric(metric)
    values = Sample.of(degradation, images, params, seed).measure(s.tolist(), measured)
    return _finite(values, f"{name} of {_describe(degradation)}", float(s.min())).mean(dim=1)


def straightness(times: Tensor, values: Tensor) -> float:
    """R^2 of the straight line that fits values (K,) at times (K,) best: 1 where they lie on it."""
    return float(torch.corrcoef(torch.stack([times.double(), values.double()]))[0, 1] ** 2)


# --- what is measured on images --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Images that are damaged to several severities, with the same params at each.

    Args:
        degradation: without its schedule: time is severity.
        images: clean ones (B, C, H, W), float32 or float64.
        params: those that come with the images.
        seed: of the others; image i has a stream of its own.
    """

    degradation: Degradation
    images: Tensor
    params: Params
    seed: int

    @classmethod
    def of(cls, degradation: Degradation, images: Images | ImageData, params: Params | None, seed: int) -> Sample:
        """Of images as users have them, those of `ImageData` spread over all.

        Raises:
            TypeError: no degradation, or no images. ValueError: none at all, or params that do not belong to them.
        """
        if not isinstance(degradation, Degradation):
            raise TypeError(f"expected a degradation, got {type(degradation).__name__}: give an operator")
        params = dict(params or {})
        if isinstance(images, ImageData):
            if params:
                raise ValueError("images bring their own params here: leave params out, or give a tensor of images")
            rows = _spread(images)
            params, images = images.params_at(rows), images[rows]
        check_images(images)
        if not len(images):
            raise ValueError("expected images to measure on, got none")
        highest = float(images.detach().nan_to_num(0).abs().max())
        if highest > 2:  # a little beyond [0, 1] may be meant
            raise ValueError(f"expected images in [0, 1], got values up to {highest:g}: divide by 255, say")
        for name, value in params.items():
            if len(value) != len(images):
                raise ValueError(f"param {name!r} must have one row per image, {len(images)}, got {len(value)}")
        plain = replace(degradation, schedule=Linear())
        return cls(plain, images.detach().to(computing_dtype(images.dtype)), params, seed)

    def batches(self, numbers: int = BATCH_NUMBERS) -> Iterator[tuple[Tensor, BoundDegradation]]:
        """The images in order, some at a time, and D of them."""
        size = max(1, numbers // self.images[0].numel())
        for first in range(0, len(self.images), size):
            rows = slice(first, first + size)
            x = self.images[rows]
            own = [generator_for(self.seed, "calibration", first + i) for i in range(len(x))]
            given = {name: value[rows] for name, value in self.params.items()}
            yield x, self.degradation.bind(self.degradation.draw_each(x, own) | given, like=x)

    @torch.no_grad()
    def measure(self, severities: Sequence[float], metric: Metric) -> Tensor:
        """A metric of every image at every severity: (K, B) float64 on the CPU."""
        found = [torch.stack([_of_each(metric, D(x, s), x) for s in severities]) for x, D in self.batches()]
        return torch.cat(found, dim=1)


def refined(measure: Callable[[Sequence[float]], Tensor], low: float, high: float, knots: int) -> tuple[Tensor, Tensor]:
    """Severities between which the mean of a metric moves by little, and its values there.

    Evenly spaced ones at first; then every interval over which it moves by more than a part in 2 knots is halved.

    Returns:
        Severities (K,) float64 from low to high, K <= 8 knots, and values (K, B).
    """
    severities = torch.linspace(low, high, knots, dtype=torch.float64)
    values = measure(severities.tolist())
    for _ in range(ROUNDS):
        mean = torch.where(values.isfinite(), values, torch.nan).nanmean(dim=1)
        steep = (mean.diff().abs() > (mean.max() - mean.min()) / (2 * knots)).nonzero().flatten()
        if not len(steep) or len(severities) + len(steep) > 8 * knots:
            break
        middles = (severities[steep] + severities[steep + 1]) / 2
        severities, order = torch.cat([severities, middles]).sort()
        values = torch.cat([values, measure(middles.tolist())])[order]
    return severities, values


def named_metric(metric: MetricName | Metric) -> tuple[Metric, str]:
    """A metric, and what it is called.

    Raises:
        LookupError: none has that name. TypeError: neither a name nor a callable.
    """
    if isinstance(metric, str):
        if metric not in METRICS:
            raise LookupError(
                f"no metric is named {metric!r}{suggestion(metric, METRICS)}; known: {', '.join(METRICS)}"
            )
        return METRICS[metric], metric
    if not callable(metric):
        raise TypeError(f"metric must be one of {', '.join(METRICS)} or a callable (x, x0) -> (B,), got {metric!r}")
    return metric, getattr(metric, "__name__", "the metric")


# --- helpers ---------------------------------------------------------------------------------------------------------


def _psnr(a: Tensor, b: Tensor) -> Tensor:
    """PSNR that is infinite where images are equal, to rounding."""
    found = metrics.psnr(a, b)
    return torch.where(found >= 100, torch.inf, found)


METRICS: dict[str, Metric] = {"psnr": _psnr, "ssim": metrics.ssim, "rmse": metrics.rmse}


def _of_each(metric: Metric, x: Tensor, x0: Tensor) -> Tensor:
    found = metric(x, x0)
    if not isinstance(found, Tensor) or found.shape != (len(x0),):
        got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise TypeError(f"metric must give a tensor of one number per image, ({len(x0)},), got {got}")
    return found.double().cpu()


def _beginning(sample: Sample, metric: Metric, low: float, levels: int | None) -> float:
    """The severity at which a metric that is infinite at 0 begins: `low`, or more where that tells nothing yet."""
    if levels is not None and levels > 1:
        low = max(low, 1 / levels)  # below its first level a chain has none that time could be for
    ever = sample.measure([1.0], metric)[0].isfinite()
    while low < 0.5 and 2 * int(sample.measure([low], metric)[0, ever].isfinite().sum()) < int(ever.sum()):
        low *= 2
    return low


def _finite(values: Tensor, what: str, low: float) -> Tensor:
    """The columns of the images for which a metric is a number at every severity."""
    kept = values[:, values.isfinite().all(dim=0)]
    if not kept.shape[1]:
        raise ValueError(
            f"{what} is finite for none of {values.shape[1]} images from severity {low:.3g} on: they are one colour "
            "each, hold nan, or are not damaged yet; give other images, or a higher t_min"
        )
    return kept


def _curve(values: Tensor, severities: Tensor, what: str) -> Tensor:
    """The mean over images (K,), turned so that it rises, and where it goes back by rounding held.

    Raises:
        ValueError: it does not move, or goes up and down.
    """
    mean = _finite(values, what, float(severities[0])).mean(dim=1)
    moved = float(mean.max() - mean.min())
    if moved < STILL * max(1.0, float(mean.abs().max())):
        raise ValueError(f"{what} does not move on these images: there is nothing to be linear in; give other images")
    rising = mean if mean[-1] >= mean[0] else -mean
    held, places = rising.cummax(dim=0)
    back, k = (held - rising).max(dim=0)
    if float(back) > WOBBLE * moved:
        begin, end = float(severities[places[k]]), float(severities[k])
        raise ValueError(
            f"{what} is not monotone: it goes back by {float(back):.3g} of {moved:.3g} from severity {begin:.3g} to "
            f"{end:.3g}; take another metric or more images, or leave the schedule as it is"
        )
    return held


def _inverted(curve: Tensor, severities: Tensor, count: int) -> Tensor:
    """Severities (count,) at which a curve that rises has equally spaced values; where it stands still is passed by."""
    wanted = torch.linspace(float(curve[0]), float(curve[-1]), count, dtype=torch.float64)
    above = torch.searchsorted(curve, wanted).clamp(1, len(curve) - 1)
    low, high = curve[above - 1], curve[above]
    share = ((wanted - low) / (high - low)).clamp(0, 1)
    found = torch.lerp(severities[above - 1], severities[above], share)
    found[0], found[-1] = severities[0], severities[-1]
    return found


def _spread(data: ImageData) -> Tensor:
    """Rows spread evenly over the data, fewer of large images."""
    channels, height, width = data.shape
    n = min(len(data), MOST_IMAGES, max(16, MOST_NUMBERS // (channels * height * width)))
    return torch.arange(n) * len(data) // max(n, 1)


def _describe(degradation: Degradation) -> str:
    return getattr(degradation, "registered_name", None) or type(degradation).__name__
