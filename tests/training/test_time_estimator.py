"""What a run does not say of a picture: at another size, where it is not sure, and of what was not measured."""

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import tiny

from colddiff import viz
from colddiff.cli import main
from colddiff.data import load_data
from colddiff.data.framing import Framing
from colddiff.degradations import GaussianBlur, Interpolate
from colddiff.models.serialization import load
from colddiff.models.time_estimator import BINS, FILE, UNSURE, Severity, SeverityEstimator, features, posterior
from colddiff.restoring import Job, restore_files
from colddiff.samplers.early_stopping import Settled
from colddiff.training.batches import Batches
from colddiff.training.time_estimator import CHEAP, FEWEST, SPARED, fit_estimator, worth_fitting
from colddiff.training.train import train
from colddiff.utils import distributed

CPU = torch.device("cpu")
BLUR = GaussianBlur(sigma_max=3.0)


class Sees(SeverityEstimator):
    """An estimator that takes the mean of a picture for its time, to within `spread`."""

    def __init__(self, spread=0.01):
        super().__init__(1)
        self.error.fill_(0.0)
        self.spread = spread

    def severity(self, x):
        t = x.mean(dim=(1, 2, 3)).double().cpu()
        return Severity(t, t - self.spread, t + self.spread)

    def severity_of_parts(self, x, size):
        return self.severity(x)


def blind(net=None, spread=0.01, fit="resize"):
    run = tiny.run_of(net or tiny.Counting(), BLUR)
    framing = Framing(size=8, fit=fit, colour="grey")
    return replace(run, estimator=Sees(spread), config=run.config | {"data": {"framing": framing.to_config()}})


def grey(value, height=8, width=8):
    return torch.full((1, 1, height, width), value)


def picture(folder, value, height=8, width=8):
    folder.mkdir(exist_ok=True)
    file = folder / f"{width}x{height}.png"
    viz.to_image(grey(value, height, width)[0]).save(file)
    return file


def told(run, file, out, **changes):
    lines = []
    restore_files(run, [file], out, Job(**{"framing": Framing(colour="grey")} | changes), lines.append)
    return lines


# --- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (10, 8)])
def test_pictures_of_about_the_size_of_the_training_are_told(size):
    assert blind().tells(grey(0.4, *size)) and float(blind().starts(grey(0.4, *size))) == pytest.approx(0.4)


@pytest.mark.parametrize("size", [(5, 8), (8, 11), (64, 64)])
def test_of_pictures_of_another_size_nothing_is_said_and_they_are_taken_for_the_worst(size):
    run = blind()
    assert run.starts(grey(0.4, *size)) == 1.0 and len([*run.walk(grey(0.4, *size))]) == 20
    run.net.asked.clear()
    run.restore(grey(0.4, *size))
    assert run.net.asked[0] == [1.0] and len(run.net.asked) == 20
    assert float(run.severity(grey(0.4, *size)).t) == pytest.approx(0.4), "whoever asks is answered"


def test_at_their_own_scale_larger_pictures_are_told_and_smaller_ones_are_not():
    for fit in ("crop", "tiles"):
        run = blind(fit=fit)
        assert float(run.starts(grey(0.4, 64, 9))) == pytest.approx(0.4) and run.starts(grey(0.4, 64, 5)) == 1.0


def test_larger_pictures_at_their_own_scale_are_told_from_parts_of_the_size_of_the_training():
    training, test = (Batches(load_data("digits", split=split), BLUR, 8, 0) for split in ("train", "test"))
    x, net = test.data[:60], fit_estimator(training, test, 3000, CPU, progress=False)
    run = replace(blind(fit="crop"), estimator=net)
    for t in (0.2, 0.5, 0.8):
        rows = (BLUR(x, t) * 255).round() / 255
        sheet = rows.reshape(6, 10, 8, 8).transpose(1, 2).reshape(1, 1, 48, 80)
        assert float((run.severity(sheet).t - t).abs()) < 0.03
        assert torch.equal(run.severity(rows).t, net.severity(rows).t), "of the size of the training as ever"


def test_what_does_not_fill_a_part_is_left_out_at_the_edges():
    net, x = SeverityEstimator(1), torch.rand(1, 1, 8, 16)
    wider = torch.cat([torch.zeros(1, 1, 8, 3), x, torch.ones(1, 1, 8, 4)], dim=3)
    assert torch.equal(net.severity_of_parts(wider, (8, 8)).t, net.severity_of_parts(x, (8, 8)).t)
    halves = torch.stack([features(half) for half in x.split(8, dim=3)])
    pooled, counted = features(x, (8, 8)), slice(0, 17)
    assert torch.allclose(pooled[:, counted], halves.mean(dim=0)[:, counted], atol=1e-5)


def test_the_command_says_of_what_size_it_should_have_been(tmp_path):
    run, file = blind(), picture(tmp_path / "in", 0.4, 24, 32)
    (line,) = told(run, file, tmp_path / "out")
    assert line == (
        "32x24.png: 32 x 24 pixels, not the 8 x 8 of the training: from t = 1 (--start says otherwise, or --framed)"
    )
    assert run.net.asked[0] == [1.0]
    (line,) = told(run, file, tmp_path / "framed", framing=run.framing)
    assert line.startswith("32x24.png: t = 0.40 +- 0.01, improved (8 calls)")
    (line,) = told(run, file, tmp_path / "sized", framing=replace(run.framing, size=10))
    assert line.startswith("32x24.png: t = 0.40 +- 0.01")
    (line,) = told(run, file, tmp_path / "too", framing=replace(run.framing, size=12))
    assert line == "32x24.png: 12 x 12 pixels, not the 8 x 8 of the training: from t = 1 (--start says otherwise)"


@pytest.mark.parametrize("words", [["--framed"], ["--image-size", "9"]])
def test_pictures_that_are_brought_to_the_size_of_the_training_are_told(words, tmp_path, capsys):
    run = tmp_path / "run"
    train(tiny.config(run, steps=1), progress=False)
    estimator = SeverityEstimator(1)
    estimator.error.fill_(0.01)
    estimator.save(run)
    file = picture(tmp_path / "in", 0.4, 24, 32)
    command = ["restore", str(run), str(file), "--device", "cpu", "--steps", "1", "--out"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    assert "32 x 24 pixels, not the 8 x 8" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "brought"), *words]) == 0
    assert " +- " in capsys.readouterr().out


# --- how sure --------------------------------------------------------------------------------------------------------


def test_a_picture_that_does_not_say_is_taken_for_the_worst_in_python_and_on_the_command_line(tmp_path):
    run = blind(spread=UNSURE + 0.01)
    assert float(run.starts(grey(0.4))) == 1.0 and float(blind(spread=UNSURE - 0.01).starts(grey(0.4))) < 0.5
    (line,) = told(run, picture(tmp_path / "in", 0.4), tmp_path / "out")
    assert line == (
        "8x8.png: t = 0.40 +- 0.21 (the picture hardly tells: --start says it), from t = 1, improved (20 calls)"
    )
    assert run.net.asked[0] == [1.0]


def test_a_picture_that_is_damaged_all_the_way_is_in_the_interval():
    logits = torch.zeros(2, BINS)
    logits[0, -1], logits[1, -2] = 20, 20
    found = posterior(logits)
    assert float(found.t[0]) == 1 == float(found.high[0]) and float(found.low[0]) < 1
    assert float(found.high[1]) < 1, "and what is not is not"
    run = load("digits", device="cpu")
    x = load_data("digits", split="test", size=16)[:64]
    end = run.severity((run.degrade(x, 1.0) * 255).round() / 255)
    assert float(((end.low <= 1) & (end.high >= 1)).double().mean()) > 0.9


def test_what_was_told_of_a_picture_stands_beside_its_distances(tmp_path):
    files = [picture(tmp_path / "in", 0.4), picture(tmp_path / "in", 0.4, 24, 24)]
    job = Job(Framing(colour="grey"), reference=tmp_path / "in")
    restore_files(blind(), files, tmp_path / "out", job)
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())["pictures"]
    assert [row.get("severity") for row in rows] == [{"t": 0.4, "low": 0.39, "high": 0.41}, None]


# --- stopping early --------------------------------------------------------------------------------------------------


def test_a_small_part_of_a_large_picture_that_still_changes_is_no_rest():
    corner = torch.zeros(1, 1, 256, 256)
    corner[..., :4, :4] = 1
    R = Settled(lambda x, t: 0.5 + 0.2 * t.float().reshape(-1, 1, 1, 1) * corner)
    for k in range(20, 0, -1):
        answer = R(corner, torch.tensor([k / 20]))
    assert R.calls == 20 and R.spared == 0 and float((answer - 0.51 * corner - 0.5 * (1 - corner)).abs().max()) < 1e-6


@pytest.mark.parametrize("sampler, spared", [("improved", 8), ("heun", 17)])
def test_the_calls_that_were_spared_are_counted_and_not_the_states_that_stayed(sampler, spared, tmp_path):
    run, file = blind(tiny.Counting(pace=1e-5)), picture(tmp_path / "in", 0.5)
    (line,) = told(run, file, tmp_path / sampler, sampler=sampler)
    made = len(run.net.asked)
    assert line.endswith(f"({made + spared} calls), {spared} of them spared")


def test_nothing_is_said_to_be_spared_where_every_call_is_made(tmp_path):
    for changes in ({"steps": 5}, {"steps": 5, "consistent": True}):
        run = blind(tiny.Counting(pace=0.0))
        (line,) = told(run, picture(tmp_path / "in", 0.5), tmp_path / str(changes), **changes)
        assert line.endswith("improved (5 calls)") and len(run.net.asked) == 5
    run = blind(tiny.Counting(pace=0.02))
    (line,) = told(run, picture(tmp_path / "in", 0.5), tmp_path / "kept", consistent=True)
    assert len(run.net.asked) == 10 and line.endswith("(10 calls)"), "the same answer is not the same as none"


# --- what it costs, and whoever goes on ------------------------------------------------------------------------------


def test_it_costs_about_a_tenth_of_a_training_in_steps(tmp_path):
    plain = tiny.config(tmp_path, batch_size=64)
    assert worth_fitting(plain, 300, (3, 32, 32)) == CHEAP + 300 * 64 // SPARED < 10_000
    assert worth_fitting(plain, 4000, (3, 32, 32)) == 64_000, "as was measured"
    assert worth_fitting(plain, 100, (3, 512, 512)) == 0, "a second of small images is minutes of large ones"
    assert FEWEST < worth_fitting(plain, 10**6, (3, 1024, 1024)) < 3000
    assert worth_fitting(plain, 300, (3, 32, 32), most=64_000) == 64_000, "of a budget in minutes the clock says it"


@pytest.mark.parametrize("budget", [{"steps": 64}, {"steps": None, "minutes": 1 / 60}])
def test_whoever_goes_on_says_whether_there_is_to_be_one(budget, tmp_path):
    out = tmp_path / "run"
    assert train(tiny.config(out, blind=False, batch_size=64, **budget), progress=False).estimator is None
    with pytest.warns(UserWarning, match="blind was False, now True"):
        assert train(tiny.config(out, batch_size=64, **budget), resume=True, progress=False).blind
    (out / FILE).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = train(tiny.config(out, blind=False, batch_size=64, **budget), resume=True, progress=False)
    assert again.estimator is None and not (out / FILE).exists()


# --- several processes -----------------------------------------------------------------------------------------------


class Two:
    """Two processes as threads: what they ask each other goes through here."""

    def __init__(self, monkeypatch):
        self.meet, self.said, self.rounds, self.own = (
            threading.Barrier(2, timeout=20),
            [None, None],
            0,
            threading.local(),
        )
        monkeypatch.setattr(distributed, "place", lambda: (self.own.rank, 2))
        monkeypatch.setattr(distributed, "_from_all", self.all_say)
        monkeypatch.setattr(distributed, "AGREE_EVERY", 0.01)

    def all_say(self, value):
        self.said[self.own.rank] = value
        self.meet.wait()
        found = list(self.said)
        self.meet.wait()
        self.rounds += 1
        return found

    def do(self, *each):
        def alone(rank, work):
            self.own.rank = rank
            return work()

        with ThreadPoolExecutor(2) as pool:
            return [made.result() for made in [pool.submit(alone, rank, work) for rank, work in enumerate(each)]]


def test_the_others_wait_for_the_first_in_many_short_turns(monkeypatch):
    two, done = Two(monkeypatch), []

    def work(told):
        for _ in range(20):
            time.sleep(0.005)
            done.append(told())

    assert two.do(*[lambda: distributed.first_alone(work, lambda: 0)] * 2) == [0, 0]
    assert done == [0] * 20 and two.rounds > 12


def test_a_signal_to_another_process_ends_the_work_of_the_first(monkeypatch):
    two, signals, done = Two(monkeypatch), [0, 0], []

    def work(told):
        while not told():
            done.append(len(done))
            signals[1] = 15 if len(done) > 5 else 0
            time.sleep(0.005)

    ends = two.do(*[lambda rank=rank: distributed.first_alone(work, lambda: signals[rank]) for rank in (0, 1)])
    assert ends == [15, 15] and 5 < len(done) < 100


def test_a_process_that_is_alone_hears_its_own_signal_at_once():
    signals, done = [0], []

    def work(told):
        done.append(told())
        signals[0] = 2
        done.append(told())

    assert distributed.first_alone(work, lambda: signals[0]) == 2 and done == [0, 2]


# --- files of others -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error, coverage", [(-0.1, 0.9), (0.01, 1.1), (0.01, -0.1), (3e38, 2.0)])
def test_a_file_that_says_of_itself_what_cannot_be_goes_unused(error, coverage, tmp_path):
    run = train(tiny.config(tmp_path / "run", steps=1), progress=False)
    estimator = SeverityEstimator(1)
    estimator.error.fill_(error)
    estimator.coverage.fill_(coverage)
    estimator.save(run.path)
    with pytest.warns(UserWarning, match="which cannot be; copy it again: restores begin at t = 1"):
        assert load(run.path, device="cpu").estimator is None


def test_one_that_lies_beside_a_conditional_run_goes_unused(tmp_path):
    beside = tiny.config(tmp_path / "run", steps=1, condition=BLUR, restorer=replace(tiny.NET, cond_channels=1))
    run = train(beside, progress=False)
    SeverityEstimator(1).save(run.path)
    assert load(run.path, device="cpu").estimator is None


def test_one_that_lies_beside_a_run_of_pairs_goes_unused(tmp_path):
    for name in ("clean", "damaged"):
        for i in range(12):
            picture(tmp_path / name, i / 12).rename(tmp_path / name / f"{i}.png")
    pairs = {"data": str(tmp_path / "clean"), "damaged": str(tmp_path / "damaged"), "degradation": Interpolate()}
    run = train(tiny.config(tmp_path / "run", steps=1, **pairs), progress=False)
    SeverityEstimator(1).save(run.path)
    assert load(run.path, device="cpu").estimator is None


@pytest.mark.slow
def test_several_processes_leave_what_one_does_and_stop_together(tmp_path):
    one = train(tiny.config(tmp_path / "one", steps=64), progress=False)
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from support import tiny\n"
        "from colddiff import processes, training\n"
        "rank = int(os.environ['RANK'])\n"
        "processes.AGREE_EVERY = 0.0\n"
        "if sys.argv[3] == 'stop' and rank == 1:\n"
        "    told = distributed.first_alone\n"
        "    training.first_alone = lambda *given: signal.raise_signal(signal.SIGTERM) or told(*given)\n"
        "training.train(tiny.config(sys.argv[2], steps=64), resume=sys.argv[4] == 'resume', progress=False)\n"
    )
    (tmp_path / "script.py").write_text(script)
    out = tmp_path / "two"
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*run, str(tmp_path / "script.py"), str(Path(__file__).parents[1]), str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    cut = subprocess.run([*command, "stop", "new"], env=environment, capture_output=True, text=True, timeout=120)
    assert cut.returncode != 0 and cut.stderr.count("stopped after step 64") >= 1 and not (out / FILE).exists()
    whole = subprocess.run([*command, "go", "resume"], env=environment, capture_output=True, text=True, timeout=120)
    assert whole.returncode == 0, whole.stderr
    assert (out / FILE).read_bytes() == (one.path / FILE).read_bytes()


def test_one_colour_tells_nothing_and_no_picture_nothing_to_tell():
    run = load("digits", device="cpu")
    seen = run.severity(torch.ones(2, 1, 16, 16))
    assert bool((seen.spread > 0.4).all()) and run.starts(torch.zeros(1, 1, 16, 16)) == 1.0
    assert len(run.severity([]).t) == len(run.severity(torch.zeros(0, 1, 16, 16)).t) == 0
    with pytest.raises(ValueError, match="expected images"):
        run.severity(torch.zeros(1, 1, 0, 16))
