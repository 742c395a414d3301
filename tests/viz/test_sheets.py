"""Pictures show what the tensors hold."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from colddiff import GaussianBlur, PixelMask, viz, walk


def test_a_picture_is_clamped_and_rounded():
    x = torch.tensor([-1.0, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 2.0]).reshape(1, 2, 3)
    assert np.asarray(viz.to_image(x)).tolist() == [[0, 0, 0], [1, 255, 255]]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (5, "RGB")])
def test_any_number_of_channels_is_shown(channels, mode):
    assert viz.to_image(torch.rand(channels, 4, 5)).mode == mode


def test_a_grid_goes_row_by_row():
    images = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 1, 4, 5) / 255
    sheet = viz.grid(images, 3, zoom=2)
    assert sheet.size == (3 * (10 + viz.GAP) + viz.GAP, 2 * (8 + viz.GAP) + viz.GAP)
    middles = [sheet.getpixel((7 + 12 * column, 6 + 10 * row))[0] for row in range(2) for column in range(3)]
    assert middles == list(range(6))


def test_rows_are_labelled_and_may_differ_in_length():
    rows = [("one", torch.zeros(2, 3, 8, 8)), ("a longer label", torch.zeros(2, 3, 8, 8))]
    sheet = viz.labelled_rows(rows)
    assert sheet.height == 2 * viz.labelled_rows(rows[:1]).height
    assert sheet.convert("L").getextrema() == (0, 255)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".gif", ".webp"])
def test_pictures_are_written_in_the_format_of_their_name(suffix, tmp_path):
    path = viz.save(viz.to_image(torch.rand(3, 8, 8)), tmp_path / "deep" / f"a{suffix}")
    with Image.open(path) as image:
        assert image.size == (8, 8)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_several_pictures_are_an_animation(tmp_path):
    frames = [viz.to_image(torch.full((1, 8, 8), v)) for v in (0.0, 0.5, 1.0)]
    with Image.open(viz.save(frames, tmp_path / "a.gif", seconds=0.2)) as image:
        assert image.n_frames == 3 and image.info["duration"] == 200


@pytest.mark.parametrize("name", ["a", "a.txt", "a.psd"])
def test_a_name_that_no_picture_can_have_is_refused_and_nothing_is_written(name, tmp_path):
    with pytest.raises(ValueError, match=f"cannot write '{name}' as a picture"):
        viz.save(viz.to_image(torch.rand(3, 8, 8)), tmp_path / name)
    assert not [*tmp_path.iterdir()]


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        viz.save(viz.to_image(torch.rand(3, 8, 8)), tmp_path / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


# --- films ------------------------------------------------------------------------------------------------------------


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


# --- differences ------------------------------------------------------------------------------------------------------


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


def test_captions_are_cut_where_they_do_not_fit():
    rows = [("", torch.zeros(2, 1, 64, 64))]
    short, long = (viz.labelled_rows(rows, ["t = 0.00", text]) for text in ("t = 1.00", "a name that nobody can see"))
    assert short.size == long.size
    ink = np.asarray(long.convert("L"))[68:, : 64 + 2 * viz.GAP]
    assert np.array_equal(ink, np.asarray(short.convert("L"))[68:, : 64 + 2 * viz.GAP]), "it ran into its neighbour"
