"""A training in a process of its own that is killed by SIGKILL: at any moment, or at a given write."""

import itertools
import multiprocessing
import os
import signal
import time
import warnings
from pathlib import Path

import torch

from colddiff.data import load_data
from colddiff.training import train
from support import tiny

# A server that has imported everything: a training starts in a moment.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["colddiff.training.train", "colddiff.data"])
load_data("digits")


def changes() -> dict[str, object]:
    """A training with all that draws: it takes a second, most of which it spends on checkpoints."""
    restorer = tiny.NET.from_config(tiny.NET.to_config() | {"dropout": 0.3})
    return {
        "steps": 6,
        "grad_accumulation": 2,
        "flip": True,
        "restorer": restorer,
        "checkpoint_every": 1,
        "validate_every": 3,
    }


def train_on(out: Path, dies_at: int | None = None) -> None:
    """Begin or go on; with `dies_at`, SIGKILL comes in place of the so manieth thing that is to reach the disk."""
    torch.set_num_threads(1)
    syncs, fsync = itertools.count(), os.fsync

    def syncing(handle: int) -> None:
        if next(syncs) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(handle)

    os.fsync = syncing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train.train(tiny.config(out, **changes()), resume=True, progress=False)


def started(out: Path, dies_at: int | None = None) -> multiprocessing.Process:
    """A process that trains."""
    process = CONTEXT.Process(target=train_on, args=(out, dies_at))
    process.start()
    return process


def killed(out: Path, seconds: float) -> bool:
    """Whether a training was killed after so many seconds, or came to its end before."""
    process = started(out)
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def seconds_of(out: Path) -> float:
    """How long it takes undisturbed, with its start."""
    began = time.perf_counter()
    process = started(out)
    process.join()
    assert process.exitcode == 0
    return time.perf_counter() - began
