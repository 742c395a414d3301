"""Degradations as physics of deepinv, and back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from deepinv.physics import LinearPhysics, Physics
from deepinv.physics.generator import PhysicsGenerator
from torch import Tensor

from ...degradations.base import BoundDegradation, Claims, Degradation, Images, Params
from ...degradations.families.black_box import FromCallable, made
from ...degradations.times import float_times
from ..random_params import Times, drawn, time_range

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
        generator: what draws parameters of A, on the CPU, once per trajectory, seeded by ours each time.
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
    body = {
        "fn": staticmethod(_damaging(copy.deepcopy(physics), schedule)),
        "amount": staticmethod(float),
        "drawer": None if generator is None else staticmethod(_drawing(generator)),
        "images": "tensor",
        "claims": claims,
        "blended": schedule is None,
    }
    return made(physics, FromCallable, body, name)


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


# --- helpers ---------------------------------------------------------------------------------------------------------


def _damaging(physics: Physics, schedule: Schedule | None) -> Callable[..., Tensor]:
    """A(x) of one image, with the parameters that were drawn for it and those of its severity."""

    def damaged(image: Tensor, severity: float, **drawn: Any) -> Tensor:
        told = {name: torch.as_tensor(value, device=image.device)[None] for name, value in drawn.items()}
        for name, value in (schedule(severity) if schedule is not None else {}).items():
            batch = value if isinstance(value, Tensor) else [value]
            told[name] = torch.as_tensor(batch, device=image.device)
        answer: Tensor = _copy(physics, image).A(image[None], **told)
        return answer[0]

    return damaged


def _drawing(generator: PhysicsGenerator) -> Callable[[torch.Generator | None], Params]:
    """What a generator of deepinv draws for one image, by a seed from ours."""

    def draw(rng: torch.Generator | None) -> Params:
        seed = int(torch.randint(2**62, (), generator=rng))
        return {name: value[0] for name, value in generator.step(1, seed=seed).items()}

    return draw


def _copy(physics: Physics, image: Tensor) -> Physics:
    """A physics of one's own, where and in what the image is."""
    own = copy.deepcopy(physics)  # clone() looks for generators through all of torch: half a second
    if any(value.is_complex() for value in own.buffers()):
        return own.to(image.device)  # a real dtype would drop half of it
    return own.to(image.device, image.dtype)
