"""One of several degradations, chosen for each image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ...utils.rng import integers
from ..base import Claims, Degradation, Images, Params
from ..composite import check_parts, of_part, part_severity, to_part


@register("one_of")
@dataclass(frozen=True, kw_only=True)
class OneOf(Degradation):
    """D_choice(x, t): every image of a batch has its own choice among the options, each as likely as the others.

    All options are computed and one is taken, so that nothing depends on values: the price is their sum.

    Args:
        options: the degradations to choose from, each with a schedule of its own.

    Params: choice (B,), the index of the option; those of option i as "i.name".
    """

    options: tuple[Degradation, ...] = ()

    def check(self) -> None:
        if not self.options:
            raise ValueError(
                'one_of needs degradations in options to choose from: --degradation.options "[gaussian_blur, jpeg]"'
            )

        check_parts("one_of", self.options)

    @property
    def required_params(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"{i}.{name}" for i, option in enumerate(self.options) for name in option.required_params)

    @property
    def claims(self) -> Claims:
        common = ~Claims.NOTHING
        for option in self.options:
            common &= option.claims
        return common

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        choice, damaged = params["choice"].reshape(-1, 1, 1, 1), x
        for i, option in enumerate(self.options):
            damaged = torch.where(choice == i, option.degrade(x, part_severity(option, s), of_part(i, params)), damaged)
        return damaged

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        drawn = {"choice": integers(len(self.options), (len(like),), like, generator)}
        for i, option in enumerate(self.options):
            drawn |= to_part(i, option.draw(like, generator))
        return drawn

    def tables(self, like: Images) -> Params:
        built: Params = {}
        for i, option in enumerate(self.options):
            built |= to_part(i, option.tables(like))
        return built

    def prepare(self, params: Params, like: Images) -> Params:
        prepared: Params = {}
        for i, option in enumerate(self.options):
            prepared |= to_part(i, option.prepare(of_part(i, params), like))
        return prepared
