"""Gaussian mask: what it computes, against a slow twin."""

import pytest
import torch
from support.comparing import distance, seeded
from support.operators import drawn, kept_by_steps
from torch import Tensor

from colddiff import GaussianMask


def explicit_mask(op: GaussianMask, k: int, center: tuple[float, float], h: int, w: int) -> Tensor:
    rows, columns = torch.arange(h).double()[:, None], torch.arange(w).double()[None]
    r2 = (rows - center[0]) ** 2 + (columns - center[1]) ** 2
    keep = torch.ones(h, w, dtype=torch.float64)
    for i in range(k):
        keep = keep * (1 - torch.exp(-r2 / (2 * (op.kernel_std * (i + op.initial_mask)) ** 2)))
    return keep


@pytest.mark.parametrize("op", [GaussianMask(), GaussianMask(num_steps=8, kernel_std=0.3, initial_mask=1)], ids=str)
def test_gaussian_mask_is_the_product_of_its_steps(op, images) -> None:
    x = images(2, 1, 9, 13)
    params = {"center": torch.tensor([[-1.0, 4.0], [8.0, 12.0]])}
    for k in (1, 2, op.num_steps // 2, op.num_steps):
        y = op(x, k / op.num_steps, params)
        for i, center in enumerate(params["center"].tolist()):
            keep = explicit_mask(op, k, center, 9, 13)
            assert distance(y[i, 0], keep * x[i, 0] + (1 - keep) * 0.5) < 1e-12


def test_a_random_centre_covers_the_picture_and_one_pixel_before_it(images) -> None:
    center = GaussianMask().draw(images(4000, 1, 3, 2), torch.Generator().manual_seed(0))["center"]
    found = {tuple(c) for c in center.tolist()}
    assert found == {(float(i), float(j)) for i in range(-1, 3) for j in range(-1, 2)}


def test_a_fixed_centre_is_the_middle(images) -> None:
    D = GaussianMask(random_center=False).bind(like=images(2, 1, 28, 31))
    assert D.tables["center"].tolist() == [[13, 14]]


def test_a_centre_far_outside_leaves_the_picture_nearly_whole(images) -> None:
    x = images(1, 1, 8, 8)
    found = GaussianMask(num_steps=5)(x, 1.0, {"center": torch.tensor([[500.0, -500.0]])})
    assert (found - x).abs().max() < 0.05


def test_a_hole_in_the_middle_serves_any_batch_and_needs_no_bind(images) -> None:
    op, x = GaussianMask(random_center=False), images(3, 1, 8, 8)
    D = op.bind(like=x)
    assert torch.equal(D(x[:2], 0.5), D(x, 0.5)[:2])
    moving = GaussianMask()
    params = moving.draw(x, seeded(0))
    half = torch.full((3, 1, 1, 1), 0.5, dtype=torch.float64)
    assert torch.equal(moving.degrade(x, half, params | moving.tables(x)), moving(x, 0.5, params))


def test_a_hole_that_does_not_grow_is_the_power_of_its_one_step(images) -> None:
    x = images(1, 1, 9, 9)
    for initial in (1, 11):
        op = GaussianMask(num_steps=6, kernel_std=1.7, initial_mask=initial, random_center=False, growing=False)
        kept = kept_by_steps(op, [1.7], 9, 9)[1]
        for k in (1, 3, 6):
            assert distance(op(x, k / 6), 0.5 + kept**k * (x - 0.5)) < 1e-12


def test_the_centre_of_a_hole_is_read_off_the_picture(images) -> None:
    op, x = GaussianMask(num_steps=20, kernel_std=2.0, growing=False), images(4, 3, 24, 20)
    params = drawn(op, x)
    for t in (torch.full((4,), 0.5), torch.tensor([0.2, 0.5, 0.7, 1.0])):
        assert torch.equal(op.observe(op(x, t, params), t)["center"], params["center"])
