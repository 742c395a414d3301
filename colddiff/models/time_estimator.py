"""How damaged a picture is: a small network that tells its time t, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from ..samplers.time_grid import snap_start
from ..utils.safetensors_io import check_weights, read_tensors, write_tensors

FILE = "time_estimator.safetensors"  # in a run's folder
BINS = 64  # of t
BANDS = 16  # of frequencies, evenly spread over their logarithm
LOWEST, HIGHEST = 1 / 40, 1.2  # of them, where 1 is a change of sign at every pixel
WIDTH = 64  # of the network's layers
PART = 256  # pixels: what is seen of a larger picture is the mean over its parts
LARGEST_ERROR = 0.1  # in t, mean on held-out images, up to which restores begin where it says
UNSURE = 0.2  # in t: a spread from which on a picture does not say how damaged it is


@dataclass(frozen=True)
class TimeEstimate:
    """How damaged images are: t (B,) is the median of what it may be, `low` to `high` hold 90% of that."""

    t: Tensor
    low: Tensor
    high: Tensor

    @property
    def spread(self) -> Tensor:
        """Half of that interval (B,)."""
        return (self.high - self.low) / 2

    @property
    def unsure(self) -> Tensor:
        """Which pictures do not say how damaged they are (B,)."""
        return self.spread > UNSURE

    def start_times(self, levels: Tensor | None) -> Tensor:
        """Where restores begin (B,): at t, and at 1 where that is not sure; on an operator's levels if it has some."""
        return snap_start(torch.where(self.unsure, 1.0, self.t), levels)


class TimeEstimator(nn.Module):
    """Logits (B, BINS) of what t may be, in equal parts of (0, 1], from images (B, C, H, W) of any size.

    Three layers on the numbers that `features` sees. What it was measured to do on held-out images is held beside
    the weights: `error`, the mean of |t - truth|, and `coverage`, the share of truths in the 90% interval.

    Args:
        channels: of the images.
    """

    mean: Tensor
    scale: Tensor
    error: Tensor
    coverage: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        seen = channels * (2 * BANDS + 7) + 2 * (channels - 1)
        self.layers = nn.Sequential(
            nn.Linear(seen, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, BINS)
        )
        for name, shape in (("mean", (seen,)), ("scale", (seen,)), ("error", ()), ("coverage", ())):
            self.register_buffer(name, torch.ones(shape))

    @property
    def usable(self) -> bool:
        """Whether it errs so little that restores may begin where it says."""
        return float(self.error) <= LARGEST_ERROR

    @property
    def description(self) -> str:
        """How good it is, in words."""
        within = f"off by {float(self.error):.3f} in t on average, and in its 90% interval {float(self.coverage):.0%}"
        return f"{within}, of held-out pictures" + ("" if self.usable else ": not used")

    def forward(self, seen: Tensor) -> Tensor:
        answer: Tensor = self.layers(((seen - self.mean) * self.scale).clamp(-5, 5))
        return answer.nan_to_num()  # of weights that anybody may have written

    @torch.no_grad()
    def estimate(self, x: Tensor) -> TimeEstimate:
        """The times of images (B, C, H, W) in [0, 1], as float64 on the CPU; what lies outside of [0, 1] is clamped."""
        return self._of(x)

    @torch.no_grad()
    def estimate_in_parts(self, x: Tensor, size: tuple[int, int]) -> TimeEstimate:
        """`estimate` of larger images: what is seen is the mean over as many parts of (H, W) as fit, around the centre.

        So it is as in pictures of that size at that scale, of which alone it has learned.
        """
        for dim, side in zip((2, 3), size, strict=True):
            fitting = max(1, x.shape[dim] // side) * side
            x = x.narrow(dim, max(0, x.shape[dim] - fitting) // 2, min(fitting, x.shape[dim]))
        return self._of(x, size)

    def _of(self, x: Tensor, part: tuple[int, int] = (PART, PART)) -> TimeEstimate:
        if not len(x):
            return joined([])
        found = posterior(self(features(x.to(self.mean.device, torch.float32), part)))
        # One colour may be all that is left, or all that there ever was.
        flat = (x.amax(dim=(2, 3)) - x.amin(dim=(2, 3)) < 1 / 510).all(dim=1).cpu()
        return TimeEstimate(found.t, torch.where(flat, 1e-3, found.low), torch.where(flat, 1.0, found.high))

    def save(self, folder: Path) -> None:
        write_tensors(folder / FILE, self.state_dict())


def read_estimator(file: Path, channels: int) -> TimeEstimator:
    """The estimator in a run's file, which anybody may have written.

    Raises:
        ValueError: not such a file, or for other images, or it says of itself what cannot be.
    """
    with torch.device("meta"):
        sketch = TimeEstimator(channels)
    check_weights(sketch, file)
    net = TimeEstimator(channels)
    net.load_state_dict(read_tensors(file))
    if not (float(net.error) >= 0 and 0 <= float(net.coverage) <= 1):
        told = f"off by {float(net.error):g}, with {float(net.coverage):g} of the pictures in its interval"
        raise ValueError(f"{str(file)!r} says that it is {told}, which cannot be; copy it again")
    return net.eval().requires_grad_(False)


def joined(parts: Sequence[TimeEstimate]) -> TimeEstimate:
    """Those of all images, in order."""
    none = torch.zeros(0, dtype=torch.float64)
    return TimeEstimate(*(torch.cat([none, *(getattr(part, name) for part in parts)]) for name in ("t", "low", "high")))


def posterior(logits: Tensor) -> TimeEstimate:
    """The median and the 90% interval (B,) of what logits (B, BINS) say.

    Whatever is damaged all the way is in the last bin: medians and upper ends in there are 1.
    """
    share = logits.double().cpu().softmax(dim=1).cumsum(dim=1)
    share = torch.cat([torch.zeros(len(share), 1, dtype=share.dtype), share / share[:, -1:]], dim=1)

    def at(quantile: float) -> Tensor:
        bin_ = (share < quantile).sum(dim=1).clamp(1, BINS)[:, None]
        below, above = share.gather(1, bin_ - 1), share.gather(1, bin_)
        return ((bin_ - 1 + (quantile - below) / (above - below).clamp(min=1e-12)) / BINS)[:, 0].clamp(1e-3, 1)

    t, low, high = at(0.5), at(0.05), at(0.95)
    last = 1 - 1 / BINS
    return TimeEstimate(torch.where(t > last, 1.0, t), low, torch.where(high > last, 1.0, high))


def targets(t: Tensor) -> Tensor:
    """What logits shall say of times (B,): the two bins next to t, the nearer one more (B, BINS)."""
    place = (t * BINS - 0.5).clamp(0, BINS - 1)
    return (1 - (place[:, None] - torch.arange(BINS, device=t.device)).abs()).clamp(min=0).float()


@torch.no_grad()
def features(x: Tensor, part: tuple[int, int] = (PART, PART)) -> Tensor:
    """What tells how damaged images (B, C, H, W) are, as numbers (B, F): F depends on their channels alone.

    Of each channel the mean; the energy of each band of its cosine transform, and the mean logarithm there, which
    tells few strong waves from many weak ones; how many pixels are black, white, and like the next one. The channels
    are the mean of all, and how far the others are from it; and how far each is from the first. Of images larger than a
    `part` (H, W) the mean over their parts.
    """
    height, width = (min(side, PART) for side in part)
    x = 255 * x.clamp(0, 1)  # 8-bit levels: a tenth of one is little, whatever the picture
    parts = [own for rows in torch.split(x, height, dim=2) for own in torch.split(rows, width, dim=3)]
    pixels = x.shape[-2] * x.shape[-1]
    seen = [_means(own) for own in parts]
    weights = [own.shape[-2] * own.shape[-1] / pixels for own in parts]
    linear, squares = (sum(w * each[i] for w, each in zip(weights, seen, strict=True)) for i in (0, 1))
    assert isinstance(linear, Tensor) and isinstance(squares, Tensor)
    return torch.cat([linear, (squares + 0.01).log()], dim=1)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _means(x: Tensor) -> tuple[Tensor, Tensor]:
    """Means over images in 8-bit levels that are taken as they are (B, F1), and those whose logarithm is (B, F2)."""
    grey = x.mean(dim=1, keepdim=True)
    apart, between = torch.cat([grey, x[:, 1:] - grey], dim=1), x[:, 1:] - x[:, :1]
    waves, weights = _waves(apart), _bands(*x.shape[-2:]).to(x.device)
    steps = [x.diff(dim=3), x.diff(dim=2), between]
    linear = [
        apart.mean(dim=(2, 3)) / 64, ((waves + 0.03).log() @ weights).flatten(1),
        *(_share(d.abs() < 0.5) for d in steps), _share(x <= 0.5), _share(x >= 254.5),
    ]  # fmt: skip
    squares = [(waves.square() @ weights).flatten(1), *(d.abs().mean(dim=(2, 3)).nan_to_num() for d in steps)]
    return torch.cat(linear, dim=1), torch.cat(squares, dim=1)


def _share(where: Tensor) -> Tensor:
    """Of the pixels of each channel (B, C); 0 where there are none."""
    return where.float().mean(dim=(2, 3)).nan_to_num()


def _waves(x: Tensor) -> Tensor:
    """The sizes of the cosine transform (DCT-II) of images (B, C, H, W), by way of their mirror images: (B, C, H W)."""
    height, width = x.shape[-2:]
    mirrored = torch.cat([x, x.flip(-1)], dim=-1)
    mirrored = torch.cat([mirrored, mirrored.flip(-2)], dim=-2)
    waves: Tensor = torch.fft.rfft2(mirrored)[..., :height, :width].abs()
    return waves.flatten(2) / (2 * math.sqrt(height * width))


@lru_cache(maxsize=8)
def _bands(height: int, width: int) -> Tensor:
    """The weight of each wave in each band, (H W, BANDS): its neighbours overlap, each sums to 1 unless it is empty."""
    rows, columns = (torch.arange(n) / n for n in (height, width))
    frequency = torch.hypot(rows[:, None], columns).flatten()
    place = (frequency.clamp(min=LOWEST) / LOWEST).log() / math.log(HIGHEST / LOWEST) * (BANDS - 1)
    weights = (1 - (place[:, None].clamp(max=BANDS - 1) - torch.arange(BANDS)).abs()).clamp(min=0)
    weights[0] = 0  # the mean is no wave
    return weights / weights.sum(dim=0).clamp(min=1e-6)
