"""`colddiff plot trajectory`: a walk as a sheet or an animation."""

import pytest
import torch
from PIL import Image
from support.bad_inputs import lines_of
from support.command_line import told
from support.tiny import Same, run_of

from colddiff import PixelMask, load
from colddiff.apps.cli.commands.plot_trajectory import _generated

WALK = ["trajectory", "digits", "digit.png", "--degrade", "--steps", "4"]


def test_a_walk_is_a_sheet_or_an_animation(here, capsys):
    assert "4 steps from t = 1 to t = 0 in walk.png" in told(capsys, *WALK, "--out", "walk.png")
    told(capsys, *WALK, "--start", "0.5", "--out", "walk.gif")
    with Image.open("walk.png") as sheet, Image.open("walk.gif") as animation:
        assert sheet.width > 5 * 64 and animation.n_frames == 5


@pytest.mark.parametrize("random", [False, True])
def test_a_walk_is_what_restore_does(random, here, capsys, monkeypatch):
    """The picture at its end is that of `colddiff restore`, damaged by the same seed."""
    if random:
        monkeypatch.setattr("colddiff.models.serialization.load", lambda *_, **__: run_of(Same(), PixelMask()))
    told(capsys, *WALK, "--start", "0.5", "--out", "walk.png")
    line = ["restore", "digits", "digit.png", "--degrade", "--start", "0.5", "--steps", "4", "--out", "o"]
    assert lines_of(capsys, *line) == (0, [])
    with Image.open("walk.png") as sheet, Image.open("o/digit.png") as row:
        last = sheet.convert("L").crop((sheet.width - 66, 2, sheet.width - 2, 66)).resize((16, 16), 0)
        restored = row.convert("L").crop((38, 2, 54, 18))
    assert [*last.get_flattened_data()] == [*restored.get_flattened_data()]


def test_without_a_picture_the_walk_is_that_of_sample(here, capsys):
    told(capsys, "trajectory", "digits", "--steps", "3", "--seed", "5", "--out", "made.gif")
    run = load("digits", precision="fp32")
    _, states = _generated(run, 3, None, 5)
    rounding = 576 * 12 * 3 * torch.finfo(torch.float32).eps  # sums of at most 9 x 64 terms, 12 layers, 3 steps
    assert torch.allclose(states[-1].x.clamp(0, 1), run.sample([5], steps=3), atol=rounding)
    with Image.open("made.gif") as animation:
        assert animation.n_frames == 4
