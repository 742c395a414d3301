"""Film strips, films and trajectories."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from colddiff import GaussianBlur, PixelMask, viz, walk


def cell(sheet, column, row=0, *, side, left=0):
    """The pixels of a picture on a sheet of squares, in [0, 1]."""
    x, y = left + viz.GAP + column * (side + viz.GAP), viz.GAP + row * (side + 2 * viz.GAP)
    return np.asarray(sheet.crop((x, y, x + side, y + side))).astype(float) / 255


def test_the_kth_picture_of_a_strip_is_the_degradation_at_its_time(images):
    x, op = images(2, 3, 64, 64), GaussianBlur(sigma_max=6.0)
    times = (0.0, 0.3, 1.0)
    strip = viz.film_strip(op, x, times)
    for k, t in enumerate(times):
        for i, frame in enumerate(op(x, t)):
            assert np.abs(cell(strip, k, i, side=64) - frame.permute(1, 2, 0).numpy()).max() <= 0.51 / 255
    assert strip.height > 2 * (64 + 2 * viz.GAP), "no room for the times"


def test_a_film_keeps_its_params(images):
    x, op = images(1, 1, 16, 16) / 2, PixelMask(fill=(1.0,))
    shown = viz.film(op, x, 5, generator=torch.Generator().manual_seed(0))
    gone = shown == 1
    assert shown.shape == (5, 1, 1, 16, 16) and torch.equal(shown[0], x) and bool(gone[-1].all())
    assert all(bool((later | ~before).all()) for before, later in pairwise(gone)), "a lost pixel came back"
    drawn = op.draw(x, torch.Generator().manual_seed(0))
    assert torch.equal(viz.film(op, x, 5, params=drawn), shown)


@pytest.mark.parametrize("times", [0, -1, ()])
def test_a_film_without_a_time_is_refused(times):
    with pytest.raises(ValueError, match="at least one time"):
        viz.film(GaussianBlur(), torch.rand(1, 1, 8, 8), times)


@pytest.fixture
def walked(images):
    """Where a walk began, its four states, and what the restorer said: darker greys at every step."""
    op, said = GaussianBlur(sigma_max=3.0), iter((0.8, 0.6, 0.4, 0.2))
    x = op(images(1, 1, 64, 64), 1.0)
    return x, [*walk(lambda x, t: torch.full_like(x, next(said)), op.bind(like=x), x, steps=4)]


def test_a_trajectory_shows_x_t_above_what_is_made_of_it(walked):
    x, states = walked
    sheet = viz.trajectory(x, states)
    left = sheet.width - 5 * (64 + viz.GAP) - viz.GAP
    for k, shown in enumerate([x, *(s.x for s in states)]):
        assert np.allclose(cell(sheet, k, side=64, left=left)[..., 0], shown[0, 0].clamp(0, 1), atol=0.51 / 255)
    below = [cell(sheet, k, 1, side=64, left=left) for k in range(5)]
    assert [round(float(c.mean()), 1) for c in below] == [0.8, 0.6, 0.4, 0.2, 1.0], "the last is blank"


def test_a_long_trajectory_is_thinned_and_keeps_its_ends(walked):
    x, states = walked
    sheet = viz.trajectory(x, states, columns=3)
    left = sheet.width - 3 * (64 + viz.GAP) - viz.GAP
    for k, shown in enumerate((x, states[1].x, states[-1].x)):
        assert np.allclose(cell(sheet, k, side=64, left=left)[..., 0], shown[0, 0].clamp(0, 1), atol=0.51 / 255)


def test_an_animation_has_a_picture_of_every_state_and_of_the_beginning(walked, tmp_path):
    x, states = walked
    with Image.open(viz.save(viz.frames(x, states), tmp_path / "a.gif", last=2.0)) as animation:
        assert animation.n_frames == len(states) + 1
        shown = []
        for k in range(animation.n_frames):
            animation.seek(k)
            shown.append(animation.info["duration"])
    assert shown == [150, 150, 150, 150, 2000]


def test_a_trajectory_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one state, got none"):
        viz.trajectory(torch.rand(1, 1, 8, 8), [])
