"""A disk that is full, small, or not to be written to costs nothing that was saved."""

import errno
import os
import shutil
import subprocess

import pytest
import torch
from support import tiny
from support.run_files import assert_same, names

from colddiff import load
from colddiff.training import loop
from colddiff.training.checkpoints import last_good, save_snapshot
from colddiff.training.train import train
from colddiff.utils.files import check_room, size_in_words


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
