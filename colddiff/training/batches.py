"""What step k of a training sees: order, augmentation, times and params, all keyed by seed and position."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from kornia.geometry.transform import hflip
from torch import Tensor

from ..data.dataset import ImageData
from ..data.streaming.dataset import StreamedData
from ..degradations.base import Degradation, Params
from ..utils.rng import draw_noise, generator_for


@dataclass(frozen=True)
class Batch:
    """Clean images (B, C, H, W) in [0, 1], their times (B,) and the params of their degradation.

    Where the training has some: noise (B, C, H, W) for what the network sees, a condition for it to see beside, and
    times `earlier` (B,), at least t, from which the restorer itself walks to t in the rows `walked`.
    """

    x0: Tensor
    t: Tensor
    params: Params
    noise: Tensor | None = None
    condition: Tensor | None = None
    earlier: Tensor | None = None
    walked: slice | None = None


@dataclass(frozen=True)
class Batches:
    """Batches by position: the image at global position p is the same however many processes or workers there are.

    Args:
        data: the images.
        degradation: whose params and levels are drawn.
        size: images per batch.
        seed: of everything.
        flip: mirror at random.
        shift: move at random by up to so many pixels.
        noise: standard deviation of what is added to the network's input.
        condition: whose D(x0, 1) is the network's condition.
        rollout: every other image of a training batch comes to its time by the restorer's own walk.
    """

    data: ImageData | StreamedData
    degradation: Degradation
    size: int
    seed: int
    flip: bool = False
    shift: int = 0
    noise: float = 0.0
    condition: Degradation | None = None
    rollout: bool = False

    def read(self, position: int) -> Tensor:
        """The images (B, C, H, W) of the batch that starts at a global position, as they are."""
        return self.data[self._rows(position)]

    def at(self, position: int, device: torch.device, images: Tensor | None = None) -> Batch:
        """The batch that starts at a global position; of its images, if they have been read."""
        rows = self._rows(position)
        generators = [generator_for(self.seed, "sample", p) for p in range(position, position + self.size)]
        x0 = (self.data[rows] if images is None else images).to(device, non_blocking=True)
        augment = self._augmentation(x0, generators)
        u = torch.cat([torch.rand(1, generator=g, dtype=torch.float64) for g in generators])
        t = random_times(self.degradation, u)
        # Of images that do not belong together each gets another one every time.
        partners = rows if not self.degradation.unpaired else torch.stack(
            [torch.randint(len(self.data), (), generator=g) for g in generators]
        )  # fmt: skip
        brought = {name: augment(value.to(device)) for name, value in self.data.params_at(partners).items()}
        batch = self._batch(augment(x0), t.to(device, non_blocking=True), brought, generators)
        if not self.rollout:
            return batch
        walked = slice(position % 2, None, 2)  # at even positions, however batches are cut
        u = torch.cat([torch.rand(1, generator=g, dtype=torch.float64) for g in generators[walked]])
        earlier = t.clone()
        earlier[walked] = times_above(self.degradation, t[walked], u)
        return replace(batch, earlier=earlier.to(device, non_blocking=True), walked=walked)

    def _rows(self, position: int) -> Tensor:
        """Which images (B,) a batch has."""
        places = (divmod(p, len(self.data)) for p in range(position, position + self.size))
        return torch.stack([self.data.order(self.seed, epoch)[k] for epoch, k in places])

    def one_pass(self, device: torch.device, limit: int | None = None) -> Iterator[Batch]:
        """Every image once, in order, unaugmented, with params keyed by its index: for validation."""
        n = min(len(self.data), limit or len(self.data))
        for first in range(0, n, self.size):
            rows = range(first, min(first + self.size, n))
            generators = [generator_for(self.seed, "validation", p) for p in rows]
            x0 = self.data[rows.start : rows.stop].to(device)
            brought = {k: v.to(device) for k, v in self.data.params_at(slice(rows.start, rows.stop)).items()}
            # Evenly spread over severities, whatever the number of images.
            u = torch.tensor([(p * 0.6180339887498949) % 1 for p in rows], dtype=torch.float64)
            t = random_times(self.degradation, u).to(device)
            yield self._batch(x0, t, brought, generators)

    def _batch(self, x0: Tensor, t: Tensor, brought: Params, generators: list[torch.Generator]) -> Batch:
        """Images with everything random that belongs to them, drawn row by row."""
        params = self.degradation.draw_each(x0, generators) | brought
        noise = self.noise * draw_noise(x0, generators) if self.noise else None
        if self.condition is None:
            return Batch(x0, t, params, noise)
        condition = self.condition(x0, 1.0, self.condition.draw_each(x0, generators))
        return Batch(x0, t, params, noise, (condition * 255).round() / 255)  # as pictures come

    def _augmentation(self, like: Tensor, generators: list[torch.Generator]) -> Callable[[Tensor], Tensor]:
        """What is done to images, and to what belongs to them: mirrored and moved, each row as its generator says."""
        n, _, h, w = like.shape
        mirrored = torch.zeros(n, dtype=torch.bool)
        moves = torch.zeros(n, 2, dtype=torch.int64)
        if self.flip:
            mirrored = torch.stack([torch.rand((), generator=g) < 0.5 for g in generators])
        if self.shift:
            reach = 2 * self.shift + 1
            moves = torch.stack([torch.randint(reach, (2,), generator=g) for g in generators]) - self.shift
        mirrored, moves = (v.to(like.device, non_blocking=True) for v in (mirrored, moves))

        def augment(images: Tensor) -> Tensor:
            if self.flip:
                images = torch.where(mirrored[:, None, None, None], hflip(images), images)
            if self.shift:
                rows = (torch.arange(h, device=images.device) + moves[:, :1]).clamp(0, h - 1)
                columns = (torch.arange(w, device=images.device) + moves[:, 1:]).clamp(0, w - 1)
                row = torch.arange(n, device=images.device)[:, None, None]
                pixels = images.permute(0, 2, 3, 1)[row, rows[:, :, None], columns[:, None, :]]
                images = pixels.permute(0, 3, 1, 2)
            return images

        return augment


def random_times(degradation: Degradation, u: Tensor) -> Tensor:
    """Times in (0, 1] from uniform draws u in [0, 1): on the operator's levels, where it has some."""
    levels = degradation.level_times()
    if levels is None:
        return 1 - u
    return levels[1 + (u * (len(levels) - 1)).long()]


def times_above(degradation: Degradation, t: Tensor, u: Tensor) -> Tensor:
    """Times in [t, 1] from uniform draws u in [0, 1): on the operator's levels, where it has some."""
    levels = degradation.level_times()
    if levels is None:
        return t + u * (1 - t)
    level = torch.searchsorted(levels, t - 1e-9)
    return levels[level + (u * (len(levels) - level)).long()]
