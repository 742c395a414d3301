"""An estimator beside a training: what it learns from, what it costs, and whoever goes on."""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from support import tiny
from support.blind import batches

from colddiff.data import load_data
from colddiff.degradations import GaussianBlur, Interpolate
from colddiff.models.serialization import load
from colddiff.models.time_estimator import FILE
from colddiff.training.time_estimator import CHEAP, FEWEST, SHARE, SPARED, fit_estimator, images_within, worth_fitting
from colddiff.training.train import train
from colddiff.utils.signals import Interrupted

CPU = torch.device("cpu")


BLUR = GaussianBlur(sigma_max=3.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(tiny.config(tmp_path_factory.mktemp("whole") / "run", steps=64), progress=False)


def test_a_training_leaves_one_that_a_run_reads_back(whole):
    run = whole
    assert run.estimator is not None and run.can_estimate_time() and (run.path / FILE).stat().st_size < 160_000
    x = run.degrade(load_data("digits", split="test")[:32], 0.6)
    assert float((run.estimate_time(x).t - 0.6).abs().mean()) < 0.1
    again = load(run.path, device="cpu")
    assert torch.equal(again.estimate_time(x).t, run.estimate_time(x).t)


def test_a_training_that_was_stopped_there_goes_on_to_the_same(whole, tmp_path, monkeypatch):
    seen = []

    def stop(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        seen.append(options["stopped"]())
        return fit_estimator(*arguments, **options)

    monkeypatch.setattr("colddiff.training.train.fit_estimator", stop)
    cut = tiny.config(tmp_path / "cut", steps=64)
    with pytest.raises(Interrupted):
        train(cut, progress=False)
    assert seen == [True] and not (tmp_path / "cut" / FILE).exists()
    monkeypatch.undo()
    assert train(cut, resume=True, progress=False).config["step"] == 64
    assert (tmp_path / "cut" / FILE).read_bytes() == (whole.path / FILE).read_bytes()
    monkeypatch.setattr("colddiff.training.train.fit_estimator", pytest.fail)  # what is there is not made again
    train(cut, resume=True, progress=False)


def test_a_training_that_saw_too_little_goes_without(tmp_path):
    run = train(tiny.config(tmp_path / "run", steps=2), progress=False)
    assert run.estimator is None and not run.can_estimate_time() and not (run.path / FILE).exists()
    with pytest.raises(ValueError, match="nothing that tells how damaged a picture is: train with estimate_time"):
        run.estimate_time(torch.rand(1, 1, 8, 8))


def test_it_learns_from_as_much_as_the_training_is_worth(tmp_path):
    plain, shape = tiny.config(tmp_path), (1, 8, 8)
    assert worth_fitting(plain, 10**6, shape) == 64_000 and worth_fitting(plain, 100, shape) == 3200
    assert worth_fitting(plain, 10**6, shape, most=5000) == 5000 and worth_fitting(plain, 10, shape) == 0
    assert FEWEST < worth_fitting(plain, 10**6, (3, 512, 512)) < 10_000, "large ones tell more, and take longer"
    pairs = {"degradation": Interpolate(), "paired_data": "b"}
    for other in ({"estimate_time": False}, {"condition": BLUR, "degradation": GaussianBlur()}, pairs):
        assert worth_fitting(tiny.config(tmp_path, **other), 10**6, shape) == 0


def test_a_budget_spares_a_tenth_at_most(tmp_path):
    spared, count = images_within(1.0, tiny.config(tmp_path), batches(), CPU)
    assert 0 < spared <= SHARE and 0 < count < 64_000
    assert images_within(1.0, tiny.config(tmp_path, estimate_time=False), batches(), CPU) == (0.0, 0)


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
    assert train(tiny.config(out, estimate_time=False, batch_size=64, **budget), progress=False).estimator is None
    with pytest.warns(UserWarning, match="estimate_time was False, now True"):
        assert train(tiny.config(out, batch_size=64, **budget), resume=True, progress=False).can_estimate_time()
    (out / FILE).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = train(tiny.config(out, estimate_time=False, batch_size=64, **budget), resume=True, progress=False)
    assert again.estimator is None and not (out / FILE).exists()


@pytest.mark.slow
def test_several_processes_leave_what_one_does_and_stop_together(tmp_path):
    one = train(tiny.config(tmp_path / "one", steps=64), progress=False)
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from support import tiny\n"
        "from colddiff.training import train as training\n"
        "from colddiff.utils import distributed\n"
        "rank = int(os.environ['RANK'])\n"
        "distributed.AGREE_EVERY = 0.0\n"
        "if sys.argv[3] == 'stop' and rank == 1:\n"
        "    told = distributed.on_main_process\n"
        "    training.on_main_process = lambda *given: signal.raise_signal(signal.SIGTERM) or told(*given)\n"
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
