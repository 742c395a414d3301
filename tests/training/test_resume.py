"""A training that was stopped goes on to the very weights of one that was not."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from support import tiny
from support.image_folders import pictures
from support.run_files import assert_same, entries, tensors_of

from colddiff.data import load_data
from colddiff.degradations import GaussianBlur
from colddiff.models import serialization
from colddiff.training.loop import Loop
from colddiff.training.train import train
from colddiff.utils.signals import Interrupted


@pytest.fixture
def signal_after(monkeypatch):
    """Sends the process a signal in the middle of a step."""

    def arrange(step: int, *signums: int) -> None:
        original, calls = Loop.step, itertools.count(1)

        def stepping(self):
            if next(calls) == step:
                for signum in signums:
                    signal.raise_signal(signum)
            return original(self)

        monkeypatch.setattr(Loop, "step", stepping)

    return arrange


HARD = {
    "grad_accumulation": 2,
    "steps": 8,
    "flip": True,
    "restorer": tiny.NET.from_config(tiny.NET.to_config() | {"dropout": 0.3}),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    train(tiny.config(out, **HARD), progress=False)
    return out


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_stopped_goes_on_to_the_very_weights_of_one_that_was_not(
    signum, undisturbed, signal_after, tmp_path
):
    config = tiny.config(tmp_path / "run", **HARD)
    signal_after(3, signum)
    with pytest.raises(Interrupted) as stop:
        train(config, progress=False)
    assert (stop.value.step, stop.value.signum) == (3, signum)
    assert "everything is saved" in str(stop.value)
    train(config, resume=True, progress=False)
    assert_same(tmp_path / "run", undisturbed)
    assert entries(tmp_path / "run", "loss") == entries(undisturbed, "loss")
    assert entries(tmp_path / "run", "lr") == entries(undisturbed, "lr")


def test_the_handlers_of_the_caller_are_back_after_a_training(signal_after, tmp_path):
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    signal_after(1, signal.SIGINT)
    with pytest.raises(Interrupted):
        train(tiny.config(tmp_path / "run"), progress=False)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_signal_stops_at_once(signal_after, tmp_path):
    signal_after(2, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as stop:
        train(tiny.config(tmp_path / "run"), progress=False)
    assert not isinstance(stop.value, Interrupted)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_with_its_code_and_a_run_that_loads(signum, code, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-W", "error", "-m", "colddiff", "train", "digits", "--degradation", "gaussian_blur"]
    command += ["--out", str(out), "--steps", "100000", "--batch-size", "8", "--device", "cpu", "--log-every", "1"]
    for field, value in tiny.NET.to_config().items():
        command += [f"--restorer.{field}" if field != "type" else "--restorer", str(value)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (out / "log.jsonl").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signum)
        _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    assert "everything is saved, go on with --resume" in told and "Traceback" not in told
    run = serialization.load(out, device="cpu")
    assert run.config["step"] >= 1 and run.restore(torch.rand(1, 1, 8, 8)).isfinite().all()
    assert not [*out.rglob("*.part*")]


def test_resuming_a_finished_run_changes_nothing(undisturbed):
    before = tensors_of(undisturbed)
    train(tiny.config(undisturbed, **HARD), resume=True, progress=False)
    after = tensors_of(undisturbed)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_resuming_with_other_settings_names_them(undisturbed):
    with pytest.raises(ValueError, match=r"other settings: batch_size was 8, now 4, lr was 0\.001, now 0\.1"):
        train(tiny.config(undisturbed, **HARD | {"batch_size": 4, "lr": 0.1}), resume=True)
    with pytest.raises(ValueError, match=r"degradation\.sigma_max was 3\.0, now 4\.0; give"):
        train(tiny.config(undisturbed, **HARD | {"degradation": GaussianBlur(sigma_max=4.0)}), resume=True)


def test_a_run_is_neither_overwritten_nor_resumed_out_of_nothing(undisturbed, tmp_path):
    with pytest.raises(ValueError, match="holds a run already: add --resume"):
        train(tiny.config(undisturbed, **HARD))
    with pytest.warns(UserWarning, match="no checkpoint to resume from: begun anew"):
        run = train(tiny.config(tmp_path / "none", steps=1), resume=True, progress=False)
    assert run.config["step"] == 1
    shutil.rmtree(tmp_path / "none" / "checkpoints")
    with pytest.raises(ValueError, match="no whole checkpoint to go on from: give another --out"):
        train(tiny.config(tmp_path / "none", steps=1), resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file: give a folder"):
        train(tiny.config(tmp_path / "file"))


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    folder = pictures(tmp_path / "data", 30, mode="L")
    config = tiny.config(tmp_path / "run", data=str(folder))
    train(config, progress=False)
    train(config, resume=True, progress=False)
    n = len(load_data(folder))
    pictures(folder, 20, mode="L", first=30)
    now = len(load_data(folder))
    with pytest.raises(ValueError, match=rf"cannot resume, .*images was {n}, now {now}; bring them back") as caught:
        train(config, resume=True, progress=False)
    assert "\n" not in str(caught.value)


# --- what it leaves ---------------------------------------------------------------------------------------------------


def test_a_run_has_weights_config_log_and_pictures_and_nothing_half_written(undisturbed):
    names = {str(p.relative_to(undisturbed)) for p in undisturbed.rglob("*") if p.is_file()}
    snapshot = {f"checkpoints/step-00000008/{n}" for n in ("model", "ema", "optimizer")}
    expected = {"config.json", "model.safetensors", "prior.safetensors", "log.jsonl", "samples/step-00000008.png"}
    expected |= {"baseline.safetensors"}
    assert names == expected | {f"{s}.safetensors" for s in snapshot} | {
        *(f"checkpoints/step-00000008/{n}" for n in ("state.json", "SHA256SUMS"))
    }


def test_the_log_is_json_lines_with_loss_rate_and_speed(undisturbed):
    lines = [json.loads(line) for line in (undisturbed / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 9))
    assert all(line.keys() == {"step", "loss", "lr", "images_per_second", "seconds"} for line in steps)
    assert lines[-1].keys() == {"step", "validation_loss", "bf16_drift"}


def test_a_torn_log_is_mended_on_resume(tmp_path, signal_after):
    config = tiny.config(tmp_path / "run")
    signal_after(3, signal.SIGINT)
    with pytest.raises(Interrupted):
        train(config, progress=False)
    with (tmp_path / "run" / "log.jsonl").open("a") as log:
        log.write('{"step": 5, "loss": 1.0}\n{"step": 4, "lo')
    train(config, resume=True, progress=False)
    assert len(entries(tmp_path / "run", "loss")) == 6
