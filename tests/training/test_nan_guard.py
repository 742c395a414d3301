"""Losses that are not finite: the step is left out, and after too many the last good weights are put back."""

import json
import signal
from pathlib import Path

import pytest
import torch
from support import tiny
from support.run_files import assert_same, entries, names
from torch import nn

from colddiff.training import loop
from colddiff.training.checkpoints import last_good
from colddiff.training.nan_guard import NonFiniteGuard
from colddiff.training.train import train
from colddiff.utils.signals import Interrupted


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_whose_loss_or_gradient_is_not_finite_changes_nothing_and_is_counted(fused):
    net = nn.Sequential(nn.Linear(3, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    weight, mean = net[0].weight, net[1].running_mean
    optimizer = torch.optim.Adam([weight], lr=0.1, fused=fused)
    guard, nan, one = NonFiniteGuard(net, torch.device("cpu")), torch.tensor(float("nan")), torch.tensor(1.0)
    for loss, norm, counts in (
        (one, one, (0, 0)), (nan, one, (1, 1)), (one, nan, (2, 2)), (one / 0, one, (3, 3)), (one, one, (3, 0)),
    ):  # fmt: skip
        weight.grad = torch.full((1, 3), float(loss * norm))
        before, means = weight.detach().clone(), mean.clone()
        moment = optimizer.state[weight].get("exp_avg", torch.zeros(1, 3)).clone()
        mean.add_(loss * norm)  # as the forward pass did
        guard.step(optimizer, loss, norm)
        assert guard.counts() == counts
        kept = torch.equal(weight.detach(), before) and torch.equal(optimizer.state[weight]["exp_avg"], moment)
        assert kept == torch.equal(mean, means) == (not (loss * norm).isfinite())
    assert float(optimizer.state[weight]["step"]) == 2
    guard.step(optimizer, nan, one)
    guard.forget()
    assert guard.counts() == (4, 0)


class Fragile(nn.Module):
    """A network whose answers are not numbers in given steps."""

    def __init__(self, bad: range | list[int], first: int = 0) -> None:
        super().__init__()
        self.scale, self.calls, self.bad = nn.Parameter(torch.tensor(0.5)), first, bad

    def forward(self, x, t):
        self.calls += self.training
        return x * self.scale * (float("nan") if self.training and self.calls - 1 in self.bad else 1)


def settings(out: Path, **changes):
    return tiny.config(out, **{"steps": 60, "restorer": None, "checkpoint_every": 5, "log_every": 1} | changes)


def fragile(out: Path, bad: range | list[int], **changes):
    return train(settings(out, **changes), net=Fragile(bad), progress=False)


def test_a_step_without_a_finite_loss_is_skipped_and_logged(tmp_path):
    run = fragile(tmp_path / "run", range(7, 10))
    assert run.config["step"] == 60 and float(run.net.scale) > 0.5
    assert max(entries(tmp_path / "run", "skipped")) == 3
    assert len(entries(tmp_path / "run", "loss")) == 57
    for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


BACK = r"not finite for \d+ steps up to step 30: the weights of step 15 are put back"


def test_too_many_in_a_row_put_the_last_checkpoint_before_them_back_once(tmp_path, monkeypatch):
    seen, original = [], loop.load_snapshot

    def loading(folder, net, ema, optimizer):
        before = float(net.scale.detach())
        state = original(folder, net, ema, optimizer)
        seen.append((before, float(net.scale.detach())))
        return state

    monkeypatch.setattr(loop, "load_snapshot", loading)
    with pytest.warns(UserWarning, match=BACK):
        run = fragile(tmp_path / "run", range(18, 30))
    assert run.config["step"] == 60 and len(seen) == 1 and seen[0][1] < seen[0][0], "it had learned three steps more"
    bad = [*range(18, 30), *range(38, 60)]
    with (
        pytest.warns(UserWarning, match=BACK),
        pytest.raises(RuntimeError, match="up to step 50, as before"),
    ):
        fragile(tmp_path / "twice", bad)
    assert last_good(tmp_path / "twice", sound=True) is not None


@pytest.mark.parametrize("stops", [20, 23])
def test_a_signal_among_losses_that_are_not_finite_changes_nothing(stops, tmp_path, monkeypatch):
    bad = range(18, 30)
    with pytest.warns(UserWarning, match=BACK):
        fragile(tmp_path / "whole", bad)
    original, calls = loop.Loop.step, iter(range(1, 100))

    def stopping(self):
        if next(calls) == stops:
            signal.raise_signal(signal.SIGTERM)
        return original(self)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(loop.Loop, "step", stopping)
        fragile(tmp_path / "cut", bad)
    with pytest.warns(UserWarning, match=BACK):
        train(settings(tmp_path / "cut"), net=Fragile(bad, first=stops), resume=True, progress=False)
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_a_training_that_goes_on_does_not_go_back_a_second_time(tmp_path):
    out, bad = tmp_path / "run", [*range(18, 30), *range(38, 60)]
    with pytest.warns(UserWarning, match="put back"), pytest.raises(RuntimeError):
        fragile(out, bad)
    first = int(last_good(out).name.removeprefix("step-"))
    with pytest.raises(RuntimeError, match="as before it went back"):
        train(settings(out), net=Fragile(bad, first=first), resume=True, progress=False)


def test_a_loss_that_was_never_finite_stops_the_training_and_saves_nothing(tmp_path):
    for steps in (3, 40):
        told = rf"not finite for {min(steps, 10)} steps up to step {min(steps, 10)}, and there is no checkpoint before"
        with pytest.raises(RuntimeError, match=told + ".*smaller lr"):
            fragile(tmp_path / str(steps), range(100), steps=steps)
        assert not names(tmp_path / str(steps))


def test_running_means_of_a_skipped_step_are_as_they_were(tmp_path):
    class Normed(Fragile):
        def __init__(self, bad):
            super().__init__(bad)
            self.norm = nn.BatchNorm2d(1)

        def forward(self, x, t):
            return self.norm(super().forward(x, t))

    run = train(settings(tmp_path / "run", steps=20), net=Normed(range(7, 9)), progress=False)
    assert run.net.norm.running_mean.isfinite().all() and run.config["step"] == 20
