"""Several degradations one after another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ..base import Claims, Degradation, Images, Params
from ..composite import check_parts, of_part, part_severity, to_part


@register("compose")
@dataclass(frozen=True, kw_only=True)
class Compose(Degradation):
    """D_n(... D_2(D_1(x, t), t) ..., t): the parts in order at one t, each with a schedule of its own.

    The schedule of the composition warps t first, that of a part warps what comes out.

    Args:
        parts: the degradations, the first to be applied first.

    Params: those of part i, as "i.name".
    """

    parts: tuple[Degradation, ...] = ()

    def check(self) -> None:
        if not self.parts:
            raise ValueError(
                'compose needs degradations in parts, in their order: --degradation.parts "[gaussian_blur, jpeg]"'
            )

        check_parts("compose", self.parts)

    @property
    def required_params(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"{i}.{name}" for i, part in enumerate(self.parts) for name in part.required_params)

    @property
    def claims(self) -> Claims:
        """What every part claims, but for monotone: what one adds, the next may blur away."""
        common = Claims.LINEAR | Claims.DIFFERENTIABLE | Claims.TRACEABLE | Claims.POINTWISE
        for part in self.parts:
            common &= part.claims
        return common

    @property
    def deterministic(self) -> bool:
        return all(part.deterministic for part in self.parts)

    @property
    def observable(self) -> bool:
        """The last part can be read off the picture, where nothing is to be known of those before it."""
        return self._last_is_unknown and self.parts[-1].observable

    @property
    def estimable(self) -> bool:
        return self._last_is_unknown and self.parts[-1].estimable

    @property
    def refreshable(self) -> bool:
        return self.estimable and self.parts[-1].refreshable

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        for i, part in enumerate(self.parts):
            x = part.degrade(x, part_severity(part, s), of_part(i, params))
        return x

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        drawn: Params = {}
        for i, part in enumerate(self.parts):
            drawn |= to_part(i, part.draw(like, generator))
        return drawn

    def tables(self, like: Images) -> Params:
        built: Params = {}
        for i, part in enumerate(self.parts):
            built |= to_part(i, part.tables(like))
        return built

    def prepare(self, params: Params, like: Images) -> Params:
        prepared: Params = {}
        for i, part in enumerate(self.parts):
            prepared |= to_part(i, part.prepare(of_part(i, params), like))
        return prepared

    def observe(self, x_t: Images, t: Tensor, mask: Tensor | None = None) -> Params:
        return to_part(len(self.parts) - 1, self.parts[-1].observe(x_t, self.severity(t), mask))

    def estimate(self, x_t: Images, x0: Images, t: Tensor, params: Params) -> Params:
        """The params of the last part that explain x_t, from x0 as the parts before it leave it."""
        *before, last = self.parts
        s = self.severity(t)
        x = x0
        for i, part in enumerate(before):
            x = part.degrade(x, part_severity(part, s.to(x0.dtype).reshape(-1, 1, 1, 1)), of_part(i, params))
        return to_part(len(before), last.estimate(x_t, x, s, of_part(len(before), params)))

    def refresh(self, params: Params, t: Tensor, s: Tensor, eta: float, noise: Tensor) -> Params:
        i = len(self.parts) - 1
        return to_part(i, self.parts[i].refresh(of_part(i, params), self.severity(t), self.severity(s), eta, noise))

    @property
    def _last_is_unknown(self) -> bool:
        *before, last = self.parts
        return all(part.deterministic for part in before) and not last.deterministic
