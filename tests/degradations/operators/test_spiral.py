"""Spiral: what it computes, against a slow twin."""

import math

import pytest
import torch
from support.operators import drawn

from colddiff.degradations.operators.spiral import Spiral, spiral_order


def walked(h: int, w: int) -> list[tuple[int, int]]:
    """The pixels in the order of a walk right 1, down 1, left 2, up 2, right 3 .., those outside left out."""
    row, column, found = (h - 1) // 2, (w - 1) // 2, [((h - 1) // 2, (w - 1) // 2)]
    for leg in range(2 * max(h, w) + 2):
        dy, dx = [(0, 1), (1, 0), (0, -1), (-1, 0)][leg % 4]
        for _ in range(leg // 2 + 1):
            row, column = row + dy, column + dx
            if 0 <= row < h and 0 <= column < w:
                found.append((row, column))
    return found


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 1), (4, 4), (5, 5), (3, 8), (9, 4), (32, 32)])
def test_the_spiral_is_walked_pixel_by_pixel(size) -> None:
    order = spiral_order(*size)
    assert [divmod(int(i), size[1]) for i in order.flatten().argsort()] == walked(*size)
    assert sorted(order.flatten().tolist()) == list(range(size[0] * size[1]))


@pytest.mark.parametrize(("size", "num_steps"), [((4, 4), 16), ((5, 3), 4), ((1, 1), 3), ((3, 3), 100)])
def test_level_k_of_a_spiral_has_lost_its_share_of_the_pixels(size, num_steps) -> None:
    op, x = Spiral(num_steps=num_steps, fill=(1.0,)), torch.zeros(1, 2, *size)
    D = op.bind(like=x)
    for k in range(num_steps + 1):
        count = math.floor(k * size[0] * size[1] / num_steps + 0.5)
        expected = x.clone()
        for row, column in walked(*size)[:count]:
            expected[:, :, row, column] = 1
        assert torch.equal(D(x, k / num_steps), expected), k


def test_a_random_fill_is_one_light_colour_per_image() -> None:
    op, x = Spiral(num_steps=4, random_fill=True), torch.zeros(500, 3, 2, 2)
    params = drawn(op, x)
    assert params["color"].shape == (500, 3, 1, 1)
    assert 0.5 <= float(params["color"].min()) < 0.51 and 0.99 < float(params["color"].max()) < 1
    assert torch.equal(op(x, 1.0, params), params["color"].expand_as(x))


def test_a_spiral_of_a_given_colour_has_nothing_to_find(images) -> None:
    x = images(1, 3, 4, 4)
    assert Spiral().observe(x, torch.tensor([0.5])) == {} and Spiral().deterministic
