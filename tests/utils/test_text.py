"""What a stranger's run says reaches a terminal and a page as text, and is read to a limit."""

import json
import os
from pathlib import Path

import pytest

from colddiff.apps.cli import main as cli
from colddiff.apps.doctor import run_checks as checkup
from colddiff.apps.doctor.examine import _shown
from colddiff.apps.doctor.finding import Finding
from colddiff.training.log import TAIL, last_lines
from colddiff.utils.text import escape_control

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202eevil\r\n\x7f"


def shown(text: str) -> bool:
    """Whether a terminal gets nothing but lines of text."""
    return bool(text) and all(line.isprintable() for line in text.split("\n"))


def told(run: Path, **changes) -> Path:
    """A run whose config says something else."""
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | changes))
    return run


# --- a terminal ------------------------------------------------------------------------------------------------------


def test_text_of_others_is_printable_and_plain_text_stays_as_it_is() -> None:
    assert escape_control("größe 'a\" \\ 像素.png") == "größe 'a\" \\ 像素.png"
    assert escape_control(HOSTILE) == r"\x1b]0;owned\x07\x9b2J\u202eevil\r\n\x7f"
    assert escape_control(escape_control(HOSTILE)) == escape_control(HOSTILE)


def test_inspect_prints_no_control_characters(run: Path, capsys) -> None:
    told(run, precision=HOSTILE, data={"data": HOSTILE})
    (run / "log.jsonl").write_bytes(HOSTILE.encode() + b"\xff\n")
    assert cli.main(["inspect", str(run)]) == 0
    out = capsys.readouterr().out
    assert shown(out) and r"trained in \x1b]0;owned" in out and r"log          \x1b]0;owned" in out


def test_errors_and_warnings_print_no_control_characters(run: Path, capsys) -> None:
    told(run, precision=HOSTILE, degradation={"type": HOSTILE})
    assert cli.main(["inspect", str(run)]) == 2
    cli._one_line_warning(UserWarning(f"left out {HOSTILE}"))
    error = capsys.readouterr().err
    assert shown(error) and "owned" in error


def test_the_doctor_prints_no_control_characters() -> None:
    line = _shown(Finding(HOSTILE, "problem", f"measured {HOSTILE}", f"cure {HOSTILE}"))
    assert shown(line) and line.count("owned") == 3


def test_a_config_that_tells_no_number_of_steps_is_shown_all_the_same(run: Path, capsys) -> None:
    assert cli.main(["inspect", str(told(run, training={}))]) == 0
    assert "of unknown, by colddiff" in capsys.readouterr().out


# --- a log -----------------------------------------------------------------------------------------------------------


def test_of_a_log_its_end_is_read(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"first\nsecond \xff\nlast")
    assert last_lines(file) == ["first", "second \ufffd", "last"]
    file.write_bytes(b"x" * 10 * TAIL + b"\nlast\n")
    assert last_lines(file) == ["last"]
    with file.open("wb") as log:
        log.truncate(2**40)  # of holes
    assert last_lines(file) == []


def test_a_pipe_for_a_log_is_not_waited_for(run: Path, capsys) -> None:
    os.mkfifo(run / "log.jsonl")
    assert cli.main(["inspect", str(run)]) == 2
    assert "log.jsonl' is a pipe or device, not a file" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is a pipe or device, not a file"):
        list(checkup.log(run))


@pytest.mark.parametrize("line", ["[" * 30_000, '{"loss": 1' + "0" * 400 + "}", "x" * 2 * TAIL])
def test_lines_that_are_no_entries_do_not_end_the_doctor(line: str, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(line + "\n" + json.dumps({"step": 7, "loss": 0.5, "lr": 0.1}) + "\n")
    (finding,) = checkup.log(tmp_path)
    assert finding.verdict == "ok" and "step 7, loss 0.5" in finding.measured
