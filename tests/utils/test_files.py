"""Files appear whole, with the rights that the user lets, and one at a time."""

import errno
import os
import shutil

import pytest
from support import tiny
from support.run_files import names

from colddiff.training import checkpoints
from colddiff.training.train import train
from colddiff.utils.files import UMASK, locked


def test_files_may_be_read_by_whom_the_user_lets(whole):
    assert {file.stat().st_mode & 0o777 for file in whole.rglob("*") if file.is_file()} == {0o666 & ~UMASK}


def test_two_trainings_in_one_folder_are_told_apart(whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    with locked(out, "trains"), pytest.raises(ValueError, match=r"another process trains in .*: wait for it, or give"):
        train(tiny.config(out, checkpoint_every=1), resume=True, progress=False)
    train(tiny.config(out, checkpoint_every=1), resume=True, progress=False)
    assert not (out / ".lock").exists()


def test_a_disk_that_does_not_answer_costs_no_checkpoint(whole, tmp_path, monkeypatch):
    out = shutil.copytree(whole, tmp_path / "run")

    def away(file):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output error"):
        patch.setattr(checkpoints, "_digest", away)
        train(tiny.config(out, checkpoint_every=1), resume=True, progress=False)
    assert names(out) == names(whole)
