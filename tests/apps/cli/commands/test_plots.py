"""`colddiff plot`: every kind of picture from a line, every mistake in one."""

import pytest
from PIL import Image
from support.bad_inputs import inside, lines_of
from support.command_line import told

BLUR = ["--degradation", "gaussian_blur"]


WALK = ["trajectory", "digits", "digit.png", "--degrade", "--steps", "4"]


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
