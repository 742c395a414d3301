"""Motion blur: what it computes, against a slow twin."""

import math

import kornia
import numpy as np
import pytest
import scipy.ndimage
import torch
from support.comparing import distance
from torch import Tensor

from colddiff import Claims, MotionBlur
from colddiff.degradations.operators import motion_blur
from colddiff.testing.reporting import seeded


@pytest.mark.parametrize(
    ("border", "scipys_name"), [("reflect", "mirror"), ("symmetric", "reflect"), ("circular", "grid-wrap")]
)
def test_motion_blur_is_the_mean_of_the_picture_along_a_segment(border, scipys_name, images) -> None:
    x, op = images(4, 1, 9, 7), MotionBlur(length=5.5, border=border)
    t, angle = (0.1, 0.5, 0.77, 1.0), (10.0, 90.0, 135.0, 61.0)
    y = op(x, torch.tensor(t, dtype=torch.float64), {"angle": torch.tensor(angle, dtype=torch.float64)})
    rows, columns = np.mgrid[:9, :7]
    count = motion_blur.DENSITY * 6
    for i in range(4):
        expected = np.zeros((9, 7))
        for k in range(count):
            along = 5.5 * t[i] * ((k + 0.5) / count - 0.5)
            right, up = along * math.cos(math.radians(angle[i])), along * math.sin(math.radians(angle[i]))
            place = [rows - up, columns + right]
            expected += scipy.ndimage.map_coordinates(x[i, 0].numpy(), place, order=1, mode=scipys_name) / count
        assert distance(y[i, 0], torch.from_numpy(expected)) < 1e-12


def orientation(streak: Tensor) -> float:
    """The angle of a blurred point's long axis, in degrees counter-clockwise from the x axis, in [0, 180)."""
    centre = streak.shape[-1] // 2
    right = torch.arange(streak.shape[-1], dtype=streak.dtype)[None] - centre
    up = centre - torch.arange(streak.shape[-2], dtype=streak.dtype)[:, None]
    across, along, both = ((streak * m).sum() for m in (right**2, up**2, right * up))
    return float(torch.rad2deg(torch.atan2(2 * both, across - along)) / 2) % 180


@pytest.mark.parametrize("angle", [25.0, 45.0, 70.0, 110.0, 150.0])
def test_motion_blur_counts_angles_as_kornia_does(angle) -> None:
    point = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    point[..., 10, 10] = 1
    ours = MotionBlur(length=11, angle=angle)(point, 1.0)[0, 0]
    theirs = kornia.filters.motion_blur(point, 11, angle, 0.0, mode="bilinear")[0, 0]
    assert orientation(ours) == pytest.approx(angle, abs=1)
    assert orientation(theirs) == pytest.approx(angle, abs=3)


def test_more_points_on_the_segment_would_not_change_motion_blur(monkeypatch) -> None:
    point = torch.zeros(19, 1, 21, 21, dtype=torch.float64)
    point[..., 10, 10] = 1
    params = {"angle": torch.arange(0, 190, 10, dtype=torch.float64)}
    for length in (0.7, 3.0, 9.0):
        op = MotionBlur(length=length)
        kernels = op(point, 1.0, params)
        assert kernels.sum(dim=(1, 2, 3)).sub(1).abs().max() < 1e-12
        with monkeypatch.context() as patch:
            patch.setattr(motion_blur, "DENSITY", 512)
            assert distance(op(point, 1.0, params), kernels) < 1e-3


def test_motion_blur_is_continuous_in_time(images) -> None:
    x, t = images(1, 1, 8, 8).expand(901, -1, -1, -1), torch.linspace(0, 1, 901, dtype=torch.float64)
    y = MotionBlur(length=9, angle=30)(x, t)  # a hundredth of a pixel from one to the next
    assert distance(y[1:], y[:-1]) < 0.01


def test_stripes_vanish_in_motion_blur_and_come_back() -> None:
    x = (torch.arange(16) % 4 < 2).double().expand(1, 1, 16, 16)
    op = MotionBlur(length=8, angle=0, border="circular")
    assert distance(op(x, 0.5), torch.full_like(x, 0.5)) < 1e-12
    far, nearer = (float((op(x, t) - x).abs().mean()) for t in (0.7, 0.9))
    assert far > nearer + 0.01
    assert Claims.MONOTONE not in op.claims


def test_motion_blur_draws_an_angle_per_image_unless_it_has_one(images) -> None:
    x = images(1000, 1, 1, 1)
    angle = MotionBlur().draw(x, seeded(0))["angle"]
    assert angle.shape == (1000,) and float(angle.min()) >= 0 and 170 < float(angle.max()) < 180
    assert not MotionBlur().deterministic and MotionBlur(angle=0).deterministic
    assert MotionBlur(angle=0).draw(x, seeded(0)) == {}
