"""Colour mask: what it computes, against a slow twin."""

import pytest
import torch
from support.comparing import distance
from support.operators import drawn, kept_by_steps

from colddiff import improved, naive
from colddiff.degradations.operators.colour_mask import ColourMask


@pytest.mark.parametrize("size", [(8, 8), (9, 5), (1, 1), (2, 7)])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_colour_mask_is_the_product_of_its_steps(reverse, size, images) -> None:
    op = ColourMask(num_steps=7, kernel_std=0.4, initial_mask=2, reverse=reverse)
    x = images(2, 3, *size)
    params = drawn(op, x)
    kept = kept_by_steps(op, [0.4 * (i + 2) for i in range(7)], *size)
    for k in range(1, 8):
        alpha = 1 - kept[7 - k] if reverse else kept[k]
        assert distance(op(x, k / 7, params), alpha * x + (1 - alpha) * params["color"]) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_reversed_colour_mask_ends_in_the_colour_and_takes_the_border_first(dtype, images) -> None:
    op = ColourMask(num_steps=30, kernel_std=0.2)
    x = images(2, 3, 16, 16, dtype=dtype)
    D = op.bind(drawn(op, x), like=x)
    assert torch.equal(D(x, 1.0), D.params["color"].expand_as(x))
    gone = ((D(x, 0.5) - x) / (D.params["color"] - x))[:, 0]
    assert bool((gone[:, 0, 0] > 0.9).all()) and bool((gone[:, 7, 7].abs() < 1e-6).all())


def test_a_colour_is_drawn_for_every_image_and_channel(images) -> None:
    color = drawn(ColourMask(), images(500, 3, 1, 1))["color"]
    assert color.shape == (500, 3, 1, 1)
    assert 0.25 <= float(color.min()) < 0.26 and 0.74 < float(color.max()) < 0.75
    assert torch.equal(drawn(ColourMask(low=0.3, high=0.3), color)["color"], torch.full_like(color, 0.3))


def test_the_middle_of_a_reversed_colour_mask_is_seen_until_the_end(images) -> None:
    op, x, wrong = ColourMask(num_steps=8, kernel_std=0.3), images(1, 3, 9, 9), images(1, 3, 9, 9, seed=1)
    D = op.bind(drawn(op, x), like=x)
    times = torch.tensor([7 / 8, 0.5, 0.0], dtype=torch.float64)
    for sampler, kept in ((improved, x), (naive, wrong)):
        *_, end = sampler(lambda x, t: wrong, D, D(x, times[0]), times)
        assert torch.equal(end.x[..., 3, 3], kept[..., 3, 3])
