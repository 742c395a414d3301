"""The log of a training survives, and TensorBoard sees the same numbers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from colddiff.training.log import Log


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def events(run: Path, name: str) -> list[tuple[int, float]]:
    """What TensorBoard draws of a number: (step, value)."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return [(e.step, e.value) for e in EventAccumulator(str(run / "tensorboard")).Reload().Scalars(name)]


def test_a_resumed_log_drops_what_came_after_its_step(tmp_path: Path) -> None:
    path = tmp_path / "run" / "log.jsonl"
    for after, steps in ((0, (1, 2, 3)), (2, (3,)), (0, (1,))):
        log = Log(path, after)
        for step in steps:
            log.write(step=step, loss=after + step / 4)
        log.close()
        if after:
            assert lines(path) == [{"step": s, "loss": v} for s, v in ((1, 0.25), (2, 0.5), (3, 2.75))]
    assert lines(path) == [{"step": 1, "loss": 0.25}]
    assert [f.name for f in path.parent.iterdir()] == ["log.jsonl"]


def test_tensorboard_draws_the_numbers_of_the_log(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    log = Log(tmp_path / "log.jsonl", 0, tensorboard=True)
    log.write(step=1, loss=0.5, lr=0.25)
    log.write(step=2, validation_loss=0.125)
    assert events(tmp_path, "validation_loss") == [(2, 0.125)], "an entry is on disk before the log is closed"
    log.close()
    assert lines(log.path) == [{"step": 1, "loss": 0.5, "lr": 0.25}, {"step": 2, "validation_loss": 0.125}]
    assert (events(tmp_path, "loss"), events(tmp_path, "lr")) == ([(1, 0.5)], [(1, 0.25)])


def test_tensorboard_forgets_the_steps_that_a_resumed_training_takes_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for after, steps in ((0, (1, 2, 3, 4)), (2, (3,))):
        log = Log(tmp_path / "log.jsonl", after, tensorboard=True)
        for step in steps:
            log.write(step=step, loss=float(after))
        log.close()
    assert events(tmp_path, "loss") == [(1, 0.0), (2, 0.0), (3, 2.0)]


def test_a_log_without_tensorboard_does_not_import_it(tmp_path: Path) -> None:
    code = (
        f"import sys; from pathlib import Path; from colddiff.training.log import Log; "
        f"Log(Path({str(tmp_path)!r}) / 'log.jsonl', 0).write(step=1, loss=0.5); print('tensorboard' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
