"""Long operations say how far they are: a bar on a terminal, lines in the log without one."""

import logging
import re

import pytest
from support import tiny

from colddiff.training.train import train
from colddiff.utils import progress
from colddiff.utils.progress import Progress, in_words


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines(caplog):
    """What was logged so far."""
    caplog.set_level(logging.INFO, logger="colddiff")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "colddiff"]


def walked(steps: int, seconds: float, **options) -> None:
    clock = Clock()
    for _ in Progress(range(steps), "generating", unit="images", clock=clock, terminal=False, **options):
        clock.now += seconds


def test_the_first_line_comes_after_five_seconds_and_then_one_every_thirty(lines):
    walked(100, 1.0)
    counts = [int(re.search(r": (\d+) of 100 images", line)[1]) for line in lines()]
    assert counts == [5, 34, 63, 92, 100]


def test_a_line_says_how_fast_it_goes_and_how_long_it_takes_still(lines):
    walked(200, 0.5)
    assert lines()[0] == "generating: 10 of 200 images, 2 images/s, 1 min 35 s left"
    assert lines()[-1] == "generating: 200 of 200 images, 2 images/s, done in 1 min 40 s"


def test_what_was_done_before_does_not_count_for_the_rate(lines):
    clock = Clock()
    with Progress((), "train", 5000, initial=1000, unit="step", clock=clock, terminal=False) as bar:
        bar.say("", "loss 0.0312, 410 images/s")
        clock.now += 20
        bar.update(200)
    assert lines()[0] == "train: step 1,200 of 5,000, loss 0.0312, 410 images/s, 6 min 20 s left"


def test_a_short_operation_logs_nothing(lines):
    walked(3, 1.0)
    assert not lines()


def test_a_loop_that_is_left_early_still_tells_where_it_was(lines):
    clock = Clock()
    with pytest.raises(OSError), Progress((), "reading", 10, unit="images", clock=clock, terminal=False) as bar:
        bar.update(2)
        clock.now += 6
        raise OSError
    assert lines() == ["reading: 2 of 10 images, 0.333 images/s, 24 s left"]


def test_other_processes_are_silent_and_so_are_those_that_were_told_to_be(lines, monkeypatch):
    walked(100, 1.0, show=False)
    monkeypatch.setattr(progress, "is_first", lambda: False)
    walked(100, 1.0)
    progress.event("something")
    assert not lines()


def test_a_terminal_has_a_bar_and_no_lines(lines, capsys):
    clock = Clock()
    for _ in Progress(range(50), "generating", unit="images", clock=clock, terminal=True):
        clock.now += 10
    assert "generating" in capsys.readouterr().err and not lines()


def test_without_logging_set_up_nothing_is_printed(capsys):
    walked(100, 1.0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "seconds, words", [(4.4, "4 s"), (125, "2 min 5 s"), (3599.9, "1 h 0 min"), (7300, "2 h 1 min")]
)
def test_a_duration_in_words(seconds, words):
    assert in_words(seconds) == words


def test_a_training_without_a_terminal_logs_step_loss_rate_and_time_left(lines, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    train(tiny.config(tmp_path / "run"))
    told = [line for line in lines() if line.startswith("train: ")]
    assert any(
        re.fullmatch(r"train: step [2-5] of 6, loss \d\.\d{4}, [\d,]+ images/s, \d+ s left", line) for line in told
    )
    assert re.fullmatch(r"train: step 6 of 6, loss \d\.\d{4}, [\d,]+ images/s, done in \d+ s", told[-1])


def test_a_resumed_training_says_where_it_goes_on(lines, tmp_path):
    config = tiny.config(tmp_path / "run")
    train(config, progress=False)
    before = len(lines())
    train(config, resume=True, progress=False)
    told = lines()[before:]
    assert any(line.startswith("resuming from step 6 of 6: ") and "step-" in line for line in told)
    assert not any(line.startswith("train: ") for line in told)
