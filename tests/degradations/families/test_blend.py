"""Blend: what it computes, against a slow twin."""

import pytest
import torch
from support.comparing import distance

from colddiff import GaussianMask, PixelMask


def test_fill_is_one_colour_or_one_per_channel(images) -> None:
    x = images(1, 3, 2, 2)
    D = PixelMask(fill=(0.1, 0.2, 0.3)).bind({"rank": torch.zeros(1, 1, 2, 2)}, like=x)
    assert distance(D(x, 1.0), torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64).view(1, 3, 1, 1).expand_as(x)) < 1e-15
    with pytest.raises(ValueError, match="one per channel, 1, got"):
        PixelMask(fill=(0.1, 0.2, 0.3)).bind(like=x[:, :1])


@pytest.mark.parametrize("fill", [(), (float("nan"),), (1.5,)])
@pytest.mark.parametrize("kind", [GaussianMask, PixelMask])
def test_a_fill_is_a_colour(kind, fill) -> None:
    with pytest.raises(ValueError, match="fill must be one number, or one per channel"):
        kind(fill=fill)
