"""Signals that are noted, so that work is saved before it stops."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

# Seconds in which two signals are one: a terminal or SLURM signals torchrun and its workers, and torchrun passes it on.
ECHO = 2.0


class Interrupted(KeyboardInterrupt):
    """A training was stopped by a signal after its state was saved.

    Args:
        step: the step it stopped after.
        signum: the signal.
    """

    def __init__(self, step: int, signum: int) -> None:
        super().__init__(f"stopped after step {step}; everything is saved")
        self.step, self.signum = step, signum


@dataclass
class Stopped:
    """The signal that asked to stop, if one did, and when it came."""

    signum: int | None = None
    since: float = 0.0


@contextlib.contextmanager
def interruptible() -> Iterator[Stopped]:
    """SIGINT and SIGTERM are noted, for the loop to finish its step and save; a second one stops at once.

    Raises:
        KeyboardInterrupt: the second signal came; its number is the argument.
    """
    stopped = Stopped()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def note(signum: int, frame: FrameType | None) -> None:
        if stopped.signum is None:
            stopped.signum, stopped.since = signum, time.monotonic()
        elif time.monotonic() - stopped.since > (ECHO if "TORCHELASTIC_RUN_ID" in os.environ else 0):
            raise KeyboardInterrupt(signum)

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for signum, handler in before.items():
            if handler is not None:  # one that Python did not set
                signal.signal(signum, handler)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends work as Ctrl-C does, with its own number: what is half written is cleared away.

    Raises:
        KeyboardInterrupt: it came; its number is the argument.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signum)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
