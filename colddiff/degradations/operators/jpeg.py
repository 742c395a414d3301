"""JPEG, as a differentiable formula and by Pillow's codec."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
import torch
from kornia.color import rgb_to_grayscale
from kornia.enhance import JPEGCodecDifferentiable, jpeg_codec_differentiable
from PIL import Image
from torch import Tensor

from ...utils.config import register
from ...utils.numerics import moved
from ..base import Claims, Degradation, Images, Params


@register("jpeg_pillow")
@dataclass(frozen=True, kw_only=True)
class JpegPillow(Degradation):
    """JPEG by Pillow, of a whole quality that falls with s, by nearly equal decibels; clean at s = 0.

    A black box of 8 bits: values are clipped to [0, 1] and rounded to 1/255 first, images are coded one by one on the
    CPU, and there are no gradients. `Jpeg` is the same as a formula.

    Source: ITU-T T.81, as libjpeg has it.

    Args:
        quality_max: quality just after t = 0, at most 99.
        quality_min: quality at t = 1, at least 1.
        subsampling: "4:2:0" halves the resolution of colour, "4:4:4" keeps it.

    Raises:
        ValueError: images of other than 1 or 3 channels.
    """

    quality_max: float = 95.0
    quality_min: float = 5.0
    subsampling: Literal["4:2:0", "4:4:4"] = "4:2:0"

    def check(self) -> None:
        check_jpeg_quality(self.quality_max, self.quality_min)

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        if x.shape[1] not in (1, 3):
            raise ValueError(f"JPEG has 1 or 3 channels, got images of {x.shape[1]}")
        if x.is_meta:
            return torch.empty_like(x)
        quality = jpeg_quality(s.detach().flatten(), self.quality_max, self.quality_min).round().int().tolist()
        pixels = (255 * x.detach().clamp(0, 1)).round().byte().movedim(1, -1).cpu().numpy()
        coded = np.stack([self._coded(picture, q) for picture, q in zip(pixels, quality, strict=True)])
        return torch.where(s > 0, moved(torch.from_numpy(coded), x).movedim(-1, 1) / 255, x)

    def _coded(self, pixels: np.ndarray[Any, Any], quality: int) -> np.ndarray[Any, Any]:
        """An image (H, W, C) of bytes, there and back."""
        file = BytesIO()
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        picture.save(file, "JPEG", quality=quality, subsampling=self.subsampling)
        with Image.open(file, formats=("JPEG",)) as opened:
            return np.asarray(opened).reshape(pixels.shape)


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


def jpeg_quality(s: Tensor, highest: float, lowest: float) -> Tensor:
    """JPEG quality at severity s, from the highest to the lowest, in [1, 99] both.

    Quantization steps grow geometrically: with them a photograph loses nearly equal decibels per step of s. A quality
    q multiplies the steps of the standard by 50 / q below 50, and by 2 - q / 50 above.
    """
    finest, coarsest = (50 / q if q < 50 else 2 - q / 50 for q in (highest, lowest))
    step = finest * (coarsest / finest) ** s
    return torch.where(step > 1, 50 / step, 100 - 50 * step)


def check_jpeg_quality(highest: float, lowest: float) -> None:
    """Raise unless two qualities are what `jpeg_quality` goes between."""
    if not 1 <= lowest <= highest <= 99:
        raise ValueError(f"expected 1 <= quality_min <= quality_max <= 99, got {lowest} and {highest}")
