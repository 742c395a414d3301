"""Images as people hold them: tensors, arrays, Pillow pictures and files, as a batch and back as the same kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .image_io import naming, to_image, to_tensor

FARTHEST = 16.0  # from 0 that floats in [0, 1] may be with noise on them
TOGETHER = 32  # pictures of one size that are treated as one batch
WHITE = {torch.uint8: 255, torch.bool: 1}

Read = Callable[[str | Path | Image.Image], Image.Image]
Batch = tuple[Tensor, Callable[[Tensor], Any]]


def apply_to_images(fn: Callable[[Tensor, Sequence[int]], Tensor], images: Any, read: Read) -> Any:
    """fn of a batch (B, C, H, W) applied to images of any kind; answers of the same kind.

    Args:
        fn: from images in [0, 1], and their places among all of them, to as many of the same size.
        images: a tensor (B, C, H, W), (C, H, W) or (H, W); an array (N, H, W, C), (H, W, C) or (H, W), in uint8,
            float or bool; a Pillow picture; a path, answered by a Pillow picture; or a list of any of them, answered
            by a list.
        read: what makes a picture of mode L or RGB of a path or of a picture of any mode.

    Raises:
        TypeError: not images. ValueError: images of no such shape or range, or no readable picture.
        FileNotFoundError: no picture at a path.
    """
    if not isinstance(images, list | tuple):
        batch, back = to_batch(images, read)
        return back(fn(batch, range(len(batch))) if len(batch) else batch)
    batches = [to_batch(image, read) for image in images]
    ends = [*accumulate(len(batch) for batch, _ in batches)]
    answers: list[Any] = [None] * len(batches)
    for group in _alike([batch for batch, _ in batches]):
        sizes = [len(batches[i][0]) for i in group]
        places = [place for i, n in zip(group, sizes, strict=True) for place in range(ends[i] - n, ends[i])]
        done = torch.split(fn(torch.cat([batches[i][0] for i in group]), places), sizes)
        for i, part in zip(group, done, strict=True):
            answers[i] = batches[i][1](part)
    return answers


def to_batch(image: Any, read: Read) -> Batch:
    """Images of one kind as a float batch (B, C, H, W) in [0, 1], and what makes that kind of a batch again."""
    if isinstance(image, Tensor):
        return _of_tensor(image)
    if isinstance(image, np.ndarray):
        return _of_array(image)
    if isinstance(image, str | Path | Image.Image):
        with naming(image):
            picture = read(image)
        return to_tensor(picture)[None].float() / 255, lambda x: to_image(x[0])
    raise TypeError(
        f"expected a tensor, an array, a Pillow picture, a path or a list of them, got {type(image).__name__}"
    )


def _of_tensor(image: Tensor) -> Batch:
    if not 2 <= image.dim() <= 4:
        raise ValueError(f"expected a tensor (B, C, H, W), (C, H, W) or (H, W), got shape {tuple(image.shape)}")
    if not image.is_floating_point() and image.dtype not in WHITE:
        raise TypeError(f"expected pixels of uint8, of bool, or of floats in [0, 1], got {image.dtype}")
    if image.layout != torch.strided or image.is_meta:
        raise TypeError(f"expected a dense tensor with values, got one of {image.layout} on {image.device}")
    batch = image[(None,) * (4 - image.dim())]
    white = WHITE.get(image.dtype)
    if white is None:
        _check_range(batch.float())

    def back(x: Tensor) -> Tensor:
        x = x if white is None else (x * white).round()
        return x.to(image.device, image.dtype).reshape(image.shape)

    return batch.float() / (white or 1), back


def _of_array(image: np.ndarray[Any, Any]) -> Batch:
    channels_last = image.ndim in (3, 4) and image.shape[-1] <= 4
    if not (channels_last or image.ndim == 2):
        raise ValueError(f"expected an array (N, H, W, C), (H, W, C) or (H, W), got shape {image.shape}")
    if image.dtype.kind not in "buif" or image.dtype.itemsize > 8:
        raise TypeError(f"expected pixels of uint8, of bool, or of floats in [0, 1], got {image.dtype}")
    tensor = torch.from_numpy(np.array(image, dtype=image.dtype.newbyteorder("=")))
    axes = [*range(image.ndim - 3), -1, -3, -2]
    batch, tensor_back = _of_tensor(tensor if image.ndim == 2 else tensor.permute(axes))

    def back(x: Tensor) -> np.ndarray[Any, Any]:
        y = tensor_back(x)
        array: np.ndarray[Any, Any] = (y if y.dim() == 2 else y.movedim(-3, -1)).numpy()
        return np.ascontiguousarray(array)

    return batch, back


def _check_range(pixels: Tensor) -> None:
    """Raise for floats that are no image, however much noise lies on it: seen once, where a user hands them in."""
    if not pixels.numel():
        return
    low, high = (float(value) for value in pixels.detach().aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"expected floats in [0, 1], got {low:g} to {high:g}: NaN and infinity are no pixels")
    if max(-low, high) >= FARTHEST:
        raise ValueError(f"expected floats in [0, 1], got {low:g} to {high:g}: divide by 255, say")


def _alike(batches: list[Tensor]) -> list[list[int]]:
    """Indices of batches of one size, dtype and device, so many together as are worth it."""
    groups: list[list[int]] = []
    open_groups: dict[Any, list[int]] = {}
    for i, batch in enumerate(batches):
        key = (batch.shape[1:], batch.dtype, batch.device)
        group = open_groups.get(key)
        if group is None or sum(len(batches[k]) for k in group) + len(batch) > TOGETHER:
            group = open_groups[key] = []
            groups.append(group)
        group.append(i)
    return groups
