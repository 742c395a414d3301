"""`colddiff eval`: the report and its files."""

import json

from support.command_line import colddiff
from support.tiny import config

from colddiff import Animorph, CosineBetas
from colddiff.training.train import train


def test_eval_writes_the_report_as_json_where_asked(grey, tmp_path, capsys):
    args = [
        "--json",
        tmp_path / "r.json",
        "--out",
        tmp_path / "report",
        "--start",
        ".5,1",
        "--steps",
        "2",
        "--images",
        9,
    ]
    assert colddiff("eval", grey, "digits", *args) == 0
    value = json.loads((tmp_path / "r.json").read_text())
    assert value["n_images"] == 9 and {row["start"] for row in value["rows"]} == {0.5, 1.0}
    assert value == json.loads((tmp_path / "report" / "report.json").read_text())
    assert "| 0.50 | degraded |" in capsys.readouterr().out


def test_a_report_that_cannot_be_written_is_refused_before_the_work(grey, tmp_path, capsys):
    assert colddiff("eval", grey, "digits", "--images", 2, "--json", tmp_path) == 2
    assert "is a folder: give the name of a file" in capsys.readouterr().err
    assert not (grey / "report" / "report.json").exists()


MORPH = Animorph(betas=CosineBetas(num_steps=4))


def test_a_run_that_turns_images_is_measured_beside_its_others(tmp_path, capsys) -> None:
    train(config(tmp_path / "run", degradation=MORPH, target_data="digits"), progress=False)
    asked = ["eval", tmp_path / "run", "digits", "--images", "4", "--steps", "2", "--perception", "none"]
    assert colddiff(*asked, "--out", tmp_path / "report", "--input", "chain") == 0
    assert "float32, by the steps of the chain" in capsys.readouterr().out
