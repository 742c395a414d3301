"""The training of the network that tells how damaged a picture is, on what a restorer is trained on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.time_estimator import TimeEstimator, features, targets
from ..utils.numerics import exact_matmul
from ..utils.progress import Progress
from ..utils.rng import generator_for, seed_for
from .batches import Batch, Batches
from .config import TrainConfig

MOST, FEWEST = 64_000, 2_000  # images that it learns from; a training that is worth fewer goes without
SMALL = 48**2  # pixels, from which on more of an image is more than it takes
PER_SEEN = 4  # images for each one that the restorer sees, of those that cost next to nothing:
CHEAP = 4_000  # so many small ones take about a second
SPARED = (
    4  # images that the restorer sees for each further one: that is a tenth of its time, and less beside large ones
)
SHARE = 0.1  # of a budget in minutes, at most
AT_ONCE = 64  # images that are looked at
EPOCHS, BATCH, LR, WEIGHT_DECAY = 10, 128, 3e-3, 0.1
CHECKED, PER_CHECKED = 1000, 8  # held-out images, at most; and one for so many that it learned from


def worth_fitting(config: TrainConfig, steps: int, shape: tuple[int, int, int], most: int | None = None) -> int:
    """How many images it learns from, beside so many steps of the restorer; 0 where it is of no use.

    The damage must be made here, from nothing that lies beside: else there is nothing to tell, or nobody to tell it.

    Args:
        config: of the training.
        steps: of the restorer.
        shape: (C, H, W) of the images.
        most: what a budget in minutes spares; left out, about a tenth of the time of those steps.
    """
    if not config.estimate_time or config.condition is not None or config.degradation.required_params:
        return 0
    seen = config.batch_size * config.grad_accumulation * steps
    if most is None:
        most = min(_most(shape), _of_small(CHEAP, shape) + seen // SPARED)
    count = min(PER_SEEN * seen, most)
    return count if count >= FEWEST else 0


def images_within(
    seconds: float, config: TrainConfig, batches: Batches, device: torch.device
) -> tuple[float, int]:  # fmt: skip
    """What a budget spares for it, in seconds, and how many images that is; by looking at a few."""
    if not worth_fitting(config, FEWEST, batches.data.shape, _most(batches.data.shape)):
        return 0.0, 0
    few = replace(batches, size=AT_ONCE)
    _seen(few.at(0, device), few)
    began = time.perf_counter()
    _seen(few.at(0, device), few).cpu()
    each = 2 * (time.perf_counter() - began) / AT_ONCE  # learning takes as long as looking
    spared = min(SHARE * seconds, each * _most(batches.data.shape))
    return spared, int(spared / each)


@exact_matmul()
def fit_estimator(
    batches: Batches, checks: Batches, count: int, device: torch.device, *, progress: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> TimeEstimator | None:  # fmt: skip
    """An estimator from `count` images as a restorer sees them, measured on held-out ones: the same every time.

    Three of four pictures are rounded to 8 bits, as files are.

    Args:
        batches: the images, with what damages them.
        checks: held-out ones.
        count: how many.
        device: where.
        progress: show a bar.
        stopped: asked now and then whether to end.

    Returns:
        The estimator; None if it was stopped.
    """
    batches = replace(batches, size=AT_ONCE, rollout=False, noise=0.0)
    seen, times = [], []
    bar = Progress(range(0, count, AT_ONCE), "time estimator", unit="batches", show=progress)
    for position in bar:
        if stopped():
            return None
        batch = batches.at(position, device)
        seen.append(_seen(batch, batches))
        times.append(batch.t)
    net = _learned(torch.cat(seen), torch.cat(times), batches.data.shape[0], batches.seed, stopped)
    if net is not None:
        _measure(net, replace(checks, size=AT_ONCE, noise=0.0), device, min(CHECKED, count // PER_CHECKED))
    return net


# --- helpers ---------------------------------------------------------------------------------------------------------


def _most(shape: tuple[int, int, int]) -> int:
    """Images that it learns from at most: of larger ones fewer, as each of them tells more."""
    return max(5 * FEWEST // 4, _of_small(MOST, shape))


def _of_small(count: int, shape: tuple[int, int, int]) -> int:
    """How many images have as many pixels as so many small ones."""
    return count * SMALL // max(SMALL, shape[1] * shape[2])


def _seen(batch: Batch, batches: Batches) -> Tensor:
    """What there is to see of a batch's pictures."""
    x = batches.degradation(batch.x0, batch.t, batch.params).clamp(0, 1)
    rounded = torch.arange(len(x), device=x.device) % 4 > 0
    return features(torch.where(rounded[:, None, None, None], (255 * x).round() / 255, x).float())


def _learned(
    seen: Tensor, t: Tensor, channels: int, seed: int, stopped: Callable[[], bool]
) -> TimeEstimator | None:  # fmt: skip
    """An estimator that says of features (N, F) what their times (N,) may be; None if it was stopped."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "severity"))
        net = TimeEstimator(channels).to(seen.device)
    spread = seen.std(dim=0)
    net.mean.copy_(seen.mean(dim=0))
    net.scale.copy_(torch.where(spread > 1e-4, 1 / spread, 0))  # what never varied tells nothing, whatever comes later
    wanted, draw = targets(t), generator_for(seed, "severity", "order")
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * math.ceil(len(seen) / BATCH)
    for step in range(steps):
        if stopped():
            return None
        for group in optimizer.param_groups:
            group["lr"] = LR * min(1, (step + 1) / 50) * (1.01 + math.cos(math.pi * step / steps)) / 2
        rows = torch.randint(len(seen), (BATCH,), generator=draw).to(seen.device)
        with torch.enable_grad():
            loss = F.cross_entropy(net(seen[rows]), wanted[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return net.eval().requires_grad_(False)


@torch.no_grad()
def _measure(net: TimeEstimator, checks: Batches, device: torch.device, count: int) -> None:
    """How far it is off on so many held-out images of 8 bits, and how often the truth is in its interval."""
    errors, inside = [], []
    for batch in checks.one_pass(device, count):
        x = checks.degradation(batch.x0, batch.t, batch.params).clamp(0, 1)
        found, truth = net.estimate((255 * x).round() / 255), batch.t.cpu()
        errors.append((found.t - truth).abs())
        inside.append((found.low <= truth) & (truth <= found.high))
    net.error.fill_(float(torch.cat(errors).mean()))
    net.coverage.fill_(float(torch.cat(inside).double().mean()))
