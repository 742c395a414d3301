"""Degradations as physics of deepinv, and back; a run as its reconstructor and its denoiser."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..degradations.adapters import FromCallable, made
from ..degradations.base import BoundDegradation, Claims, Degradation, Images, Params
from ..degradations.gaussian_noise import GaussianNoise
from ..grids import float_times, time_grid
from ..restoration import restore, suited_sampler
from ..run import STEPS, Run
from ..samplers import Restorer, Sampler, named_sampler, walk
from .drawing import Times, drawn, time_range

try:
    from deepinv.models import Denoiser, Reconstructor
    from deepinv.physics import LinearPhysics, Physics
    from deepinv.physics.generator import PhysicsGenerator
except ImportError:
    raise ModuleNotFoundError('colddiff.interop.deepinv needs deepinv: pip install "colddiff[deepinv]"') from None

Schedule = Callable[[float], Mapping[str, Tensor | float]]


def as_physics(
    degradation: Degradation, t: float | Tensor = 1.0, *, params: Params | None = None
) -> DegradationPhysics:
    """D(x, t) as deepinv's A(x): a `LinearPhysics` with the exact adjoint where D is linear, else a `Physics`.

    Its parameters are `t` and the params of the degradation, by name: `update(t=...)`, `physics(x, t=...)` and
    `physics(x, **generator.step(len(x)))` (see `as_generator`) keep what they are given, as everywhere in deepinv.

    Args:
        degradation: of images in [0, 1]; its noise, if it has some, is one of its params and not a noise model.
        t: in [0, 1], one for all images or one per image (B,).
        params: `degradation.draw(x, generator)`; of one image for any number of them. None where nothing is random.

    Raises:
        TypeError: a random degradation without params.
    """
    if params is None and not degradation.deterministic:
        name = type(degradation).__name__
        raise TypeError(f"{name} is random: pass params={name.lower()}.draw(x, generator), of one image or of all")
    kind = LinearDegradationPhysics if Claims.LINEAR in degradation.claims else DegradationPhysics
    return kind(degradation, {"t": float_times(t).reshape(-1), **(params or {})})


def as_generator(
    degradation: Degradation, size: tuple[int, int, int], t: Times = (0.0, 1.0), rng: torch.Generator | None = None
) -> PhysicsGenerator:  # fmt: skip
    """What draws the parameters of `as_physics(degradation)`: times, evenly in a range, and params of images.

    Args:
        degradation: see `as_physics`.
        size: (C, H, W) of the images.
        t: the time, or the range in [0, 1].
        rng: on the CPU.
    """
    times = time_range(t)

    def step(batch_size: int, seed: int | None, **_: Any) -> Params:
        drawn_times, params = drawn(degradation, torch.empty(batch_size, *size), times, generator.rng)
        return {"t": drawn_times, **params}

    generator = PhysicsGenerator(step=step, rng=rng)
    return generator


def from_physics(
    physics: Physics,
    *,
    schedule: Schedule | None = None,
    generator: PhysicsGenerator | None = None,
    claims: Claims | None = None,
    name: str | None = None,
) -> Degradation:
    """A degradation out of a physics of deepinv: x at t = 0 to the last bit, A(x) at t = 1, without its noise model.

    Every image gets a copy of its own: `A(x, filter=...)` changes the physics that it is called on.

    Args:
        physics: with A(x) of the size of x.
        schedule: from a severity in (0, 1] to the parameters of A, `lambda s: {"sigma": 3 * s}`. None is the straight
            line from x to A(x).
        generator: what draws parameters of A, once per trajectory, seeded by ours each time.
        claims: what A promises; None is `LINEAR | DIFFERENTIABLE` for a `LinearPhysics` and nothing for others.
        name: to register it by, see `degradations.from_callable`.

    Raises:
        TypeError: no physics. ValueError: a name that is taken.
    """
    if not isinstance(physics, Physics):
        raise TypeError(f"expected a physics of deepinv, got {type(physics).__name__}")
    if claims is None:
        linear = isinstance(physics, LinearPhysics)
        claims = Claims.LINEAR | Claims.DIFFERENTIABLE if linear else Claims.NOTHING
    own = copy.deepcopy(physics)

    def damaged(image: Tensor, severity: float, **params: Any) -> Tensor:
        told = {k: torch.as_tensor(v)[None] for k, v in params.items()}
        if schedule is not None:
            told |= {k: v if isinstance(v, Tensor) else torch.tensor([v]) for k, v in schedule(severity).items()}
        answer: Tensor = _copy(own, image).A(image[None], **told)
        return answer[0]

    def draw(rng: torch.Generator | None) -> Params:
        assert generator is not None
        seed = int(torch.randint(2**62, (), generator=rng))
        return {name: value[0] for name, value in generator.step(1, seed=seed).items()}

    body = {
        "fn": staticmethod(damaged),
        "amount": staticmethod(float),
        "drawer": staticmethod(draw) if generator is not None else None,
        "images": "tensor",
        "claims": claims,
        "blended": schedule is None,
    }
    return made(physics, FromCallable, body, name)


def as_reconstructor(
    restorer: Run | Restorer,
    degradation: Degradation | None = None,
    *,
    start: float | Tensor | None = None,
    steps: int = STEPS,
    sampler: Sampler | str | None = None,
    seed: int = 0,
    oracle: bool = False,
) -> Reconstructor:
    """A restore as deepinv calls it, `reconstructor(y, physics)`: images in [0, 1], clamped, without gradients.

    Args:
        restorer: a run, whose `restore` it is; or any R(x, t) -> x0_hat.
        degradation: what R undoes; that of the run.
        start: the time of y; None is that of a physics that `as_physics` made of the same degradation, else 1.
        steps: restorer calls, fewer where the degradation has fewer levels.
        sampler: or its name; None takes `restoration.suited_sampler`.
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
        restorer: a run, or an R(x, t) -> x0_hat.
        degradation: what R undoes, `GaussianNoise`; that of the run.

    Raises:
        TypeError: another degradation.
    """
    return NoiseDenoiser(restorer, degradation)


# --- classes of deepinv ----------------------------------------------------------------------------------------------


class DegradationPhysics(Physics):  # type: ignore[misc]  # deepinv has no types
    """See `as_physics`."""

    def __init__(self, degradation: Degradation, current: Params) -> None:
        super().__init__()
        self.degradation, self.current = degradation, current

    def A(self, x: Images, **parameters: Any) -> Images:
        """D(x, t), once the parameters are updated."""
        self.update_parameters(**parameters)
        return self.bound(x)(x, self.current["t"])

    def update_parameters(self, **parameters: Any) -> None:
        """Keep those that it knows, for any number of images; others are those of a noise model."""
        known = {name: value for name, value in parameters.items() if name in self.current and value is not None}
        if "t" in known:
            known["t"] = float_times(known["t"]).reshape(-1)
        self.current = self.current | known

    def bound(self, x: Images) -> BoundDegradation:
        """D with the params of the images x, or of one image for all of them."""
        params = {name: value for name, value in self.current.items() if name != "t"}
        return self.degradation.bind({k: v.expand(len(x), *v.shape[1:]) for k, v in params.items()}, like=x)


class LinearDegradationPhysics(DegradationPhysics, LinearPhysics):  # type: ignore[misc]
    """See `as_physics`."""

    def A_adjoint(self, y: Images, **parameters: Any) -> Images:
        """The transpose of A, by differentiation: D is as linear as it is."""
        self.update_parameters(**parameters)
        image: Tensor = torch.func.vjp(self.A, torch.zeros_like(y))[1](y)[0]
        return image


class RestoringReconstructor(Reconstructor):  # type: ignore[misc]
    """See `as_reconstructor`."""

    def __init__(
        self, restorer: Run | Restorer, degradation: Degradation | None, start: float | Tensor | None, steps: int,
        sampler: Sampler | str | None, seed: int, oracle: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.restorer, self.degradation = restorer, _undone(restorer, degradation)
        self.net = restorer.net if isinstance(restorer, Run) else None  # which moves with the module
        self.start, self.seed, self.oracle = start, seed, oracle
        self.steps = min(steps, self.degradation.levels or steps)
        sampler = sampler or suited_sampler(self.degradation)
        self.sampler = named_sampler(sampler) if isinstance(sampler, str) else sampler

    @torch.no_grad()
    def forward(self, y: Images, physics: Physics | None = None, **_: Any) -> Images:
        ours = physics if isinstance(physics, DegradationPhysics) and physics.degradation == self.degradation else None
        start = self.start
        if start is None:
            start = 1.0 if ours is None else ours.current["t"].expand(len(y))
        generator = [torch.Generator().manual_seed(self.seed + i) for i in range(len(y))]
        how: dict[str, Any] = {"sampler": self.sampler, "generator": generator}
        if self.oracle and ours is not None:
            states = walk(_function(self.restorer), ours.bound(y), y, steps=self.steps, start=start, **how)
        elif isinstance(self.restorer, Run):
            states = self.restorer.walk(y, steps=self.steps, start=start, **how)
        else:
            times = time_grid(self.steps, start, levels=self.degradation.level_times())
            states = restore(self.restorer, self.degradation, y, times, **how)
        for state in states:
            y = state.x
        return y.clamp(0, 1)


class NoiseDenoiser(Denoiser):  # type: ignore[misc]
    """See `as_denoiser`."""

    def __init__(self, restorer: Run | Restorer, degradation: Degradation | None) -> None:
        super().__init__()
        known = _undone(restorer, degradation)
        if not isinstance(known, GaussianNoise):
            raise TypeError(
                f"a denoiser of deepinv is for GaussianNoise, not {type(known).__name__}: use as_reconstructor"
            )
        self.restorer, self.degradation = restorer, known
        self.net = restorer.net if isinstance(restorer, Run) else None

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


def _copy(physics: Physics, image: Tensor) -> Physics:
    """A physics of one's own, where and in what the image is."""
    own = copy.deepcopy(physics)  # clone() looks for generators through all of torch: half a second
    if any(value.is_complex() for value in own.buffers()):
        return own.to(image.device)  # a real dtype would drop half of it
    return own.to(image.device, image.dtype)


def _function(restorer: Run | Restorer) -> Restorer:
    return restorer.R if isinstance(restorer, Run) else restorer
