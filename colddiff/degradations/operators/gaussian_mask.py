"""A hole that grows: the paper's inpainting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...utils.config import register
from ...utils.numerics import moved
from ...utils.rng import integers
from ..base import Claims, Images, Params
from ..families.radial import Radial, ranks_around
from ..fill import check_fill, fill_colour
from ..levels import one_if_shared


@register("gaussian_mask")
@dataclass(frozen=True, kw_only=True)
class GaussianMask(Radial):
    """x times the cumulative mask K_k = prod_{i < k} (1 - exp(-r^2 / 2 sigma_i^2)), towards a fill colour.

    sigma_i = kernel_std (i + initial_mask) pixels, r the distance from the centre; the centre pixel is lost at the
    first step.

    Source: Cold Diffusion section 4.2; upstream's `Incremental`, `Random_Incremental` and `Constant` routines.

    Args:
        num_steps: T.
        kernel_std: growth of sigma per step, in pixels.
        initial_mask: steps by which the first mask is already grown.
        random_center: draw the centre from rows {-1 .. H - 1} and columns {-1 .. W - 1}; else (H // 2 - 1, W // 2 - 1).
        fill: the colour of the hole in [0, 1]: one number, or one per channel.
        growing: if false, sigma_i = kernel_std at every step, and initial_mask has no effect.

    Params: center (B, 2), row and column in whole pixels.
    """

    random_center: bool = True
    fill: tuple[float, ...] = (0.5,)
    growing: bool = True

    def check(self) -> None:
        check_fill(self.fill)
        super().check()

    @property
    def claims(self) -> Claims:
        smooth = Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE | Claims.POINTWISE
        return smooth | Claims.LINEAR if not any(self.fill) else smooth

    def sigmas(self) -> list[float]:
        return super().sigmas() if self.growing else [self.kernel_std] * self.num_steps

    @property
    def param_shapes(self) -> dict[str, tuple[int | str, ...]]:
        return {"center": (2,)} if self.random_center else {}

    def end(self, x: Images, params: Params) -> Tensor:
        return params["fill"]

    def prepare(self, params: Params, like: Images) -> Params:
        """The rank of each pixel (B, 1, H, W) among the distances from centres that were drawn."""
        return {"rank": ranks_around(params["center"], like, params["ranks"])} if self.random_center else {}

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        if not self.random_center:
            return {}
        sides = like.shape[-2:]
        places = [integers(side + 1, (len(like), 1), like, generator) - 1 for side in sides]
        return {"center": torch.cat(places, dim=1)}

    @property
    def deterministic(self) -> bool:
        return not self.random_center

    def tables(self, like: Images) -> Params:
        h, w = like.shape[-2:]
        masks = self.radial_tables(like, (h, w)) if self.random_center else self.central_tables(like)
        return masks | {"fill": fill_colour(self.fill, like)}

    def observe(self, x_t: Images, t: Tensor, mask: Tensor | None = None) -> Params:
        """The centre whose mask at time t explains best where the picture is like the fill colour.

        A user's mask gives its own centroid instead.
        """
        h, w = x_t.shape[-2:]
        rows, columns = (torch.arange(side, device=x_t.device, dtype=x_t.dtype) for side in (h, w))
        if mask is not None:
            weight = mask.to(x_t.dtype).sum(dim=1)
            total = weight.sum(dim=(1, 2)).clamp(min=1)
            row, column = (weight.sum(2) @ rows) / total, (weight.sum(1) @ columns) / total
            return {"center": torch.stack([row.round(), column.round()], dim=1)}
        # log |x_t - fill| = log K(p - c) + the picture's own contrast, floored at half an 8-bit step.
        seen = ((x_t - fill_colour(self.fill, x_t)).abs().amax(dim=1) + 1 / 512).log()
        s = self.severity(one_if_shared(t)).to(x_t.dtype).reshape(-1, 1, 1, 1)
        canvas, middle = x_t.new_empty(1, 1, 2 * h, 2 * w), moved(torch.tensor([[h - 1, w - 1]]), x_t)
        tables = self._tables(x_t) if self.random_center else self.radial_tables(x_t, (h, w))
        keep = 1 - self.weight(s, canvas, tables | {"center": middle})
        return {"center": locate((keep[:, 0] / 4 + 1 / 512).log(), seen).to(x_t.dtype)}


def locate(template: Tensor, image: Tensor) -> Tensor:
    """Where a template explains an image best, up to an added constant: least squares over every place.

    Args:
        template: (B, 2H, 2W), its centre at (H - 1, W - 1).
        image: (B, H, W).

    Returns:
        The centre in the image, (B, 2): rows -1 .. H - 1 and columns -1 .. W - 1.
    """
    h, w = image.shape[-2:]

    def correlation(a: Tensor, b: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(a, s=(2 * h, 2 * w)).conj() * torch.fft.rfft2(b)
        found: Tensor = torch.fft.irfft2(spectrum, s=(2 * h, 2 * w))[:, : h + 1, : w + 1]
        return found

    image, template = image.double(), template.double()
    ones = torch.ones_like(image)
    squares = correlation(ones, template**2) - 2 * correlation(image, template)
    offset = image.sum(dim=(1, 2), keepdim=True) - correlation(ones, template)
    best = (squares - offset**2 / (h * w)).flatten(1).argmin(dim=1)
    return torch.stack([h - 1 - best.div(w + 1, rounding_mode="floor"), w - 1 - best % (w + 1)], dim=1)
