"""`colddiff plot`: every kind of picture from a line, every mistake in one."""

import json

import pytest
import torch
from PIL import Image
from support.bad_inputs import inside, lines_of
from support.tiny import Same, run_of

from colddiff import PixelMask, load, viz
from colddiff.apps.cli.commands.plot_trajectory import _generated

BLUR = ["--degradation", "gaussian_blur"]
ROW = {"method": "naive", "start": 1.0, "calls": 5, "rmse": {"mean": 0.1, "low": 0.1, "high": 0.1}, "kid": 0.2}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a grey digit, a colour picture of another size, and a report."""
    monkeypatch.chdir(tmp_path)
    viz.save(viz.to_image(torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))), "digit.png")
    viz.save(viz.to_image(torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))), "other.png")
    viz.save(viz.to_image(torch.rand(3, 9, 12)), "wide.png")
    (tmp_path / "report.json").write_text(json.dumps({"rows": [ROW]}))
    (tmp_path / "empty").mkdir()
    return tmp_path


def told(capsys, *arguments):
    """What a command that works prints."""
    from colddiff.apps.cli import main

    assert main.main(["plot", *map(str, arguments)]) == 0
    return capsys.readouterr().out


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
    run = load("digits")
    _, states = _generated(run, 3, None, 5)
    assert torch.allclose(states[-1].x.clamp(0, 1), run.sample([5], steps=3), atol=0.02)
    with Image.open("made.gif") as animation:
        assert animation.n_frames == 4


def test_a_difference_of_grey_and_colour_is_in_colour(here, capsys):
    assert told(capsys, "difference", "digit.png", "digit.png", "--out", "d.png").startswith("RMSE 0.0000")
    told(capsys, "difference", "digit.png", "other.png", "--absolute", "--limit", "0.5", "--out", "d.png")
    with Image.open("d.png") as sheet:
        assert sheet.mode == "RGB" and sheet.width > 3 * 64


@pytest.mark.parametrize(
    "line",
    [
        ["frequencies", *BLUR, "--degradation.sigma_max", "8"],
        ["frequencies", "other.png", "--degradation", "pixelate"],
        ["frequencies", "--degradation", "pixelate", "--image-size", "64"],
        ["schedules"],
        ["schedules", "--names", "linear,cosine,power"],
        ["tradeoff", "report.json"],
    ],
)
def test_a_plot_is_drawn_from_a_line(line, here, capsys):
    pytest.importorskip("matplotlib")
    assert "in a.png" in told(capsys, *line, "--out", "a.png")
    with Image.open("a.png") as plot:
        assert min(plot.size) > 400


@pytest.mark.parametrize("place", ["run/report", "run"])
def test_the_report_of_a_run_or_folder_is_found(place, here, capsys):
    pytest.importorskip("matplotlib")
    (here / "run" / "report").mkdir(parents=True)
    (here / "report.json").rename(here / "run" / "report" / "report.json")
    assert told(capsys, "tradeoff", place, "--out", "a.png") == "perception against distortion in a.png\n"


WRONG = {
    "no kind": ([], "but it was not provided"),
    "another kind": (["trajectoy"], "did you mean 'trajectory'"),
    "another option": (["schedules", "--nmaes", "a"], "did you mean '--names'"),
    "another kind's option": (["difference", "digit.png", "other.png", "--degradation.sigma_max", "3"],
                              "this command has no --degradation"),
    "no picture": (["difference", "digit.png", "none.png"], "no picture at 'none.png'"),
    "two sizes": (["difference", "digit.png", "wide.png"], "must be alike, got 16 x 16 pixels in colour and 12 x 9"),
    "no limit": (["difference", "digit.png", "other.png", "--limit", "0"], "limit must be > 0, got 0"),
    "over what was given": (["difference", "digit.png", "other.png", "--out", "other.png"], "would be overwritten"),
    "no format": ([*WALK, "--out", "walk.txt"], "cannot write 'walk.txt' as a picture"),
    "no run": (["trajectory", "none", "digit.png"], "is not a run"),
    "no sampler": ([*WALK, "--sampler", "nave"], "did you mean 'naive'"),
    "no start": ([*WALK, "--start", "0"], "start must be in (0, 1]"),
    "no degradation": (["frequencies", "--degradation", "gausian_blur"], "did you mean 'gaussian_blur'"),
    "no field": (["frequencies", *BLUR, "--degradation.sigma", "3"], "did you mean 'sigma_max'"),
    "no schedule": (["schedules", "--names", "linear,cosin"], "did you mean 'cosine'"),
    "no report": (["tradeoff", "none.json"], "no file 'none.json'"),
    "a picture for a report": (["tradeoff", "digit.png"], "'digit.png' is no report: give the report.json"),
    "a folder without a report": (["tradeoff", "empty"], "there is no report.json in 'empty': `colddiff eval`"),
    "empty": (["tradeoff", ""], "report is empty"),
}  # fmt: skip


@pytest.mark.parametrize("row", WRONG)
def test_a_mistake_ends_in_one_line_and_leaves_nothing(row, here, capsys):
    arguments, said = WRONG[row]
    before = inside(here)
    code, lines = lines_of(capsys, "plot", *arguments)
    assert code == 2 and len(lines) == 1 and lines[0].startswith("colddiff: ") and said in lines[0], lines
    assert inside(here) == before


@pytest.mark.parametrize("value", [[], {}, {"rows": 3}, {"rows": []}, {"rows": [{"start": 1}]}])
def test_json_that_is_no_report_is_told(value, here, capsys):
    (here / "report.json").write_text(json.dumps(value))
    code, lines = lines_of(capsys, "plot", "tradeoff", "report.json")
    assert code == 2 and len(lines) == 1 and "report" in lines[0] and "colddiff eval" in lines[0]
