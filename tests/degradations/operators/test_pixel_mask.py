"""Pixel mask: what it computes, against a slow twin."""

import pytest
import torch

from colddiff import PixelMask


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixel_masks_are_nested_and_grow_to_everything(dtype, images) -> None:
    x = images(2, 3, 6, 5)
    op = PixelMask(fill=(1.0,))
    D = op.bind(op.draw(x.to(dtype), torch.Generator().manual_seed(0)), like=x)
    gone = torch.stack([(D(x, k / 30) == 1).all(dim=1) for k in range(31)])
    assert gone.sum(dim=(2, 3)).tolist() == [[k, k] for k in range(31)]
    assert bool((gone[:-1] <= gone[1:]).all())


def test_a_rank_of_zero_is_still_there_at_time_zero(images) -> None:
    x = images(1, 1, 2, 2)
    assert torch.equal(PixelMask()(x, 0.0, {"rank": torch.zeros(1, 1, 2, 2)}), x)
