"""Several processes train, sample and measure as one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support import tiny
from support.run_files import entries

from colddiff.models import serialization
from colddiff.training.train import train
from colddiff.utils import distributed
from colddiff.utils.distributed import all_reduce, is_first, main_process_first, map_over_processes, rank_and_world

NETWORK = [
    word
    for field, value in tiny.NET.to_config().items()
    for word in (f"--restorer.{field}" if field != "type" else "--restorer", str(value))
]
TRAIN = ["train", "digits", "--degradation", "gaussian_blur", "--degradation.sigma_max", "3", "--precision", "fp32"]
TRAIN += ["--warmup-steps", "2", "--log-every", "1", "--batch-size", "8", *NETWORK]


def torchrun(processes: int, *arguments: str) -> list[str]:
    """The command that does a command in so many processes, alone on this machine."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [*run, "-m", "colddiff", *arguments, "--device", "cpu"]


def done(processes: int, *arguments: str) -> str:
    """What a command in so many processes says, once it went well."""
    command = torchrun(processes, *arguments)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """A training by one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    train(tiny.config(out, steps=50), progress=False)
    return out


@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_train_as_one(processes, alone, tmp_path):
    out = tmp_path / "run"
    said = done(processes, *TRAIN, "--steps", "50", "--out", str(out))
    assert said.count("| start | method") == 1
    one, many = entries(alone, "loss"), entries(out, "loss")
    assert len(one) == len(many) == 50
    assert max(abs(a - b) for a, b in zip(one, many, strict=True)) < 1e-6
    weights, others = (load_file(each / "model.safetensors") for each in (alone, out))
    assert all(torch.allclose(weights[name], others[name], atol=1e-5) for name in weights)


@pytest.mark.slow
def test_a_training_goes_on_with_another_number_of_processes(alone, tmp_path):
    out = tmp_path / "run"
    done(2, *TRAIN, "--steps", "50", "--checkpoint-every", "10", "--out", str(out))
    for late in sorted((out / "checkpoints").glob("step-*"))[1:]:
        (late / "state.json").write_text("torn")
    with pytest.warns(UserWarning) as told:
        train(tiny.config(out, steps=50, checkpoint_every=10), resume=True, progress=False)
    said = " ".join(str(warning.message) for warning in told)
    assert "left out checkpoint" in said and "but for rounding and dropout: processes was 2, now 1" in said
    one, many = entries(alone, "loss"), entries(out, "loss")
    assert max(abs(a - b) for a, b in zip(one, many, strict=True)) < 1e-6


def test_several_processes_sample_and_measure_what_one_does(tmp_path):
    for count in (1, 2, 4):
        out = tmp_path / str(count)
        done(count, "sample", "digits", "-n", "40", "--steps", "4", "--out", str(out / "grid.png"))
        done(count, "eval", "digits", "digits", "--images", "80", "--batch-size", "16", "--steps", "3",
             "--starts", "1", "--perception", "none", "--out", str(out))  # fmt: skip
    for name in ("grid.png", "report.json", "report.png"):
        files = {(tmp_path / str(k) / name).read_bytes() for k in (1, 2, 4)}
        assert len(files) == 1, name
    assert json.loads((tmp_path / "1" / "report.json").read_text())["protocol"]["images"] == 80


@pytest.mark.slow
def test_what_features_measure_is_the_same_in_any_number_of_processes(tmp_path):
    pytest.importorskip("torchmetrics")
    reports = []
    for count in (1, 2):
        done(count, "eval", "digits", "digits", "--images", "64", "--batch-size", "16", "--steps", "3",
             "--starts", "1", "--perception", "classifier", "--out", str(tmp_path / str(count)))  # fmt: skip
        reports.append((tmp_path / str(count) / "report.json").read_text())
    assert reports[0] == reports[1] and '"fid"' in reports[0]


@pytest.mark.slow
def test_two_processes_stop_at_the_same_step_and_save(tmp_path):
    out = tmp_path / "run"
    command = torchrun(2, *TRAIN, "--steps", "100000", "--out", str(out))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 90
        while not (out / "log.jsonl").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode != 0
    steps = {
        line.partition("stopped after step ")[2].partition(";")[0]
        for line in told.splitlines()
        if "stopped after" in line
    }
    assert len(steps) == 1, told
    assert serialization.load(out, device="cpu").config["step"] == int(steps.pop())


WORK = """
import sys
from pathlib import Path

import torch
from colddiff.apps.cli.main import leave
from colddiff.utils.distributed import first_then_all, join, same_everywhere

join("cpu")
rank = torch.distributed.get_rank()
torch.manual_seed(rank)
net = torch.nn.Linear(2, 2)
same_everywhere(net)


def work():
    raise ValueError("nothing to work with")


try:
    first_then_all(work)
except ValueError as error:
    Path(sys.argv[1], str(rank)).write_text(f"{error} {net.weight.tolist()}")
leave(0)
"""


@pytest.mark.slow
def test_what_the_first_process_raises_is_raised_by_all_and_weights_are_those_of_the_first(tmp_path):
    (tmp_path / "work.py").write_text(WORK)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    subprocess.run([*run, str(tmp_path / "work.py"), str(tmp_path)], check=True, timeout=100)
    first, second = ((tmp_path / name).read_text() for name in "01")
    assert first == second and first.startswith("nothing to work with")


@pytest.mark.slow
def test_processes_that_find_other_checkpoints_say_so(tmp_path):
    train(tiny.config(tmp_path / "0", steps=50, warmup_steps=2), progress=False)
    arguments = [*TRAIN, "--steps", "50", "--device", "cpu", "--resume", "--out"]
    (tmp_path / "work.py").write_text(
        "import os\nfrom colddiff.apps.cli.main import leave, main\n"
        f"leave(main([*{arguments!r}, {str(tmp_path)!r} + '/' + os.environ['RANK']]))\n"
    )
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    result = subprocess.run([*run, str(tmp_path / "work.py")], capture_output=True, text=True, timeout=100)
    assert result.returncode != 0
    assert "the processes do not find the same checkpoint" in result.stderr, result.stderr


@pytest.mark.slow
def test_a_batch_that_cannot_be_split_and_a_command_that_is_not_are_refused_in_a_line(tmp_path):
    for arguments, told in (
        (
            [*TRAIN, "--batch-size", "9", "--steps", "1", "--out", str(tmp_path / "run")],
            "9 cannot be split evenly over 2",
        ),
        (["demo", "--out", str(tmp_path / "demo")], "demo is done by one process: start it without torchrun"),
    ):
        result = subprocess.run(torchrun(2, *arguments), capture_output=True, text=True, timeout=200)
        assert result.returncode != 0 and f"colddiff: {told}" in result.stderr.replace("batch_size ", ""), result.stderr
    assert not [*tmp_path.iterdir()]


def test_a_process_alone_does_all_by_itself():
    assert rank_and_world() == (0, 1) and is_first()
    assert map_over_processes(lambda k: k * k, 4) == [0, 1, 4, 9] and map_over_processes(str, 0) == []
    assert all_reduce(3, max) == 3 and main_process_first(lambda: "made") == "made"


def test_an_image_is_the_same_to_the_last_bit_whatever_is_drawn_beside_it():
    run = serialization.load("digits", device="cpu", precision="fp32")
    many = run.sample(21, steps=3, seed=5)
    for seeds in ([5], [8, 5], range(7, 20), np.arange(6, 9), torch.arange(6, 8)):
        images = run.sample(seeds, steps=3)
        assert all(torch.equal(image, many[seed - 5]) for image, seed in zip(images, seeds, strict=True))
    assert len(run.sample(np.int64(2), steps=1)) == 2


def test_an_error_of_one_process_reaches_the_others_whatever_it_is_made_of():
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def work():
        raise Odd(1, 2)

    with pytest.raises(RuntimeError, match="Odd: 1 and 2"):
        main_process_first(work)


class Two:
    """Two processes as threads: what they ask each other goes through here."""

    def __init__(self, monkeypatch):
        self.meet, self.said, self.rounds, self.own = (
            threading.Barrier(2, timeout=20),
            [None, None],
            0,
            threading.local(),
        )
        monkeypatch.setattr(distributed, "rank_and_world", lambda: (self.own.rank, 2))
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

    assert two.do(*[lambda: distributed.on_main_process(work, lambda: 0)] * 2) == [0, 0]
    assert done == [0] * 20 and two.rounds > 12


def test_a_signal_to_another_process_ends_the_work_of_the_first(monkeypatch):
    two, signals, done = Two(monkeypatch), [0, 0], []

    def work(told):
        while not told():
            done.append(len(done))
            signals[1] = 15 if len(done) > 5 else 0
            time.sleep(0.005)

    ends = two.do(*[lambda rank=rank: distributed.on_main_process(work, lambda: signals[rank]) for rank in (0, 1)])
    assert ends == [15, 15] and 5 < len(done) < 100


def test_a_process_that_is_alone_hears_its_own_signal_at_once():
    signals, done = [0], []

    def work(told):
        done.append(told())
        signals[0] = 2
        done.append(told())

    assert distributed.on_main_process(work, lambda: signals[0]) == 2 and done == [0, 2]
