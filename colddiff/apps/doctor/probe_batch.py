"""A run with one batch that can be computed with many times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.builtin import EMBEDDED
from ...data.dataset import ImageData, load_data
from ...data.decoding import read_all
from ...data.sources import single
from ...models.run import Run
from ...training.batches import Batch, Batches
from ...training.config import TrainConfig
from ...utils.config import field_types
from ...utils.rng import generator_for
from .finding import one_line

IMAGES = 8
PIXELS = 2**15  # of a batch, above which it has fewer images, but never fewer than two


@dataclass(frozen=True)
class ProbeBatch:
    """A run with one batch of its training, small enough to compute with many times.

    Args:
        run: the run.
        config: its training's settings.
        data: a few images.
        batches: of them, by position.
        images: where they come from, in words.
    """

    run: Run
    config: TrainConfig
    data: ImageData
    batches: Batches
    images: str

    @cached_property
    def batch(self) -> Batch:
        """The one batch."""
        return self.batches.at(0, self.run.device)

    @property
    def seen(self) -> tuple[Tensor, ...]:
        """What the network sees: degraded images, their times, a condition where it has one."""
        x_t = self.config.degradation(self.batch.x0, self.batch.t, self.batch.params)
        return (x_t, self.batch.t) if self.batch.condition is None else (x_t, self.batch.t, self.batch.condition)


def case_of(run: Run, place: str | None = None) -> ProbeBatch:
    """A batch for a run: of the images that are named, or that come with the library, else stand-ins.

    What a run's file names is opened by nobody.
    """
    _, height, width = run.shape
    count = min(IMAGES, max(2, PIXELS // (height * width)))
    try:
        named = place or run.config["data"]["data"]
        if place is None and named not in EMBEDDED:
            raise LookupError(f"name {named!r} with --data to have its images")
        images, told = _images(run, named, count), f"of {named}"
    except (KeyError, TypeError, ValueError, LookupError, OSError, ImportError) as error:
        images, told = _stand_ins(count, run.shape), f"made up ({one_line(error)})"
    op = run.degradation
    # Any image will do for what data would bring.
    data = ImageData(images, params={name: images.roll(1, 0) for name in op.required_params})
    saved = {k: v for k, v in run.config.get("training", {}).items() if k in field_types(TrainConfig)}
    # What `load` has looked up, rather than what a file says: no plug-in is imported for it.
    own = {"degradation": op, "condition": run.condition, "restorer": None, "prior": None, "batch_size": len(images)}
    config = TrainConfig(**{"data": told, "out": str(run.path)} | saved | own)
    batches = Batches(data, op, len(images), config.seed, noise=config.input_noise, condition=config.condition)
    return ProbeBatch(run, config, data, batches, f"{len(images)} images {told}")


def _images(run: Run, place: str, count: int) -> Tensor:
    """The first images of a place, as those of a run's training were read, (count, C, H, W) uint8."""
    split, framing = run.config["data"]["split"], run.framing
    if place in EMBEDDED:
        images = load_data(
            place, split=split, size=framing.size, resize_mode=framing.fit, colour=framing.colour,
            background=framing.background,
        ).images[:count]  # fmt: skip
    else:
        source = single(place, "all", framing).cut()
        frames, _ = read_all(islice(source.entries, count), count, framing, source.where)
        images = torch.stack([tile for frame in frames for (tile,) in frame.tiles][:count])
    if tuple(images.shape[1:]) != run.shape or len(images) < 2:
        raise ValueError(f"they are {tuple(images.shape)} now, the run is for {run.shape}")
    return images


def _stand_ins(count: int, shape: tuple[int, int, int]) -> Tensor:
    """Smooth random images (count, C, H, W) uint8."""
    coarse = torch.rand(count, shape[0], 4, 4, generator=generator_for("stand-ins"))
    smooth: Tensor = F.interpolate(coarse, shape[1:], mode="bicubic", align_corners=False)
    return (smooth.clamp(0, 1) * 255).round().to(torch.uint8)
