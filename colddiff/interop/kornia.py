"""Degradations among the augmentations of Kornia; `degradations.from_kornia` is the way back."""

from __future__ import annotations

from typing import Any

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from torch import Tensor

from ..degradations.base import Degradation
from .random_params import Times, check_known, drawn, time_range

OWN = "param."  # before our names: Kornia puts its own beside them


class AsAugmentation(IntensityAugmentationBase2D):
    """A degradation as an intensity augmentation of Kornia, for images in [0, 1], alone or in a sequence.

    The time of each image ("t") and its params ("param.noise", say) are among the augmentation's `_params`, so that
    `aug(x, params=aug._params)` gives the same images. Masks, boxes and keypoints pass.

    Args:
        degradation: which draws all it needs.
        t: the time of every image, or the range in [0, 1] from which each is drawn evenly.
        p: the share of images that are damaged.
        same_on_batch: one time and one draw for all images of a batch.
        keepdim: give an image (C, H, W) back as one, and not as a batch of one.
        generator: on the CPU, for times and params; None is torch's own, as everywhere in Kornia.

    Raises:
        ValueError: t out of range, or a degradation whose params come with the data.
    """

    def __init__(
        self, degradation: Degradation, t: Times = (0.0, 1.0), *, p: float = 1.0, same_on_batch: bool = False,
        keepdim: bool = False, generator: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        check_known(degradation)
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self.degradation, self.t, self.generator = degradation, time_range(t), generator

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        number = min(1, batch_shape[0]) if self.same_on_batch else batch_shape[0]
        t, params = drawn(self.degradation, torch.empty(number, *batch_shape[1:]), self.t, self.generator)
        told = {"t": t} | {f"{OWN}{name}": value for name, value in params.items()}
        return {name: value.expand(batch_shape[0], *value.shape[1:]) for name, value in told.items()}

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        own = {name.removeprefix(OWN): value for name, value in params.items() if name.startswith(OWN)}
        return self.degradation(input, params["t"], own)
