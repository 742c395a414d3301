"""JPEG as a formula: quality falls, gradients flow."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.color import rgb_to_grayscale
from kornia.enhance import JPEGCodecDifferentiable, jpeg_codec_differentiable
from torch import Tensor

from ..kernels import check_jpeg_quality, jpeg_quality, moved
from ..registry import register
from .base import Claims, Degradation, Images, Params


@register("jpeg")
@dataclass(frozen=True, kw_only=True)
class Jpeg(Degradation):
    """JPEG of a quality that falls with s, by nearly equal decibels; clean at s = 0, clipped to [0, 1] beyond.

    Coefficients c and quantization steps are rounded to r + (c - r)^3, r the nearest integer, which has a slope. Colour
    is halved in resolution (4:2:0) at any s > 0. Values outside [0, 1] are coded as they are. Not monotone: a picture
    that has been through JPEG before is nearly itself again at the quality it had then.

    On photographs of 32 to 256 pixels it is 33 to 48 dB from the real codec, `JpegPillow`, which loses 19 to 37 dB.

    Source: Reich et al. 2024, "Differentiable JPEG"; kornia's `jpeg_codec_differentiable`.

    Args:
        quality_max: quality just after t = 0, at most 99.
        quality_min: quality at t = 1, at least 1.

    Raises:
        ValueError: images of other than 1 or 3 channels.
    """

    quality_max: float = 95.0
    quality_min: float = 5.0

    claims = Claims.DIFFERENTIABLE | Claims.TRACEABLE

    def check(self) -> None:
        check_jpeg_quality(self.quality_max, self.quality_min)

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        quality = jpeg_quality(s.reshape(-1, 1, 1), self.quality_max, self.quality_min)
        coarseness = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
        luma, chroma = ((coarseness * params[f"quantization_table_{axis}"]).clamp(1, 255) for axis in "yc")
        # At quality 50 tables are used as they stand. A number on the CPU: kornia looks at its value.
        as_given = torch.full((1,), 50.0, device="cpu")
        coded = jpeg_codec_differentiable(x.expand(-1, 3, -1, -1), as_given, luma, chroma)
        return torch.where(s > 0, coded if x.shape[1] == 3 else rgb_to_grayscale(coded), x)

    def tables(self, like: Images) -> Params:
        """The quantization tables of quality 50, (8, 8), those of the standard."""
        if like.shape[1] not in (1, 3):
            raise ValueError(f"JPEG has 1 or 3 channels, got images of {like.shape[1]}")
        return {name: moved(table, like) for name, table in JPEGCodecDifferentiable().named_buffers()}
