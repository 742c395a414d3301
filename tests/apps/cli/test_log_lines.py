"""What the library logs, as lines on stderr."""

import logging

import pytest
from support.command_line import colddiff

from colddiff.apps.cli.commands import inspect as inspect_command


def test_warnings_are_one_line_and_go_on_whatever_python_was_told(colour, photo, tmp_path, capsys):
    # Pytest turns warnings into errors, as python -W error does.
    args = ["--out", tmp_path / "out", "--steps", "20"]
    assert colddiff("restore", colour, photo, *args) == 0
    assert capsys.readouterr().err == "colddiff: warning: 20 steps on 5 levels: only 5 are distinct\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], ["colddiff: so it goes", "colddiff: warning: look out"]),
        (["--quiet"], ["colddiff: warning: look out"]),
        (["--verbose"], ["colddiff: closely", "colddiff: so it goes", "colddiff: warning: look out"]),
    ],
)
def test_quiet_and_verbose_decide_which_records_are_lines_on_stderr(options, said, monkeypatch, capsys):
    def log(**_):
        logger = logging.getLogger("colddiff.training")
        logger.debug("closely")
        logger.info("so it\n goes")
        logger.warning("look out")

    monkeypatch.setattr(inspect_command, "run", log)
    level = logging.getLogger("colddiff").level
    assert colddiff("inspect", "digits", *options) == 0
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == said
    assert logging.getLogger("colddiff").level == level, "left as it was"
