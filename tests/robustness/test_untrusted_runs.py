"""A run from a stranger executes nothing and takes no more than a moment, whatever its files say."""

import json
import math
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from robustness import fuzz_readers
from safetensors.torch import load_file, save_file
from support.hostile_files import CONFIGS, FILES, OPERATORS, SECONDS, Bomb, one, operator, packed, refusal
from torch import Tensor, nn

from colddiff.degradations import GaussianBlur
from colddiff.evaluation.features import _classifier
from colddiff.models.networks.unet import UNet, UNetConfig
from colddiff.models.serialization import SHIPPED, load
from colddiff.training.checkpoints import load_snapshot
from colddiff.utils import config
from colddiff.utils.safetensors_io import load_weights, write_tensors

HEADROOM = 2**30  # that a refusal may take


# --- config.json -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_config_is_refused_in_one_line(name: str, run: Path) -> None:
    content, told = CONFIGS[name]
    (run / "config.json").write_bytes(content)
    assert told in refusal(load, run)


@pytest.mark.parametrize(("name", "fields"), OPERATORS, ids=[f"{n}-{next(iter(f))}" for n, f in OPERATORS])
def test_a_degradation_of_absurd_size_is_refused_before_it_allocates(name: str, fields, run: Path) -> None:
    (run / "config.json").write_bytes(operator(name, **fields))
    told = refusal(load, run)
    assert any(word in told for word in ("must be", "too large", "expected", "increase strictly"))


def test_a_blur_that_only_large_pictures_make_absurd_says_so_when_it_is_used() -> None:
    blur, small, large = GaussianBlur(sigma_max=1e6), torch.rand(1, 1, 4, 4), torch.zeros(1, 1, 1025, 4)
    assert torch.allclose(blur(small, 1.0), small.mean(), atol=0.2)
    assert "make them smaller (--image-size)" in refusal(blur, large, 0.5)


# --- safetensors -----------------------------------------------------------------------------------------------------


def read_features(path: Path):
    return _classifier(load(path, device="cpu"), None, False)


def read_moments(path: Path):
    """A checkpoint of a training, as --resume reads it."""
    net = UNet(UNetConfig(channels=1, width=8, multipliers=(1,), blocks=1, patch=1))
    for name in ("model", "ema"):
        save_file(net.state_dict(), path / f"{name}.safetensors")
    return load_snapshot(path, net, net, torch.optim.Adam(net.parameters()))


READERS = {"model": load, "prior": load, "features": read_features, "optimizer": read_moments}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("file", READERS)
def test_a_hostile_file_of_tensors_is_refused_in_one_line(
    name: str, file: str, run: Path, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content, told = FILES[name]
    (run / f"{file}.safetensors").write_bytes(content)
    assert told in refusal(READERS[file], run)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_baseline_is_left_out(name: str, run: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (run / "baseline.safetensors").write_bytes(FILES[name][0])
    with pytest.warns(UserWarning, match="reports go without the classical restorer"):
        assert load(run, device="cpu").baseline is None
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_estimator_is_left_out(name: str, run: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (run / "time_estimator.safetensors").write_bytes(FILES[name][0])
    with pytest.warns(UserWarning, match="restores begin at t = 1 where nobody says"):
        assert load(run, device="cpu").estimator is None
    assert not (tmp_path / "executed").exists()


def spoil(file: Path, change) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def first(tensors: dict[str, Tensor], made) -> None:
    name = next(iter(tensors))
    tensors[name] = made(tensors[name])


WEIGHTS = {
    "nan": (lambda t: torch.full_like(t, float("nan")), "holds numbers that are not finite"),
    "empty": (lambda t: t[:0], "is (0,) of float32, expected (16,)"),
    "integers": (lambda t: t.long(), "is (16,) of int64, expected (16,) of float32"),
    "bools": (lambda t: t.bool(), "is (16,) of bool, expected"),
    "another-shape": (lambda t: t.expand(4, 16).clone(), "is (4, 16) of float32, expected (16,)"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_cannot_be_the_networks_are_refused(name: str, run: Path) -> None:
    change, told = WEIGHTS[name]
    spoil(run / "model.safetensors", lambda tensors: first(tensors, change))
    assert told in refusal(load, run)


def test_weights_in_other_fractions_are_taken(run: Path) -> None:
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        spoil(run / "model.safetensors", lambda tensors, to=dtype: first(tensors, lambda t: t.to(to)))
        assert load(run, device="cpu").restore(torch.rand(1, 1, 8, 8), steps=1).isfinite().all()


@pytest.mark.parametrize("name", ["model", "prior", "features", "optimizer"])
def test_a_file_that_is_larger_than_the_memory_is_refused_unread(name: str, run: Path, monkeypatch) -> None:
    file = run / f"{name}.safetensors"
    monkeypatch.setattr("colddiff.utils.safetensors_io.free_memory", lambda: 10**6)
    assert load(run, device="cpu").net is not None
    content = packed({"a": one(shape=(2**38,), end=2**40)})
    file.write_bytes(content)
    os.truncate(file, len(content) + 2**40)  # of holes
    for module in ("models.serialization", "utils.safetensors_io"):
        monkeypatch.setattr(f"colddiff.{module}.check_weights", lambda *_: None)  # a config is quickly made to fit
    assert "takes " in (told := refusal(READERS[name], run)) and "TB of memory, and 1 MB is free" in told


class Masked(nn.Module):
    """A network of a user's own, with a mask of attention, and weights under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.weight = self.first.weight
        self.register_buffer("mask", torch.full((4, 4), -math.inf).triu(1))


def test_a_buffer_may_be_infinite_and_a_parameter_may_not(tmp_path: Path) -> None:
    net, file = Masked(), tmp_path / "model.safetensors"
    write_tensors(file, net.state_dict())
    back = Masked()
    load_weights(back, file)
    assert back.mask.equal(net.mask) and back.second.weight.equal(net.first.weight)
    for name in ("first.weight", "second.weight", "first.bias"):
        spoilt = {key: tensor.clone() for key, tensor in net.state_dict().items()}
        spoilt[name].view(-1)[0] = math.nan
        write_tensors(file, spoilt)
        assert f"not finite, in {name}" in refusal(load_weights, back, file)


PRIORS = {
    "channels": ("means", lambda t: t.expand(10, 3, 6, 6).clone()),
    "weights": ("weights", lambda t: -t),
    "nothing-to-draw": ("weights", lambda t: 0 * t),
    "one-factor": ("factors", lambda t: t[:1]),
    "bytes": ("means", lambda t: t.byte()),
}


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_that_was_fitted_to_nothing_is_refused(name: str, run: Path) -> None:
    which, change = PRIORS[name]
    spoil(run / "prior.safetensors", lambda tensors: tensors.update({which: change(tensors[which])}))
    assert "LowresGMM cannot be fitted to tensors" in refusal(load, run)


def test_moments_of_another_shape_never_reach_the_optimizer(run: Path) -> None:
    save_file({"0.exp_avg": torch.zeros(3), "0.exp_avg_sq": torch.zeros(3), "0.step": torch.ones(())},
              run / "optimizer.safetensors")  # fmt: skip
    assert "0.exp_avg" in refusal(read_moments, run)
    save_file({"9999.exp_avg": torch.zeros(3)}, run / "optimizer.safetensors")
    assert "9999" in refusal(read_moments, run)


# --- all of it in a process with limits ------------------------------------------------------------------------------

HERE = Path(__file__).parent
CHILD = """
import json, resource, sys, time, warnings
from pathlib import Path
from colddiff.models.serialization import load
import test_untrusted_runs as told
from support.hostile_files import REFUSED
warnings.simplefilter("ignore")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + told.HEADROOM,) * 2)
for reader, folder in json.load(sys.stdin):
    before, began = peak(), time.process_time()
    try:
        told.READERS[reader](Path(folder))
        outcome = "read"
    except REFUSED as error:
        outcome = type(error).__name__
    print(json.dumps([folder, outcome, time.process_time() - began, peak() - before, peak()]), flush=True)
"""


@pytest.mark.slow
def test_every_hostile_run_is_refused_within_two_seconds_and_a_gibibyte(tmp_path: Path) -> None:
    cases = []
    for name, content in [
        *((f"config-{k}", content) for k, (content, _) in CONFIGS.items()),
        *((f"config-{i}-{k}", operator(k, **fields)) for i, (k, fields) in enumerate(OPERATORS)),
    ]:
        folder = Path(shutil.copytree(SHIPPED / "digits", tmp_path / name))
        (folder / "config.json").write_bytes(content)
        cases.append(("model", folder))
    bomb = pickle.dumps(Bomb(tmp_path / "executed"))
    for file in (*READERS, "config", "baseline"):
        for name in FILES if file in READERS else ["pickle"]:
            folder = Path(shutil.copytree(SHIPPED / "digits", tmp_path / f"{file}-{name}"))
            place = folder / (f"{file}.json" if file == "config" else f"{file}.safetensors")
            place.write_bytes(bomb if name == "pickle" else FILES[name][0])
            cases.append((file if file in READERS else "model", folder))
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps([[r, str(f)] for r, f in cases]), capture_output=True,
        text=True,
        cwd=HERE, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}, timeout=300,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(cases), done.stderr
    kept = [row for row in rows if row[1] == "read"]
    assert [Path(row[0]).name for row in kept] == ["baseline-pickle"]  # a warning, and the run works
    assert max(row[2] for row in rows) < SECONDS and max(row[4] for row in rows) < HEADROOM
    assert not (tmp_path / "executed").exists()


def test_files_spoiled_at_random_are_read_or_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(config, "entry_points", lambda *, group, name=None: [])
    found = fuzz_readers.fuzz(10.0, 1, tmp_path, most=40)
    assert found.runs == 40 and not found.findings, found.findings
