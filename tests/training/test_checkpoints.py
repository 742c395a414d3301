"""Nothing that was saved is lost: torn checkpoints, killed processes, signals."""

import contextlib
import hashlib
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import tiny
from support.run_files import assert_same, entries, names
from torch import nn

from colddiff.training import checkpoints, loop
from colddiff.training import train as train_module
from colddiff.training.checkpoints import best_snapshot, clear_away, last_good, save_snapshot, torn
from colddiff.training.train import train
from colddiff.utils.signals import Interrupted


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [cut_short, flip_a_bit, Path.unlink, lambda file: file.write_bytes(b"")])
@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"])
def test_a_torn_checkpoint_is_left_out_with_a_warning_and_the_one_before_it_is_used(harm, name, whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    harm(out / "checkpoints" / "step-00000006" / name)
    with pytest.warns(UserWarning, match=rf"left out checkpoint .*step-00000006': .*{name}"):
        assert last_good(out) == out / "checkpoints" / "step-00000005"
    with pytest.warns(UserWarning, match="left out checkpoint"):
        train(tiny.config(out, checkpoint_every=1), resume=True, progress=False)
    assert_same(out, whole)
    assert last_good(out) == out / "checkpoints" / "step-00000006"


def test_the_list_of_checksums_is_checked_too_and_is_what_sha256sum_reads(whole, tmp_path):
    snapshot = checkpoints.snapshots(whole)[-1]
    assert torn(snapshot) is None
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=snapshot, check=True)
    copy = shutil.copytree(snapshot, tmp_path / "step-00000001")
    for content in ("", "half a line", "0" * 64 + "  ../../config.json\n", "\0\n"):
        (copy / "SHA256SUMS").write_text(content)
        assert torn(copy)
    (copy / "SHA256SUMS").write_bytes(b"\xff\xfe")
    assert torn(copy)


@pytest.mark.parametrize("told", ['{"step": 5}', '{"step": "x"}', '{"step": Infinity}', "[]", "{}", "null"])
def test_a_state_that_cannot_be_is_left_out_though_its_checksum_agrees(told, whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    snapshot = out / "checkpoints" / "step-00000006"
    before = hashlib.sha256((snapshot / "state.json").read_bytes()).hexdigest()
    (snapshot / "state.json").write_text(told)
    sums = (snapshot / "SHA256SUMS").read_text()
    (snapshot / "SHA256SUMS").write_text(sums.replace(before, hashlib.sha256(told.encode()).hexdigest()))
    with pytest.warns(UserWarning, match="left out checkpoint"):
        assert last_good(out).name == "step-00000005"


def test_where_every_checkpoint_is_torn_nothing_is_begun_over_the_run(whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    for snapshot in checkpoints.snapshots(out):
        cut_short(snapshot / "ema.safetensors")
    weights = (out / "model.safetensors").read_bytes()
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(ValueError, match="no whole checkpoint"),
    ):
        train(tiny.config(out, checkpoint_every=1), resume=True)
    assert (out / "model.safetensors").read_bytes() == weights


def test_a_checkpoint_too_many_is_dropped_when_the_run_goes_on(tmp_path):
    train(tiny.config(tmp_path / "run", checkpoint_every=1, keep_checkpoints=4), progress=False)
    with pytest.warns(UserWarning, match="keep_checkpoints was 4, now 1"):
        train(tiny.config(tmp_path / "run", checkpoint_every=1, keep_checkpoints=1), resume=True, progress=False)
    assert names(tmp_path / "run") == ["step-00000006"]


def test_what_killed_processes_left_is_cleared_away(whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    left = [out / "checkpoints" / ".step-00000009.part", out / "checkpoints" / ".step-00000001.gone"]
    for folder in left:
        folder.mkdir()
    for name in (".123-456.part.safetensors", "samples/.123-456.part.png"):
        left.append(out / name)
        left[-1].write_bytes(b"half")
    train(tiny.config(out, checkpoint_every=1), resume=True, progress=False)
    assert not any(each.exists() for each in left)


def test_a_run_that_lost_its_weights_gets_them_back_from_the_checkpoint(whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    (out / "model.safetensors").unlink()
    train(tiny.config(out, checkpoint_every=1), resume=True, progress=False)
    assert_same(out, whole)


def test_the_last_checkpoints_are_kept_and_the_best(tmp_path):
    net = tiny.NET.build()
    optimizer = torch.optim.Adam(net.parameters())
    for step, loss in enumerate([None, 0.5, 0.1, 0.3, 0.2, 0.4], start=1):
        save_snapshot(tmp_path, net, net, optimizer, {"step": step, "validation_loss": loss}, keep=2)
    assert names(tmp_path) == ["step-00000003", "step-00000005", "step-00000006"]
    assert best_snapshot(tmp_path).name == "step-00000003"
    save_snapshot(tmp_path, net, net, optimizer, {"step": 7, "validation_loss": 0.05}, keep=1)
    assert names(tmp_path) == ["step-00000007"]


def test_a_run_keeps_as_many_as_it_is_told(tmp_path):
    train(tiny.config(tmp_path / "run", checkpoint_every=1, keep_checkpoints=3), progress=False)
    assert names(tmp_path / "run") == [f"step-{k:08d}" for k in (4, 5, 6)]


@pytest.mark.parametrize(("keep", "spoilt"), [(1, [5, 6]), (2, [4, 5, 6])])
def test_a_run_that_goes_on_from_before_torn_checkpoints_keeps_what_it_writes(keep, spoilt, tmp_path, monkeypatch):
    out = tmp_path / "run"
    train(tiny.config(out, checkpoint_every=1, keep_checkpoints=4), progress=False)
    for step in spoilt:
        flip_a_bit(out / "checkpoints" / f"step-{step:08d}" / "ema.safetensors")
    original = loop.Loop.step

    def stopping(self):
        signal.raise_signal(signal.SIGTERM)
        return original(self)

    monkeypatch.setattr(loop.Loop, "step", stopping)
    with pytest.warns(UserWarning), pytest.raises(Interrupted):
        train(tiny.config(out, checkpoint_every=9, keep_checkpoints=keep), resume=True, progress=False)
    assert names(out)[-1] == f"step-{spoilt[0]:08d}" and last_good(out) == checkpoints.snapshots(out)[-1]


def test_a_torn_checkpoint_is_nobodys_best(tmp_path):
    net = tiny.NET.build()
    optimizer = torch.optim.Adam(net.parameters())
    for step, loss in enumerate([0.1, 0.2, 0.3, 0.4], start=1):
        save_snapshot(tmp_path, net, net, optimizer, {"step": step, "validation_loss": loss}, keep=9)
    flip_a_bit(tmp_path / "checkpoints" / "step-00000001" / "ema.safetensors")
    clear_away(tmp_path, 9)
    assert best_snapshot(tmp_path).name == "step-00000002"


def test_files_of_others_are_left_alone(tmp_path):
    kept = [tmp_path / "checkpoints" / ".gitignore", tmp_path / ".env.partial", tmp_path / "checkpoints" / "step-mine"]
    kept[0].parent.mkdir()
    kept[2].mkdir()
    for file in kept[:2]:
        file.write_text("mine")
    clear_away(tmp_path, 2)
    train(tiny.config(tmp_path), progress=False)
    assert all(each.exists() for each in kept)


@pytest.mark.parametrize(("name", "value"), [
    ("0.exp_avg", torch.tensor(0.0)), ("0.exp_avg", torch.zeros(3)), ("0.step", torch.zeros(2)),
    ("0.other", torch.tensor(0.0)), ("999.step", torch.tensor(1.0)), ("0.step", torch.tensor(1)), ("0.step", None),
])  # fmt: skip
def test_moments_that_are_none_of_the_network_never_reach_the_optimizer(name, value, whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    snapshot = checkpoints.snapshots(out)[-1]
    tensors = load_file(snapshot / "optimizer.safetensors")
    tensors.pop(name, None)
    save_file(tensors | ({} if value is None else {name: value}), snapshot / "optimizer.safetensors")
    net = tiny.NET.build()
    with pytest.raises(ValueError, match=r"is no moment of this network|lacks moments"):
        checkpoints.load_snapshot(snapshot, net, tiny.NET.build(), torch.optim.Adam(net.parameters()))


def test_a_training_that_ended_while_another_waited_is_not_trained_over(tmp_path, monkeypatch):
    config, original = tiny.config(tmp_path / "run"), train_module.locked

    @contextlib.contextmanager
    def slowly(folder, work):
        monkeypatch.setattr(train_module, "locked", original)
        train(config, progress=False)
        with original(folder, work):
            yield

    monkeypatch.setattr(train_module, "locked", slowly)
    with pytest.raises(ValueError, match="holds a run already"):
        train(config, progress=False)


def test_a_log_that_lost_its_end_to_the_power_does_not_stop_a_training(whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    with (out / "log.jsonl").open("ab") as log:
        log.write(b"\xff\xfe\0")
    train(tiny.config(out, checkpoint_every=1), resume=True, progress=False)
    assert entries(out, "loss") == entries(whole, "loss")


def test_a_network_that_could_not_be_read_again_is_refused_before_the_training(tmp_path):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.zeros(2, dtype=torch.complex64))

    net = Own()
    with pytest.raises(TypeError, match=r"'table' is torch\.complex64: keep it as real numbers, or out of the state"):
        train(tiny.config(tmp_path / "run", restorer=None), net=net, progress=False)
    with pytest.raises(ValueError, match="Identity has no parameters to train"):
        train(tiny.config(tmp_path / "run", restorer=None), net=nn.Identity(), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_training_leaves_the_random_numbers_of_its_caller_alone(tmp_path):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    train(tiny.config(tmp_path / "run", steps=1), progress=False)
    assert torch.equal(torch.get_rng_state(), state)
