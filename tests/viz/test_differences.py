"""Maps of what changed."""

import numpy as np
import pytest
import torch

from colddiff import viz


def cell(sheet, column, row=0, *, side, left=0):
    """The pixels of a picture on a sheet of squares, in [0, 1]."""
    x, y = left + viz.GAP + column * (side + viz.GAP), viz.GAP + row * (side + 2 * viz.GAP)
    return np.asarray(sheet.crop((x, y, x + side, y + side))).astype(float) / 255


@pytest.mark.parametrize(("absolute", "centre"), [(False, (247, 247, 247)), (True, (255, 255, 255))])
def test_the_map_of_equal_pictures_is_one_colour(absolute, centre, images):
    x = images(3, 64, 64)
    sheet = viz.difference(x, x, absolute=absolute, zoom=1)
    assert (cell(sheet, 2, side=64) * 255 == centre).all()


def test_a_map_is_blue_where_it_got_darker_and_red_where_brighter():
    a, b = torch.full((1, 64, 64), 0.5), torch.full((1, 64, 64), 0.5)
    b[:, :32], b[:, 32:48] = 0.3, 0.6
    seen = cell(viz.difference(a, b, zoom=1), 2, side=64)
    assert (seen[:32, :, 2] > seen[:32, :, 0]).all() and (seen[32:48, :, 0] > seen[32:48, :, 2]).all()
    assert np.ptp(seen[48:], axis=(0, 1)).max() == 0 and seen[0, 0].sum() < seen[40, 0].sum(), "0.2 is darker than 0.1"
    half = viz.difference_map(a, b, limit=0.4)
    assert torch.allclose(half[:, 0, 0] * 255, torch.tensor([67.0, 147.0, 195.0]).double()), "half way to -0.4"


def test_a_few_pixels_do_not_make_a_map_pale():
    a, b = torch.zeros(1, 64, 64), torch.full((1, 64, 64), 0.1)
    b[0, 0, :16] = 1.0  # 16 of 4096
    assert torch.equal(viz.difference_map(a, b)[:, 9, 9], viz.difference_map(a, b)[:, 0, 0])
    assert torch.equal(viz.difference_map(a, b, limit=1.0)[:, 0, 0], viz.difference_map(a, b)[:, 0, 0])
    within, beyond = viz.difference(a, b.clamp(max=0.1)), viz.difference(a, b)
    assert beyond.width > within.width, "the bar says that there is more"


def test_a_change_of_hue_alone_is_seen_without_the_sign():
    a, b = torch.zeros(3, 8, 8), torch.zeros(3, 8, 8)
    a[0], b[1] = 0.5, 0.5
    assert (viz.difference_map(a, b) > 0.96).all() and (viz.difference_map(a, b, absolute=True) < 0.5).any()


def test_pictures_that_are_not_alike_have_no_difference():
    with pytest.raises(ValueError, match="must be alike, got 8 x 6 pixels in colour and 8 x 6 pixels grey"):
        viz.difference(torch.rand(3, 6, 8), torch.rand(1, 6, 8))
    with pytest.raises(ValueError, match="limit must be > 0, got 0"):
        viz.difference(torch.rand(1, 6, 8), torch.rand(1, 6, 8), limit=0.0)
