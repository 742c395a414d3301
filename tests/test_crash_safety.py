"""Nothing that was saved is lost: torn checkpoints, full disks, losses that are not finite."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import tiny
import torch
from runs import assert_same, entries
from safetensors.torch import load_file, save_file
from torch import nn

from colddiff import cli, commands, load, loop, snapshots, training
from colddiff.files import UMASK, check_room, locked, size_in_words
from colddiff.guard import Guard
from colddiff.interruption import Interrupted, interruptible
from colddiff.snapshots import best_snapshot, clear_away, last_good, save_snapshot, torn
from colddiff.training import train


def names(run: Path) -> list[str]:
    return [s.name for s in snapshots.snapshots(run)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run with checkpoints of its last two steps."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(tiny.config(out, checkpoint_every=1), progress=False)
    return out


# --- checkpoints that are not as they were written -------------------------------------------------------------------


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
    snapshot = snapshots.snapshots(whole)[-1]
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
    for snapshot in snapshots.snapshots(out):
        cut_short(snapshot / "ema.safetensors")
    weights = (out / "model.safetensors").read_bytes()
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(ValueError, match="no whole checkpoint"),
    ):
        train(tiny.config(out, checkpoint_every=1), resume=True)
    assert (out / "model.safetensors").read_bytes() == weights


def test_a_checkpoint_too_many_is_dropped_when_the_run_goes_on(tmp_path):
    train(tiny.config(tmp_path / "run", checkpoint_every=1, keep=4), progress=False)
    with pytest.warns(UserWarning, match="keep was 4, now 1"):
        train(tiny.config(tmp_path / "run", checkpoint_every=1, keep=1), resume=True, progress=False)
    assert names(tmp_path / "run") == ["step-00000006"]


def test_files_may_be_read_by_whom_the_user_lets(whole):
    assert {file.stat().st_mode & 0o777 for file in whole.rglob("*") if file.is_file()} == {0o666 & ~UMASK}


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
    train(tiny.config(tmp_path / "run", checkpoint_every=1, keep=3), progress=False)
    assert names(tmp_path / "run") == [f"step-{k:08d}" for k in (4, 5, 6)]


@pytest.mark.parametrize(("keep", "spoilt"), [(1, [5, 6]), (2, [4, 5, 6])])
def test_a_run_that_goes_on_from_before_torn_checkpoints_keeps_what_it_writes(keep, spoilt, tmp_path, monkeypatch):
    out = tmp_path / "run"
    train(tiny.config(out, checkpoint_every=1, keep=4), progress=False)
    for step in spoilt:
        flip_a_bit(out / "checkpoints" / f"step-{step:08d}" / "ema.safetensors")
    original = loop.Loop.step

    def stopping(self):
        signal.raise_signal(signal.SIGTERM)
        return original(self)

    monkeypatch.setattr(loop.Loop, "step", stopping)
    with pytest.warns(UserWarning), pytest.raises(Interrupted):
        train(tiny.config(out, checkpoint_every=9, keep=keep), resume=True, progress=False)
    assert names(out)[-1] == f"step-{spoilt[0]:08d}" and last_good(out) == snapshots.snapshots(out)[-1]


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


def test_two_trainings_in_one_folder_are_told_apart(whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    with locked(out, "trains"), pytest.raises(ValueError, match=r"another process trains in .*: wait for it, or give"):
        train(tiny.config(out, checkpoint_every=1), resume=True, progress=False)
    train(tiny.config(out, checkpoint_every=1), resume=True, progress=False)
    assert not (out / ".lock").exists()


@pytest.mark.parametrize(("name", "value"), [
    ("0.exp_avg", torch.tensor(0.0)), ("0.exp_avg", torch.zeros(3)), ("0.step", torch.zeros(2)),
    ("0.other", torch.tensor(0.0)), ("999.step", torch.tensor(1.0)), ("0.step", torch.tensor(1)), ("0.step", None),
])  # fmt: skip
def test_moments_that_are_none_of_the_network_never_reach_the_optimizer(name, value, whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    snapshot = snapshots.snapshots(out)[-1]
    tensors = load_file(snapshot / "optimizer.safetensors")
    tensors.pop(name, None)
    save_file(tensors | ({} if value is None else {name: value}), snapshot / "optimizer.safetensors")
    net = tiny.NET.build()
    with pytest.raises(ValueError, match=r"is no moment of this network|lacks moments"):
        snapshots.load_snapshot(snapshot, net, tiny.NET.build(), torch.optim.Adam(net.parameters()))


def test_a_disk_that_does_not_answer_costs_no_checkpoint(whole, tmp_path, monkeypatch):
    out = shutil.copytree(whole, tmp_path / "run")

    def away(file):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output error"):
        patch.setattr(snapshots, "_digest", away)
        train(tiny.config(out, checkpoint_every=1), resume=True, progress=False)
    assert names(out) == names(whole)


def test_a_training_that_ended_while_another_waited_is_not_trained_over(tmp_path, monkeypatch):
    config, original = tiny.config(tmp_path / "run"), training.locked

    @contextlib.contextmanager
    def slowly(folder, work):
        monkeypatch.setattr(training, "locked", original)
        train(config, progress=False)
        with original(folder, work):
            yield

    monkeypatch.setattr(training, "locked", slowly)
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
        train(settings(tmp_path / "run"), net=net, progress=False)
    with pytest.raises(ValueError, match="Identity has no parameters to train"):
        train(settings(tmp_path / "run"), net=nn.Identity(), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_training_leaves_the_random_numbers_of_its_caller_alone(tmp_path):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    train(tiny.config(tmp_path / "run", steps=1), progress=False)
    assert torch.equal(torch.get_rng_state(), state)


# --- disks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails_at", range(0, 36, 5))
def test_a_disk_that_fills_up_leaves_the_last_checkpoint_and_says_so(fails_at, tmp_path, monkeypatch):
    out, config = tmp_path / "run", tiny.config(tmp_path / "run", checkpoint_every=2)
    saved, fsync, save = [], os.fsync, loop.save_snapshot

    def saving(*args, **kwargs):
        saved.append(save(*args, **kwargs))
        monkeypatch.setattr(os, "fsync", filling_up)  # from the second checkpoint on

    left = iter(range(fails_at))

    def filling_up(handle: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_snapshot", saving)
        with pytest.raises(
            OSError, match=r"No space left on device; the last checkpoint is step-0000000\d: free some"
        ) as told:
            train(config, progress=False)
        monkeypatch.undo()
    assert "\n" not in str(told.value)
    good = last_good(out)
    assert good is not None and not [*out.rglob("*.part*")]
    if (out / "config.json").exists():
        assert load(out, device="cpu").restore(torch.rand(1, 1, 8, 8)).isfinite().all()
    train(config, resume=True, progress=False)
    train(tiny.config(tmp_path / "whole", checkpoint_every=2), progress=False)
    assert_same(out, tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 8 MB of its own, where one can be had."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_small_disk_that_fills_up_in_the_middle_of_a_checkpoint(small_disk, monkeypatch):
    out, config = small_disk / "run", tiny.config(small_disk / "run", checkpoint_every=1)
    original = loop.save_snapshot

    def saving(*args, **kwargs):
        if args[4]["step"] == 4 and not (small_disk / "filler").exists():  # leave room for half of it
            weights = (out / "model.safetensors").stat().st_size
            room = shutil.disk_usage(small_disk).free - 2 * weights
            (small_disk / "filler").write_bytes(bytes(room))
        return original(*args, **kwargs)

    monkeypatch.setattr(loop, "save_snapshot", saving)
    with pytest.raises(
        OSError, match=r"No space left on device; the last checkpoint is step-00000003: free some space"
    ):
        train(config, progress=False)
    assert names(out)[-1] == "step-00000003" and last_good(out) is not None
    assert load(out, device="cpu").config["step"] == 3
    (small_disk / "filler").write_bytes(b"")
    train(config, resume=True, progress=False)
    assert load(out, device="cpu").config["step"] == 6


def test_a_disk_that_is_too_small_is_found_before_the_training(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with pytest.raises(
        OSError, match=r"a training's checkpoints need .* MB in .*, and its disk has 1 kB left: free some"
    ):
        train(tiny.config(tmp_path / "run"), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_to_is_found_before_the_training(monkeypatch, tmp_path):
    def refuse(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(OSError, match=r"cannot write into .*: Read-only file system; give another folder"):
        check_room(tmp_path / "a" / "b", 1, "this")


def test_sizes_are_told_as_people_write_them():
    assert [size_in_words(n) for n in (0, 999, 1500, 2.5e9, 4e15)] == [
        "0 bytes",
        "999 bytes",
        "1.5 kB",
        "2.5 GB",
        "4e+03 TB",
    ]


def test_a_snapshot_that_cannot_be_written_leaves_nothing(tmp_path):
    net = tiny.NET.build()
    optimizer = torch.optim.Adam(net.parameters())
    with pytest.raises(ValueError, match="JSON compliant"):
        save_snapshot(tmp_path, net, net, optimizer, {"step": 1, "seconds": float("nan")})
    assert not [*(tmp_path / "checkpoints").iterdir()]


# --- losses that are not finite --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_whose_loss_or_gradient_is_not_finite_changes_nothing_and_is_counted(fused):
    net = nn.Sequential(nn.Linear(3, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    weight, mean = net[0].weight, net[1].running_mean
    optimizer = torch.optim.Adam([weight], lr=0.1, fused=fused)
    guard, nan, one = Guard(net, torch.device("cpu")), torch.tensor(float("nan")), torch.tensor(1.0)
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


# --- signals ---------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(commands, "evaluate", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["eval", "digits", "digits", "--out", str(tmp_path / "report"), "--perception", "none"]) == 143
    assert capsys.readouterr().err == "colddiff: stopped\n" and signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_does_not_wait_for_threads_that_read(monkeypatch):
    def stopped(*_, **__):
        threading.Thread(target=ends.wait).start()
        raise KeyboardInterrupt(signal.SIGTERM)

    ends, codes = threading.Event(), []
    monkeypatch.setattr(commands, "evaluate", stopped)
    monkeypatch.setattr(os, "_exit", codes.append)
    cli.main(["eval", "digits", "digits", "--perception", "none"])
    ends.set()
    assert codes == [143]
