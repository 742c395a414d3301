"""An image that becomes another one: the paper's animorphosis."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...utils.config import register
from ..base import Claims, Params
from ..families.variance_preserving import VariancePreserving
from ..noise_schedules import CosineBetas, NoiseSchedule


@register("animorph")
@dataclass(frozen=True, kw_only=True)
class Animorph(VariancePreserving):
    """c_t = sqrt(ab_t) c_0 + sqrt(1 - ab_t) c_target, c = 2 x - 1: noise whose place an image has taken.

    Its end is the target itself, up to sqrt(ab_T) = 2.5e-4 of x: there `estimate` finds it, whatever the restorer says.
    It is not monotone: half-way to a target that is much like x, the contrast is higher than that of either.

    Source: Cold Diffusion, "animorphosis"; Nichol & Dhariwal 2021, equation 17, for the betas.

    Params: target (B, C, H, W) in [0, 1], from the data.
    """

    betas: NoiseSchedule = CosineBetas(num_steps=200)

    required_params = ("target",)
    unpaired = True
    claims = Claims.DIFFERENTIABLE | Claims.TRACEABLE | Claims.POINTWISE

    @property
    def param_shapes(self) -> dict[str, tuple[int | str, ...]]:
        return {"target": ("C", "H", "W")}

    def end(self, params: Params) -> Tensor:
        return 2 * params["target"] - 1

    def params_of(self, end: Tensor) -> Params:
        return {"target": (1 + end) / 2}
