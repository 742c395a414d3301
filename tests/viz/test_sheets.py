"""Pictures, grids and sheets, and their files."""

import numpy as np
import pytest
import torch
from PIL import Image

from colddiff import viz


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


def test_captions_are_cut_where_they_do_not_fit():
    rows = [("", torch.zeros(2, 1, 64, 64))]
    short, long = (viz.labelled_rows(rows, ["t = 0.00", text]) for text in ("t = 1.00", "a name that nobody can see"))
    assert short.size == long.size
    ink = np.asarray(long.convert("L"))[68:, : 64 + 2 * viz.GAP]
    assert np.array_equal(ink, np.asarray(short.convert("L"))[68:, : 64 + 2 * viz.GAP]), "it ran into its neighbour"
