"""JPEG as cameras and the web write it."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..kernels import check_jpeg_quality, jpeg_quality, moved
from ..registry import register
from .base import Degradation, Images, Params


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
