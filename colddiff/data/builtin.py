"""Data sets that need no download: handwritten digits, and crops of photographs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .framing import Framing
from .image_io import to_tensor
from .splits import held_out


def _digits(split: str, framing: Framing) -> tuple[Tensor, str]:
    """1797 grey digits of 8 x 8 pixels, 10% of them held out."""
    from sklearn.datasets import load_digits

    grey = torch.from_numpy(load_digits().images)
    pixels = (grey * (255 / 16)).round().to(torch.uint8)[:, None]
    pixels = framing.coloured(pixels[held_out(len(pixels), split)])
    if framing.size in (None, 8):
        return pixels, "none"
    return torch.stack([frame for digit in pixels for frame in framing.tensors(digit)]), framing.words


def _photos(split: str, framing: Framing) -> tuple[Tensor, str]:
    """Crops at scales 1, 1/2 and 1/4: for training from the left four fifths of each photograph, else from the rest.

    Crops of 32 pixels where no size is given, whatever the fit; they overlap by half in training.

    Raises:
        ValueError: crops of that size do not fit.
    """
    from skimage import data as bundled
    from sklearn.datasets import load_sample_image

    side = framing.size or 32
    photographs = [getattr(bundled, name)() for name in ("astronaut", "cat", "coffee", "rocket")]
    photographs += [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
    crops = []
    for array in photographs:
        whole = framing.read(Image.fromarray(np.asarray(array)))
        # Cut before resizing, or the box filter mixes the two sides of the cut.
        edge = whole.width * 4 // 5
        left, right = {"train": (0, edge), "all": (0, whole.width)}.get(split, (edge, whole.width))
        part = whole.crop((left, 0, right, whole.height))
        step = max(side // 2, 1) if split in ("train", "all") else side
        for scale in (1, 2, 4):
            photo = part.resize((part.width // scale, part.height // scale), Image.Resampling.BOX)
            for y in range(0, photo.height - side + 1, step):
                for x in range(0, photo.width - side + 1, step):
                    crops.append(to_tensor(photo.crop((x, y, x + side, y + side))))
    if not crops:
        raise ValueError(
            f"the bundled photographs have no crops of {side} pixels in split {split!r}: use a smaller size"
        )
    # A fixed order, in which the first few are of all photographs.
    order = torch.randperm(len(crops), generator=torch.Generator().manual_seed(0))
    return torch.stack(crops)[order], f"crops of {side} px at scales 1, 1/2, 1/4 (box filter)"


# From a split and a framing to images (N, C, H, W) uint8, and how they were resized, in words.
EMBEDDED: dict[str, Callable[[str, Framing], tuple[Tensor, str]]] = {"digits": _digits, "photos": _photos}
