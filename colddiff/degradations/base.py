"""The interface of every degradation: a family of maps x -> D(x, t) with D(x, 0) = x."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Flag, auto
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..utils.config import Configurable
from ..utils.numerics import computing_dtype, exact_float32, few_threads
from ..utils.table_cache import cached_tables
from .levels import one_if_shared
from .schedules import Linear, Schedule
from .times import as_times

Params = dict[str, Tensor]
Images = Float[Tensor, "B C H W"]

# What a picture tells of a clean image more exactly than this is taken from it, and no restorer is asked.
TOLERANCE = 0.02


class Claims(Flag):
    """What an operator promises beyond the contract; `colddiff.testing` checks exactly what is claimed."""

    NOTHING = 0
    LINEAR = auto()  # D(ax + by, t) = a D(x, t) + b D(y, t)
    MONOTONE = auto()  # the mean distance from the clean images does not fall by more than 1e-2 as t grows
    DIFFERENTIABLE = auto()  # gradients with respect to x are those of the formula
    TRACEABLE = auto()  # torch.compile(fullgraph=True) of the bound operator, with t as a tensor
    POINTWISE = auto()  # D(x, t) = a x + b, a and b maps that do not depend on x: each value goes its own way


@dataclass(frozen=True, kw_only=True)
class Degradation(Configurable, ABC):
    """A family of maps x -> D(x, t, params) with D(x, 0, params) = x.

    The life of an operator: `params = op.draw(x, generator)` once per trajectory; `D = op.bind(params, like=x)`
    fetches tables; `D(x, t)` as often as a sampler wants. An operator is a value: nothing is remembered on it.

    Source: Bansal et al. 2022, "Cold Diffusion", section 3.
    """

    group: ClassVar[str] = "colddiff.degradations"
    required_params: ClassVar[tuple[str, ...]] = ()
    unpaired: ClassVar[bool] = False  # whether any row of the data will do for them

    schedule: Schedule = Linear()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Whoever writes another `degrade` has no use for the `change` of the operator that it began with."""
        super().__init_subclass__(**kwargs)
        if "degrade" in vars(cls) and "change" not in vars(cls):
            cls.change = Degradation.change  # type: ignore[method-assign]

    @property
    def claims(self) -> Claims:
        return Claims.NOTHING

    @property
    def levels(self) -> int | None:
        """T where the operator is a chain of T steps: exact at severities k / T, linear in D between."""
        return None

    @property
    def prior(self) -> str | None:
        """The registered prior u for which D(u, 1) is the end of this chain whatever the data; None if it depends."""
        return None

    @abstractmethod
    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        """The images at severity s; the only method an operator must write.

        Args:
            x: clean images (B, C, H, W), float32 or float64, nominally in [0, 1] but not clamped.
            s: severity in [0, 1], (B, 1, 1, 1), of the dtype of x, not to be written to; D(x, 0) must be x to the last
                bit.
            params: the random draws of the trajectory, a row per image, and the operator's `tables`.
        """

    def change(self, x: Images, s: Tensor, r: Tensor, params: Params) -> Images:
        """D at severity r less D at severity s, what `improved` adds at a step: for operators that have it for less."""
        return self.degrade(x, r, params) - self.degrade(x, s, params)

    def chain(self, x: Images, k: int, params: Params) -> Images:
        """D(x, k / T) as its steps make it, one after another: what code without a closed form computes."""
        s = torch.full((len(x), 1, 1, 1), k / (self.levels or 1), dtype=x.dtype, device=x.device)
        return self.degrade(x, s, params)

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        """Everything random about one trajectory of each image in `like`: a dict of tensors (B, ...).

        The generator lives on the CPU; deterministic operators draw nothing.
        """
        return {}

    def draw_each(self, like: Images, generators: Sequence[torch.Generator]) -> Params:
        """`draw` with one generator per image, so that image i does not depend on its batch."""
        if len(generators) != len(like):
            raise ValueError(f"expected one generator per image, {len(like)}, got {len(generators)}")
        if not generators:
            return self.draw(like, torch.Generator())
        rows = [self.draw(like[i : i + 1], generator) for i, generator in enumerate(generators)]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    def tables(self, like: Images) -> Params:
        """Constants that depend on the image size only, fetched by `bind` and handed to `degrade` with the params."""
        return {}

    def prepare(self, params: Params, like: Images) -> Params:
        """What follows from the params alone, computed once by `bind`: more params, a row per image.

        No more than a memory of it: `degrade` finds what it needs without.
        """
        return {}

    def observe(self, x_t: Images, t: Tensor, mask: Tensor | None = None) -> Params:
        """Params read off damaged pictures themselves, where the operator can: a hole's place, the picture itself.

        Args:
            x_t: damaged images (B, C, H, W).
            t: their times (B,).
            mask: (B, 1, H, W), true where the picture is missing, if the user knows it.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot read its params off a picture")

    def estimate(self, x_t: Images, x0: Images, t: Tensor, params: Params) -> Params:
        """Params with which D(x0, t) = x_t; `params` brings the tables, and what is known already."""
        raise NotImplementedError(f"{type(self).__name__} cannot estimate its params")

    def projection(self, y: Images, s: Tensor, params: Params, noise: Tensor | float) -> Callable[[Images], Images]:
        """What gives any image what y = D(x0, s) tells of x0, such as its known pixels, and leaves the rest as it is.

        Operators that treat each pixel on its own have it from here; others write it where they can.

        Args:
            y: damaged images (B, C, H, W).
            s: their severity, (B, 1, 1, 1).
            params: of the trajectory, with the tables.
            noise: standard deviation of what each value of y is off by, one or (B, 1, 1, 1); what is seen too faintly
                to be known in spite of it (`is_measured`) is not taken from y.
        """
        if Claims.POINTWISE not in self.claims:
            raise NotImplementedError(f"nothing in a picture is known for certain under {type(self).__name__}")
        offset = self.degrade(torch.zeros_like(y), s, params)
        gain = self.degrade(torch.ones_like(y), s, params) - offset
        told = is_measured(gain, noise)
        known = (y - offset) / torch.where(told, gain, 1)
        return lambda x: torch.where(told, known, x)

    def refresh(self, params: Params, t: Tensor, s: Tensor, eta: float, noise: Tensor) -> Params:
        """Params partly redrawn between times t > s: the noise that DDIM with eta > 0 injects."""
        raise NotImplementedError(f"{type(self).__name__} has no noise to refresh: use eta = 0")

    @property
    def param_shapes(self) -> dict[str, tuple[int | str, ...]]:
        """The params that `bind` must be given, and their shapes behind the batch: numbers, "C", "H", "W"."""
        return {}

    def noise_scale(self, s: Tensor, params: Params) -> Tensor:
        """By what D multiplies its param `noise`, standard normal, at severity s: (B, 1, 1, 1), where it adds some."""
        raise NotImplementedError(f"{type(self).__name__} adds no noise, which this sampler lives on: use improved")

    @property
    def observable(self) -> bool:
        return type(self).observe is not Degradation.observe

    @property
    def estimable(self) -> bool:
        return type(self).estimate is not Degradation.estimate

    @property
    def projectable(self) -> bool:
        return Claims.POINTWISE in self.claims or type(self).projection is not Degradation.projection

    @property
    def refreshable(self) -> bool:
        return type(self).refresh is not Degradation.refresh

    @property
    def deterministic(self) -> bool:
        return type(self).draw is Degradation.draw and not self.required_params

    def __call__(self, x: Images, t: Tensor | float, params: Params | None = None) -> Images:
        """D(x, t): the images at time t.

        Args:
            x: images (B, C, H, W), any float dtype, C, H and W; the result has the same.
            t: times in [0, 1], one per image (B,) or one for all; 0 is clean, 1 fully degraded.
            params: from `draw`; may be left out where the operator is deterministic.

        Raises:
            TypeError: not float tensors, or a missing param. ValueError: shapes that do not fit, or t outside [0, 1].
        """
        if params is None and not self.deterministic and not self.required_params:
            raise TypeError(
                f"{type(self).__name__} is random: pass params, e.g. op(x, t, op.draw(x, generator)), "
                "and the same ones for the whole trajectory"
            )
        return self.bind(params or {}, like=x)(x, t)

    def bind(self, params: Params | None = None, *, like: Images) -> BoundDegradation:
        """D(x, t) as the samplers want it: params fixed, tables at hand. `like` gives size, dtype and device."""
        unknown = self.bind_unknown(like)
        checked = self._checked(params or {}, like)
        return unknown.with_params(checked | self.prepare(unknown.tables | checked, like))

    def bind_unknown(self, like: Images) -> BoundDegradation:
        """Tables at hand, params still to be found by `BoundDegradation.estimate`."""
        check_images(like)
        return BoundDegradation(self, {}, self._tables(like), tuple(like.shape), computing_dtype(like.dtype))

    def severity(self, t: Tensor) -> Tensor:
        """schedule(t) in float64."""
        return self.schedule(t.double())

    def level_times(self) -> Tensor | None:
        """The times of the levels 0 .. T: (T + 1,) float64, or None where D is continuous."""
        if self.levels is None:
            return None
        return self.schedule.inverse(torch.arange(self.levels + 1, dtype=torch.float64) / self.levels)

    def _tables(self, like: Tensor) -> Params:
        if type(self).tables is Degradation.tables:
            return {}
        key = (self, like.shape[1:], computing_dtype(like.dtype), like.device)
        return cached_tables(key, lambda: self.tables(like))

    def _checked(self, params: Params, like: Tensor) -> Params:
        for name in self.required_params:
            if name not in params:
                raise TypeError(
                    f"{type(self).__name__} needs the param {name!r}, which comes from the data: "
                    f'pass params={{"{name}": tensor}} with one row per image'
                )
        for name, value in params.items():
            if not isinstance(value, Tensor) or value.dim() == 0 or value.shape[0] != like.shape[0]:
                got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ValueError(f"param {name!r} must be a tensor with one row per image, {len(like)}, got {got}")
        sides = dict(zip("CHW", like.shape[1:], strict=True))
        for name, letters in self.param_shapes.items():
            shape = tuple(sides[side] if isinstance(side, str) else side for side in letters)
            if name not in params:
                if self.estimable:  # it may be found later
                    continue
                raise TypeError(f"{type(self).__name__} needs the param {name!r}, which `draw` makes, got {[*params]}")
            if tuple(params[name].shape[1:]) != shape:
                got, expected = tuple(params[name].shape), (len(like), *shape)
                raise ValueError(f"param {name!r} of {type(self).__name__} must have shape {expected}, got {got}")
        dtype = computing_dtype(like.dtype)
        return {
            name: value.to(like.device, dtype if value.is_floating_point() else None, non_blocking=True)
            for name, value in params.items()
        }


@dataclass(frozen=True)
class BoundDegradation:
    """A degradation with its params fixed: `D(x, t)`, as samplers read it. `Degradation.bind` makes one.

    Args:
        degradation: the operator.
        params: what is random, a row per image (B, ...).
        tables: what depends on the size of the images only.
        shape: (B, C, H, W) of the images that it was bound to.
        dtype: that it computes in, float32 or float64.
    """

    degradation: Degradation
    params: Params
    tables: Params
    shape: tuple[int, ...]
    dtype: torch.dtype

    def __call__(self, x: Images, t: Tensor | float) -> Images:
        """D(x, t): images of the shape, dtype and device of x.

        Raises:
            ValueError: x is not of the size, or with params not of the number, that this was bound to.
        """
        self._check(x)
        with exact_float32(x.device), few_threads(x):
            s = self._severity(as_times(t, x))
            return self.degradation.degrade(x.to(self.dtype), s, self.tables | self.params).to(x.dtype)

    def change(self, x: Images, t: Tensor | float, s: Tensor | float) -> Images:
        """D(x, s) - D(x, t), in one pass where the operator has one."""
        self._check(x)
        with exact_float32(x.device), few_threads(x):
            before, after = self._severity(as_times(t, x)), self._severity(as_times(s, x))
            return self.degradation.change(x.to(self.dtype), before, after, self.tables | self.params).to(x.dtype)

    def chain(self, x: Images, t: float) -> Images:
        """D(x, t) at a level, by the steps of the chain, each rounded as the dtype of x rounds."""
        self._check(x)
        with exact_float32(x.device):
            s = float(self.degradation.severity(torch.tensor(t, dtype=torch.float64)))
            level = round(s * (self.degradation.levels or 1))
            return self.degradation.chain(x.to(self.dtype), level, self.tables | self.params).to(x.dtype)

    def with_params(self, params: Params) -> BoundDegradation:
        """The same degradation and tables with other params."""
        return replace(self, params=params)

    def estimate(self, x_t: Images, x0: Images, t: Tensor | float) -> BoundDegradation:
        """The same degradation with the params for which D(x0, t) = x_t."""
        self._check(x_t)
        with exact_float32(x_t.device), few_threads(x_t):
            t = as_times(t, x_t)
            found = self.degradation.estimate(x_t.to(self.dtype), x0.to(self.dtype), t, self.tables | self.params)
            return self.with_params(self.params | found)

    def projection(self, y: Images, t: Tensor | float, noise: Tensor | float) -> Callable[[Images], Images]:
        """What gives any image what y = D(x0, t) tells of x0; see `Degradation.projection`."""
        self._check(y)

        def of(x: Images) -> Images:
            with exact_float32(x.device), few_threads(x):
                return known(known(x.to(self.dtype))).to(x.dtype)  # twice: the rounding of the first goes too

        with exact_float32(y.device), few_threads(y):
            s = self._severity(as_times(t, y))
            known = self.degradation.projection(y.to(self.dtype), s, self.tables | self.params, noise)
        return of

    def refresh(self, t: Tensor | float, s: Tensor | float, eta: float, noise: Tensor) -> BoundDegradation:
        """The same degradation with its noise partly replaced between times t > s, as DDIM's eta says."""
        t, s = as_times(t, noise), as_times(s, noise)
        return self.with_params(self.params | self.degradation.refresh(self.tables | self.params, t, s, eta, noise))

    def noise_scale(self, t: Tensor | float) -> Tensor:
        """By what D multiplies its noise at time t: (B, 1, 1, 1)."""
        t = t if isinstance(t, Tensor) else torch.tensor([t], dtype=torch.float64)
        return self.degradation.noise_scale(self._severity(t.reshape(-1)), self.tables | self.params)

    def _severity(self, t: Tensor) -> Tensor:
        """(B, 1, 1, 1); one time for all is warped once, and its strides go on saying that it is one."""
        s = self.degradation.severity(one_if_shared(t)).to(self.dtype)
        return s.view(-1, 1, 1, 1).expand(t.shape[0], 1, 1, 1)

    def _check(self, x: Tensor) -> None:
        check_images(x)
        batch = x.shape[0] if self.params else self.shape[0]
        if (batch, *x.shape[1:]) != self.shape or computing_dtype(x.dtype) != self.dtype:
            raise ValueError(
                f"D was bound to images {self.shape} in {self.dtype}, got {tuple(x.shape)} in {x.dtype}: "
                "bind again with like=x"
            )


def check_images(x: Tensor) -> None:
    """Raise unless x is a batch of float images (B, C, H, W)."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = f"a {x.dtype} tensor" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"expected a float tensor of images (B, C, H, W) in [0, 1], got {kind}")
    if x.dim() != 4 or 0 in x.shape[1:]:
        raise ValueError(f"expected images (B, C, H, W), got shape {tuple(x.shape)}; x[None] makes a batch of one")


def is_measured(gain: Tensor, noise: Tensor | float) -> Tensor:
    """Whether what is seen multiplied by `gain`, and off by `noise` (a standard deviation), is known to `TOLERANCE`."""
    return gain.abs() * TOLERANCE >= noise
