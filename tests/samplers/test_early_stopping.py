"""Restorers whose answers rest are asked no more."""

import pytest
import torch
from support import tiny
from support.blind import blind, files, flat_picture, framed, grey, restored

from colddiff.apps.cli.restore_files import RestoreOptions, restore_files
from colddiff.data import load_data
from colddiff.data.framing import Framing
from colddiff.degradations import GaussianBlur
from colddiff.models.serialization import load
from colddiff.samplers.early_stopping import EarlyStopping

BLUR = GaussianBlur(sigma_max=3.0)


def asked_of(R, times):
    x = torch.zeros(1, 1, 4, 4)
    return [R(x, torch.tensor([t])) for t in times]


def test_a_restorer_whose_answers_rest_is_asked_no_more():
    net = tiny.Counting(pace=0.0)
    R = EarlyStopping(net)
    answers = asked_of(R, (1.0, 0.8, 0.6, 0.4))
    assert len(net.asked) == 2 == R.calls and all(torch.equal(answer, answers[0]) for answer in answers)


@pytest.mark.parametrize("pace", [0.001, 0.004, 0.02])
def test_at_a_constant_pace_what_is_left_out_is_below_half_a_level(pace):
    net = tiny.Counting(pace=pace)
    answers = asked_of(EarlyStopping(net), [k / 100 for k in range(100, 0, -1)])
    assert float((answers[-1] - 0.5).abs().max()) <= 1 / 510 + 1e-6
    assert len(net.asked) < 100 or pace * 0.01 > 1 / 510


def test_each_image_rests_by_itself():
    asked = []

    def pace(x, t):
        asked.append(len(x))
        return x * t.reshape(-1, 1, 1, 1).to(x.dtype)

    R, x = EarlyStopping(pace), torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    for t in (1.0, 0.9, 0.8):
        answer = R(x, torch.tensor([t, t]))
    assert asked == [2, 2, 1]
    assert torch.equal(answer[0], torch.zeros(1, 2, 2)) and torch.allclose(answer[1], torch.full((1, 2, 2), 0.8))


def test_times_that_stand_still_are_no_reason_to_rest():
    net = tiny.Counting(pace=0.0)
    asked_of(EarlyStopping(net), (0.5, 0.5, 0.5))
    assert len(net.asked) == 3


def test_digits_that_settled_are_those_of_the_whole_walk_to_within_a_level():
    run = load("digits", device="cpu", precision="fp32")
    x = (run.degrade(load_data("digits", split="test", size=16)[:4], 0.5) * 255).round() / 255
    whole, settled = (run.restore(x, start=0.5, steps=20, sampler="improved", early_stop=s) for s in (False, True))
    assert float(((whole * 255).round() - (settled * 255).round()).abs().max()) <= 1
    answers = [state.x0 for state in run.walk(x, start=0.5, steps=20, sampler="improved", early_stop=True)]
    assert torch.equal(answers[-1], answers[-2]), "the last answer was not asked for"


def test_restores_settle_where_nobody_chose_and_else_take_every_step():
    for how, calls in (({}, 2), ({"steps": 10}, 10), ({"start": 0.5}, 20), ({"early_stop": False}, 10)):
        net = tiny.Counting(pace=0.0)
        blind(net).restore(grey(0.5), **how)
        assert len(net.asked) == calls, how
        net.asked.clear()
        list(blind(net).walk(grey(0.5), **how))
        assert len(net.asked) == calls, how


def test_the_command_tells_how_many_calls_were_spared(tmp_path):
    lines = []
    job = RestoreOptions(Framing(colour="grey"))
    restore_files(blind(tiny.Counting(pace=1e-5)), files(tmp_path / "in", 0.5), tmp_path / "out", job, lines.append)
    assert lines == ["0.png: t = 0.50 +- 0.01, improved (10 calls), 8 of them spared"]


def test_a_small_part_of_a_large_picture_that_still_changes_is_no_rest():
    corner = torch.zeros(1, 1, 256, 256)
    corner[..., :4, :4] = 1
    R = EarlyStopping(lambda x, t: 0.5 + 0.2 * t.float().reshape(-1, 1, 1, 1) * corner)
    for k in range(20, 0, -1):
        answer = R(corner, torch.tensor([k / 20]))
    assert R.calls == 20 and R.spared == 0 and float((answer - 0.51 * corner - 0.5 * (1 - corner)).abs().max()) < 1e-6


@pytest.mark.parametrize("sampler, spared", [("improved", 8), ("heun", 17)])
def test_the_calls_that_were_spared_are_counted_and_not_the_states_that_stayed(sampler, spared, tmp_path):
    run, file = framed(tiny.Counting(pace=1e-5)), flat_picture(tmp_path / "in", 0.5)
    (line,) = restored(run, file, tmp_path / sampler, sampler=sampler)
    made = len(run.net.asked)
    assert line.endswith(f"({made + spared} calls), {spared} of them spared")


def test_nothing_is_said_to_be_spared_where_every_call_is_made(tmp_path):
    for changes in ({"steps": 5}, {"steps": 5, "consistent": True}):
        run = framed(tiny.Counting(pace=0.0))
        (line,) = restored(run, flat_picture(tmp_path / "in", 0.5), tmp_path / str(changes), **changes)
        assert line.endswith("improved (5 calls)") and len(run.net.asked) == 5
    run = framed(tiny.Counting(pace=0.02))
    (line,) = restored(run, flat_picture(tmp_path / "in", 0.5), tmp_path / "kept", consistent=True)
    assert len(run.net.asked) == 10 and line.endswith("(10 calls)"), "the same answer is not the same as none"
