"""A trained restorer with the degradation it undoes: what users hold."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.convert import apply_to_images, to_batch
from ..data.framing import Framing
from ..degradations.base import Degradation, Images
from ..degradations.times import float_times
from ..samplers.algorithms import one_shot
from ..samplers.base import Restorer, Sampler, State
from ..samplers.consistency import READ_OFF, ROUNDING, consistently
from ..samplers.cuda_graph import captured
from ..samplers.early_stopping import EarlyStopping
from ..samplers.generation import generate, initial_state
from ..samplers.priors import Prior
from ..samplers.sample import named_sampler, walk
from ..samplers.time_grid import checked_grid, default_grid, steps_within, time_grid
from ..samplers.unknown_params import default_sampler, restore
from ..utils.rng import Generators
from .baselines import Baseline
from .batching import apply_grouped, in_chunks, per_image
from .precision import CheckedRestorer
from .recommended import Recommended, Setting, check_goal
from .tiling import TILE, check_memory, tiled
from .time_estimator import TimeEstimate, TimeEstimator, joined

STEPS = 20  # restorer calls of a restore
ANOTHER_SIZE = 0.25  # share by which sides may differ from those of the training, for the time to be estimated


@dataclass(frozen=True)
class Run:
    """A trained restorer with the degradation it undoes; weights and degradation cannot be separated.

    Args:
        net: the network, in evaluation mode.
        degradation: what it was trained to undo.
        prior: where generation starts, or None.
        config: all of config.json.
        path: the directory.
        precision: "fp32" or "bf16" for the network; images stay float32.
        compile: whether the network goes through torch.compile.
        baseline: the classical restorer to compare with, fitted to the training images, or None.
        recommended: what `restore` takes where nobody chose, as its evaluation found, or None.
        estimator: what tells how damaged a picture is, or None.
    """

    net: nn.Module = field(repr=False)
    degradation: Degradation
    prior: Prior | None
    config: dict[str, Any] = field(repr=False)
    path: Path
    precision: str = "fp32"
    compile: bool = False
    baseline: Baseline | None = field(default=None, repr=False)
    recommended: Recommended | None = field(default=None, repr=False)
    estimator: TimeEstimator | None = field(default=None, repr=False)

    @cached_property
    def R(self) -> CheckedRestorer:
        """x0_hat from x (B, C, H, W) at times t (B,), in the run's precision: see `CheckedRestorer`; no gradients."""
        return CheckedRestorer(self.net, self.precision, self.compile)

    @cached_property
    def condition(self) -> Degradation | None:
        """What damaged the pictures that the network sees beside x, where it was trained with a condition."""
        told = self.config.get("training", {}).get("condition")
        return None if told is None else Degradation.from_config(told)

    @property
    def input_degradation(self) -> Degradation:
        """What damages the pictures that it restores.

        Raises:
            ValueError: it was trained on pairs, or on images of which any may stand beside any.
        """
        op = self.condition or self.degradation
        if op.required_params:
            raise ValueError(
                f"{str(self.path)!r} was trained with the {', '.join(op.required_params)} of each image: what damages "
                "pictures is not known to it"
            )
        return op

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images it was trained on."""
        image = self.config["image"]
        return image["channels"], *image["size"]

    @property
    def framing(self) -> Framing:
        """The rule by which pictures were read for its training: size, crop, colour, background."""
        colour = "grey" if self.shape[0] == 1 else "rgb"
        return Framing.from_config(self.config["data"].get("framing") or {"type": "framing", "colour": colour})

    def estimate_time(self, images: Any) -> TimeEstimate:
        """How damaged images of any kind that `restore` takes are: t (B,), with 90% intervals.

        Of images that are not of a size that `can_estimate_time`, it may be wrong, and sure of it.

        Raises:
            ValueError: the run was trained without an estimator, or they are no such images.
        """
        if self.estimator is None:
            raise ValueError(
                f"{str(self.path)!r} has nothing that tells how damaged a picture is: train with "
                "estimate_time (--estimate-time), on damage that is made by the training"
            )
        given = images if isinstance(images, list | tuple) else [images]
        batches = [to_batch(image, self.framing.read)[0] for image in given]
        for x in batches:
            self._check_channels(x)
        return joined([self._seen(self.estimator, x) for x in batches])

    def can_estimate_time(self, x: Images | None = None) -> bool:
        """Whether the run has an estimator of t that is good enough, and one for images of the size of x (B, C, H, W).

        Supported sizes are within a quarter of that of the training; if that cut images at their own scale, any larger
        one is, too. Without x, sizes are not looked at.
        """
        if self.estimator is None or not self.estimator.usable:
            return False
        if x is None:
            return True
        sides = [side / trained for side, trained in zip(x.shape[-2:], self.shape[1:], strict=True)]
        return min(sides) >= 1 - ANOTHER_SIZE and (self._own_scale or max(sides) <= 1 + ANOTHER_SIZE)

    def default_start(self, x: Images) -> float | Tensor:
        """Default start time per image (B,) of x (B, C, H, W): the estimated time, or 1.0 without a usable estimate."""
        if self.estimator is None or not self.can_estimate_time(x):
            return 1.0
        return self._seen(self.estimator, x).start_times(self.degradation.level_times())

    def default_settings(
        self, start: float | Tensor = 1.0, goal: str = "distortion", *, given: bool = False, estimated: bool = False
    ) -> Setting:  # fmt: skip
        """What `restore` takes for pictures at `start` where the sampler, the steps or both are not given.

        What was recommended for the nearest start (of several images, of the largest of theirs), else
        `unknown_params.default_sampler` with 20 calls, or 20 times a start that was estimated.

        Args:
            start: how damaged they are, in (0, 1].
            goal: "distortion", close to the truth, or "perception", real in looks.
            given: whether a sampler or steps are: then nothing that was recommended fits.
            estimated: whether the start is what the pictures themselves tell.
        """
        check_goal(goal)
        largest = float(float_times(start).max())
        found = None if self.recommended is None or given else self.recommended.at(largest, goal)
        steps = max(1, round(STEPS * largest)) if estimated else STEPS
        return found or Setting(1.0, default_sampler(self.degradation), steps)

    def restore(
        self,
        images: Any,
        *,
        start: float | Tensor | None = None,
        steps: int | None = None,
        times: Tensor | Sequence[float] | None = None,
        sampler: Sampler | str | None = None,
        goal: str = "distortion",
        mask: Any = None,
        seed: int = 0,
        tile: int | None = TILE,
        consistent: bool | float = False,
        early_stop: bool | None = None,
    ) -> Any:
        """Clean images from damaged ones whose params nobody knows: the same kind as was given, clamped to [0, 1].

        Args:
            images: a tensor (B, C, H, W) in [0, 1], any H and W; or what else `data.convert.apply_to_images` takes:
                arrays, Pillow pictures, paths, lists of them. Files and pictures are read as those of the training
                were, but for their size.
            start: how damaged they are, in (0, 1]. Left out, what `default_start` says of each.
            steps: restorer calls. Left out while there is a sampler, 20, or as many as the degradation has levels
                below the start; of a start that was estimated, 20 times that. Ignored by one_shot.
            times: an explicit grid for all instead of start and steps, as of `wasserstein_times`: strictly decreasing,
                (K + 1,).
            sampler: a sampler or its name. Left out while there are steps, `unknown_params.default_sampler`.
            goal: "distortion" or "perception". Where sampler and steps are both left out, `default_settings` chooses
                both for it, at each image's own start; otherwise nothing follows from it.
            mask: true (white) where the picture is missing, for degradations with missing pixels: a tensor
                (B or 1, 1, H, W), an array or a picture.
            seed: of what has to be drawn: image i of all that were given draws from seed + i.
            tile: side in pixels of what the network sees at once, see `tiling.tiled`; None is the whole picture.
            consistent: keep what the damaged picture tells of the clean one, see `consistency.consistent`: of 8 bits,
                and less of it where nobody gave the start; or by how much each of its values is off, in [0, 1].
            early_stop: ask the network no more once its answers have come to rest, see `early_stopping.EarlyStopping`.
                Left out, where neither start nor steps are given and the run tells the start.

        Raises:
            ValueError: images that do not fit the run, or the memory of the machine.
        """
        check_goal(goal)
        if times is not None:
            times = checked_grid(times, start, steps, 1)
            start = float(times.flatten()[0])
        hole = None if mask is None else to_batch(mask, replace(self.framing, colour="grey").read)[0] > 0.5

        def restored(x: Tensor, places: Sequence[int]) -> Tensor:
            self._check_channels(x)
            own = self.default_start(x) if start is None else per_image(start, places, "start")
            begins = own.tolist() if isinstance(own, Tensor) and own.dim() and steps is None else []
            # What an image is restored with follows from its own start, whatever those beside it have.
            keys = [self._taken(begin, sampler, goal, start is None) for begin in begins]
            settles = start is None and bool(keys) if early_stop is None else early_stop

            def walked(x: Tensor, rows: Sequence[int]) -> Tensor:
                seen = [places[row] for row in rows]
                how, calls = keys[rows[0]] if keys else (sampler, steps)
                for state in self.walk(
                    x, start=None if times is not None else per_image(own, rows, "start"), steps=calls, times=times,
                    sampler=how, goal=goal,
                    mask=hole[seen] if hole is not None and len(hole) > 1 else hole,
                    generator=[torch.Generator().manual_seed(seed + i) for i in seen], tile=tile,
                    consistent=READ_OFF if consistent is True and start is None else consistent, early_stop=settles,
                ):  # fmt: skip
                    x = state.x
                return x.clamp(0, 1)

            return apply_grouped(walked, x, keys)

        return apply_to_images(restored, images, self.framing.read)

    def walk(
        self,
        x: Images,
        *,
        start: float | Tensor | None = None,
        steps: int | None = None,
        times: Tensor | Sequence[float] | None = None,
        sampler: Sampler | str | None = None,
        goal: str = "distortion",
        mask: Tensor | None = None,
        generator: Generators = None,
        tile: int | None = TILE,
        consistent: bool | float = False,
        early_stop: bool | Callable[[Restorer], Restorer] | None = None,
    ) -> Iterator[State]:
        """`restore` of a tensor (B, C, H, W), one `State` after another and not clamped: for progress and trajectories.

        All images take the same steps: where these are left out, what `restore` takes for the largest of the starts.
        Times may have a column for each, (K + 1, B). The mask is (B or 1, 1, H, W), true where the picture is missing.
        `early_stop` may be what makes `EarlyStopping` of R, for whoever counts what that spares.
        """
        check_goal(goal)
        self._check_channels(x)
        x = x.to(self.device)
        if times is not None:
            times = checked_grid(times, start, steps, len(x))
            start = times[0]
        elif start is None:
            start = self.default_start(x)
            if isinstance(start, Tensor) and steps is None:
                sampler, steps = self._taken(float(start.max()), sampler, goal, estimated=True)
                early_stop = True if early_stop is None else early_stop
        check_memory(x)
        taken = self.default_settings(start, goal, given=bool(sampler or steps or times is not None))
        sampler = sampler or taken.sampler
        chosen = named_sampler(sampler)
        levels = self.degradation.level_times()
        if times is None and (chosen is one_shot or steps is None):
            times = default_grid(1 if chosen is one_shot else taken.steps, start, levels)
        elif times is None:
            assert steps is not None
            times = time_grid(steps, start, levels=levels)
        if self.condition is not None:
            if mask is not None or consistent:
                raise ValueError("a conditional restorer sees the picture whole: leave mask and consistent out")
            return self._walk_beside(x, times, chosen, generator)
        R = self.R if tile is None else tiled(self.R, tile)
        if early_stop and not self.compile:
            R = EarlyStopping(R) if early_stop is True else early_stop(R)
        if consistent:
            chosen = consistently(chosen, self.degradation, ROUNDING if consistent is True else consistent)
        return restore(
            R, self.degradation, x, times, sampler=chosen, mask=mask, generator=generator,
            capture=captured if self.compile else None,
        )  # fmt: skip

    def _taken(
        self, start: float, sampler: Sampler | str | None, goal: str, estimated: bool
    ) -> tuple[Sampler | str, int]:  # fmt: skip
        """The sampler and the steps of a picture where no steps are given."""
        taken = self.default_settings(start, goal, given=bool(sampler), estimated=estimated)
        return sampler or taken.sampler, steps_within(taken.steps, start, self.degradation.level_times())

    @property
    def _own_scale(self) -> bool:
        """Whether pictures were cut for its training, and not resized."""
        return self.framing.fit != "resize"

    def _seen(self, estimator: TimeEstimator, x: Images) -> TimeEstimate:
        return estimator.estimate_in_parts(x, self.shape[1:]) if self._own_scale else estimator.estimate(x)

    def _check_channels(self, x: Tensor) -> None:
        if x.dim() != 4 or x.shape[1] != self.shape[0] or 0 in x.shape[2:]:
            raise ValueError(f"expected images (B, {self.shape[0]}, H, W), got {tuple(x.shape)}")

    def _walk_beside(
        self, condition: Images, times: Tensor, sampler: Sampler, generator: Generators
    ) -> Iterator[State]:
        """From the prior to clean images, beside damaged pictures as the condition; without tiles."""
        if self.prior is None or float(times[0].min()) < 1:
            raise ValueError("a conditional restorer starts from its prior, at t = 1: leave start out")
        one = generator is None or isinstance(generator, torch.Generator)
        own = [generator] * len(condition) if one else generator
        D, x = initial_state(self.degradation, self.prior, tuple(condition.shape[1:]), own, self.device)  # type: ignore[arg-type]
        return walk(self.R.bind(condition), D, x, times=times, sampler=sampler, generator=generator)

    def degrade(self, images: Any, t: float | Tensor = 1.0, *, seed: int = 0) -> Any:
        """Images of any kind that `restore` takes, degraded to time t: the same kind, clamped to [0, 1].

        Args:
            images: clean images.
            t: in [0, 1], one for all, or a tensor with one per image.
            seed: of what is random: image i of all that were given is damaged with seed + i.
        """

        damage = self.input_degradation

        def degraded(x: Tensor, places: Sequence[int]) -> Tensor:
            own = per_image(t, places, "t")
            drawn = damage.draw_each(x, [torch.Generator().manual_seed(seed + i) for i in places])
            return damage(x, own, drawn).clamp(0, 1)

        return apply_to_images(degraded, images, self.framing.read)

    @property
    def chunk(self) -> int:
        """Images that are generated at a time: always so many, the last ones padded.

        The last bits of what a network gives depend on the number of images, and on nothing else of those beside.
        """
        pixels = self.shape[1] * self.shape[2]
        room, most = (2**18, 256) if self.device.type == "cuda" else (2**16, 16)
        return max(1, min(most, room // pixels))

    def sample(
        self, n: int | Sequence[int], *, steps: int = 50, sampler: Sampler | str | None = None, seed: int = 0,
        batch_size: int | None = None,
    ) -> Images:  # fmt: skip
        """New images (n, C, H, W) in [0, 1]: image i has seed `seed + i`, whatever n is; or give the seeds.

        Args:
            n: how many, or the seeds themselves.
            steps: restorer calls.
            sampler: `unknown_params.default_sampler` if none is given.
            seed: of the first image.
            batch_size: images at a time instead of `chunk`, of which the last bits depend; fewer where a GPU has no
                room.
        """
        if self.condition is not None:
            raise ValueError(f"{str(self.path)!r} needs a picture beside the noise: use restore")
        if self.prior is None:
            raise ValueError(f"{str(self.path)!r} has no prior to start from: it restores, and does not generate")
        seeds = [operator.index(s) for s in (n if isinstance(n, Iterable) else range(seed, seed + operator.index(n)))]
        if not seeds or (batch_size is not None and batch_size < 1):
            raise ValueError(f"expected at least one image, and one at a time, got {n} and {batch_size}")
        chosen, prior = named_sampler(sampler or default_sampler(self.degradation)), self.prior

        def made(generators: Sequence[torch.Generator]) -> Images:
            return generate(
                self.R, self.degradation, prior, self.shape, generators, steps=steps,
                sampler=captured(chosen) if self.compile else chosen, device=self.device,
            )  # fmt: skip

        return in_chunks(made, seeds, batch_size or self.chunk, fewer=batch_size is None).clamp(0, 1)
