"""A run as a reconstructor and a denoiser of deepinv."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from deepinv.models import Denoiser, Reconstructor
from deepinv.physics import Physics
from torch import Tensor

from ...degradations.base import Degradation, Images
from ...degradations.operators.gaussian_noise import GaussianNoise
from ...models.recommended import Setting
from ...models.run import STEPS, Run
from ...samplers.base import Restorer, Sampler
from ...samplers.sample import named_sampler, walk
from ...samplers.time_grid import default_grid
from ...samplers.unknown_params import default_sampler, restore
from .physics import DegradationPhysics


def as_reconstructor(
    restorer: Run | Restorer,
    degradation: Degradation | None = None,
    *,
    start: float | Tensor | None = None,
    steps: int | None = None,
    sampler: Sampler | str | None = None,
    seed: int = 0,
    oracle: bool = False,
) -> Reconstructor:
    """A restore as deepinv calls it, `reconstructor(y, physics)`: images in [0, 1], clamped, without gradients.

    Args:
        restorer: a run, whose `restore` it is, with a network of its own that moves and is cast with it; or any
            R(x, t) -> x0_hat.
        degradation: what R undoes; that of the run.
        start: the time of y; None is that of a physics that `as_physics` made of the same degradation, else 1.
        steps: restorer calls.
        sampler: or its name. Where both are left out, what the run takes by itself, see `Run.default_settings`; else 20
            steps, or as many as there are levels below the start, and `unknown_params.default_sampler`.
        seed: image i of a batch draws from seed + i.
        oracle: use the params of such a physics, noise among them, instead of what can be read off y.

    Raises:
        TypeError: R without a degradation.
    """
    return RestoringReconstructor(restorer, degradation, start, steps, sampler, seed, oracle)


def as_denoiser(restorer: Run | Restorer, degradation: Degradation | None = None) -> Denoiser:
    """One call of R as deepinv's `denoiser(x, sigma)`, for an R of Gaussian noise: x + sigma z, z standard normal.

    R sees it scaled, at the time at which the degradation has as much noise for its signal, at most that of t = 1.

    Args:
        restorer: a run, of whose network it has a copy, or an R(x, t) -> x0_hat.
        degradation: what R undoes, `GaussianNoise`; that of the run.

    Raises:
        TypeError: another degradation.
    """
    return NoiseDenoiser(restorer, degradation)


# --- classes of deepinv ----------------------------------------------------------------------------------------------


class RestoringReconstructor(Reconstructor):  # type: ignore[misc]
    """See `as_reconstructor`."""

    def __init__(
        self, restorer: Run | Restorer, degradation: Degradation | None, start: float | Tensor | None,
        steps: int | None, sampler: Sampler | str | None, seed: int, oracle: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.degradation, self.restorer = _undone(restorer, degradation), _own(restorer, degradation)
        self.net = self.restorer.net if isinstance(self.restorer, Run) else None  # which moves with the module
        self.start, self.steps, self.sampler, self.seed, self.oracle = start, steps, sampler, seed, oracle

    @torch.no_grad()
    def forward(self, y: Images, physics: Physics | None = None, **_: Any) -> Images:
        ours = physics if isinstance(physics, DegradationPhysics) and physics.degradation == self.degradation else None
        start = self.start
        if start is None:
            start = 1.0 if ours is None else ours.current["t"].expand(len(y))
        known = ours.bound(y) if self.oracle and ours is not None else None
        if isinstance(self.restorer, Run) and known is None:
            restored: Images = self.restorer.restore(
                y, start=start, steps=self.steps, sampler=self.sampler, seed=self.seed
            )
            return restored
        R, sampler, times = _function(self.restorer), *self._way(start)
        how: dict[str, Any] = {"sampler": sampler, "generator": [_seeded(self.seed + i) for i in range(len(y))]}
        states = (
            walk(R, known, y, times=times, **how)
            if known is not None
            else restore(R, self.degradation, y, times, **how)
        )
        for state in states:
            y = state.x
        return y.clamp(0, 1)

    def _way(self, start: float | Tensor) -> tuple[Sampler, Tensor]:
        """Sampler and times, where it is not the run that chooses them."""
        taken = Setting(1.0, default_sampler(self.degradation), STEPS)
        if isinstance(self.restorer, Run) and self.steps is None and self.sampler is None:
            taken = self.restorer.default_settings(start)
        sampler, levels = self.sampler or taken.sampler, self.degradation.level_times()
        times = default_grid(taken.steps if self.steps is None else self.steps, start, levels)
        return named_sampler(sampler), times


class NoiseDenoiser(Denoiser):  # type: ignore[misc]
    """See `as_denoiser`."""

    def __init__(self, restorer: Run | Restorer, degradation: Degradation | None) -> None:
        super().__init__()
        known = _undone(restorer, degradation)
        if not isinstance(known, GaussianNoise):
            raise TypeError(
                f"a denoiser of deepinv is for GaussianNoise, not {type(known).__name__}: use as_reconstructor"
            )
        self.restorer, self.degradation = _own(restorer, known), known
        self.net = self.restorer.net if isinstance(self.restorer, Run) else None

    def forward(self, x: Images, sigma: float | Tensor, **_: Any) -> Images:
        levels = self._handle_sigma(sigma, batch_size=len(x), device=x.device, dtype=torch.float64)
        t, amplitude = time_of_noise(self.degradation, levels)
        return _function(self.restorer)(0.5 + amplitude.to(x.dtype).reshape(-1, 1, 1, 1) * (x - 0.5), t)


def time_of_noise(degradation: GaussianNoise, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """When noise of that standard deviation (B,), on images in [0, 1], is that of D, and by what D scales the image."""
    kept = degradation.betas.alpha_bars().to(sigma.device)
    a, b = kept.sqrt(), (1 - kept).sqrt()
    # b z / 2 on a x is noise sigma on x where b = 2 sigma a; both are linear between levels.
    excess = b - 2 * sigma[:, None] * a
    level = ((excess < 0).sum(dim=1) - 1).clamp(0, len(a) - 2)
    below, above = (excess.gather(1, k[:, None])[:, 0] for k in (level, level + 1))
    fraction = (below / (below - above)).clamp(0, 1)
    time = degradation.schedule.inverse((level + fraction) / (len(a) - 1))
    return time, torch.lerp(a[level], a[level + 1], fraction)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _undone(restorer: Run | Restorer, degradation: Degradation | None) -> Degradation:
    """What a restorer undoes."""
    if degradation is not None:
        return degradation
    if not isinstance(restorer, Run):
        raise TypeError("a restorer R(x, t) does not say what it undoes: pass its degradation too")
    return restorer.degradation


def _own(restorer: Run | Restorer, degradation: Degradation | None) -> Run | Restorer:
    """A run with a copy of its network: a module of deepinv is cast and trained, and the user's run stays as it was."""
    if not isinstance(restorer, Run):
        return restorer
    return replace(restorer, net=copy.deepcopy(restorer.net), degradation=degradation or restorer.degradation)


def _function(restorer: Run | Restorer) -> Restorer:
    return restorer.R if isinstance(restorer, Run) else restorer


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
