"""`colddiff plot tradeoff`: the picture of a report."""

import json

import pytest
from support.bad_inputs import lines_of
from support.command_line import told


@pytest.mark.parametrize("place", ["run/report", "run"])
def test_the_report_of_a_run_or_folder_is_found(place, here, capsys):
    pytest.importorskip("matplotlib")
    (here / "run" / "report").mkdir(parents=True)
    (here / "report.json").rename(here / "run" / "report" / "report.json")
    assert told(capsys, "tradeoff", place, "--out", "a.png") == "perception against distortion in a.png\n"


@pytest.mark.parametrize("value", [[], {}, {"rows": 3}, {"rows": []}, {"rows": [{"start": 1}]}])
def test_json_that_is_no_report_is_told(value, here, capsys):
    (here / "report.json").write_text(json.dumps(value))
    code, lines = lines_of(capsys, "plot", "tradeoff", "report.json")
    assert code == 2 and len(lines) == 1 and "report" in lines[0] and "colddiff eval" in lines[0]
