"""Scan lines: a degradation in a package of its own."""

from dataclasses import dataclass

import torch

import colddiff as cd


@cd.register("scanlines")
@dataclass(frozen=True, kw_only=True)
class Scanlines(cd.Degradation):
    """Every other row goes dark, from the first or from the second, as in one field of an interlaced picture."""

    claims = cd.Claims.LINEAR | cd.Claims.MONOTONE | cd.Claims.DIFFERENTIABLE | cd.Claims.TRACEABLE

    def draw(self, like, generator=None):
        return {"first": torch.randint(2, (len(like), 1, 1, 1), generator=generator).to(like.device)}

    def degrade(self, x, s, params):
        rows = torch.arange(x.shape[2], device=x.device)[:, None]
        return x * (1 - s * (rows % 2 == params["first"]))
