"""Signals end a command where nothing is lost, with their code."""

import os
import signal
import threading

import pytest
from support import tiny

from colddiff.apps.cli import main as cli
from colddiff.training import loop
from colddiff.training.checkpoints import last_good
from colddiff.training.train import train
from colddiff.utils.signals import Interrupted, interruptible


def test_under_torchrun_a_signal_and_its_echo_are_one(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with interruptible() as stopped:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stopped.signum == signal.SIGINT
        stopped.since -= 10
        with pytest.raises(KeyboardInterrupt) as second:
            signal.raise_signal(signal.SIGTERM)
    assert second.value.args == (signal.SIGTERM,)


def test_a_signal_in_the_last_step_is_not_lost(tmp_path, monkeypatch):
    original = loop.Loop.keep

    def keeping(self, stops):
        original(self, stops)
        if self.now.step == self.now.steps:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(loop.Loop, "keep", keeping)
    with pytest.raises(Interrupted) as stop:
        train(tiny.config(tmp_path / "run"), progress=False)
    assert stop.value.signum == signal.SIGTERM and last_good(tmp_path / "run").name == "step-00000006"


def test_sigterm_ends_any_command_with_its_code(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("colddiff.evaluation.report.evaluate", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["eval", "digits", "digits", "--out", str(tmp_path / "report"), "--perception", "none"]) == 143
    assert capsys.readouterr().err == "colddiff: stopped\n" and signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_does_not_wait_for_threads_that_read(monkeypatch):
    def stopped(*_, **__):
        threading.Thread(target=ends.wait).start()
        raise KeyboardInterrupt(signal.SIGTERM)

    ends, codes = threading.Event(), []
    monkeypatch.setattr("colddiff.evaluation.report.evaluate", stopped)
    monkeypatch.setattr(os, "_exit", codes.append)
    cli.main(["eval", "digits", "digits", "--perception", "none"])
    ends.set()
    assert codes == [143]
