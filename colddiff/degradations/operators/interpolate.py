"""A straight line to an endpoint: makes every black box continuous in time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ..base import Claims, Degradation, Images, Params
from ..families.blend import Blend
from ..levels import level_at


@register("interpolate")
@dataclass(frozen=True, kw_only=True)
class Interpolate(Blend):
    """(1 - s) x + s y, towards a given image y or towards another degradation at its own t = 1.

    Source: Delbracio & Milanfar 2023 (InDI), equation 1; rectified flow with y the noise end.

    Args:
        to: the degradation whose t = 1 is the endpoint; None where every image brings its own.
        num_steps: T, if training is to see no more than T severities; with 1 the restorer sees endpoints only.

    Params: endpoint (B, C, H, W) where `to` is None or the endpoint is known (a damaged picture); else those of `to`.
    """

    to: Degradation | None = None
    num_steps: int | None = None

    def check(self) -> None:
        if self.num_steps is not None and not 1 <= self.num_steps <= 1_000_000:
            raise ValueError(f"num_steps must be >= 1, got {self.num_steps}, and <= 1,000,000")

    @property
    def levels(self) -> int | None:
        return self.num_steps

    @property
    def required_params(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("endpoint",) if self.to is None else self.to.required_params

    @property
    def claims(self) -> Claims:
        smooth = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE
        return smooth if self.to is None else smooth & self.to.claims | self.to.claims & Claims.LINEAR

    @property
    def deterministic(self) -> bool:
        return self.to is not None and self.to.deterministic

    @property
    def prior(self) -> str | None:
        return None if self.to is None else self.to.prior

    def end(self, x: Images, params: Params) -> Tensor:
        if self.to is None or "endpoint" in params:
            return params["endpoint"]
        return self.to.degrade(x, torch.ones_like(x[:, :1, :1, :1]), params)

    def weight(self, s: Tensor, x: Images, params: Params) -> Tensor:
        return self._on_level(s)

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        return {} if self.to is None else self.to.draw(like, generator)

    def tables(self, like: Images) -> Params:
        return {} if self.to is None else self.to.tables(like)

    def prepare(self, params: Params, like: Images) -> Params:
        return {} if self.to is None or "endpoint" in params else self.to.prepare(params, like)

    def estimate(self, x_t: Images, x0: Images, t: Tensor, params: Params) -> Params:
        """y = x0 + (x_t - x0) / s: at t = 1 the picture is its own endpoint."""
        s = self._on_level(self.severity(t).to(x_t.dtype).reshape(-1, 1, 1, 1))
        return {"endpoint": x0 + torch.where(s > 0, (x_t - x0) / torch.where(s > 0, s, 1), 0)}

    def _on_level(self, s: Tensor) -> Tensor:
        """The severity, that of a level where it is within float32 error of it."""
        if self.num_steps is None:
            return s
        level, fraction = level_at(s, self.num_steps)
        return (level.reshape(-1, 1, 1, 1) + fraction) / self.num_steps
