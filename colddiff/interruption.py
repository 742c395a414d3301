"""Signals that are noted, so that work is saved before it stops."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


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
    """The signal that asked to stop, if one did."""

    signum: int | None = None


@contextlib.contextmanager
def interruptible() -> Iterator[Stopped]:
    """SIGINT and SIGTERM are noted, for the loop to finish its step and save; a second one stops at once."""
    stopped = Stopped()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def note(signum: int, frame: FrameType | None) -> None:
        if stopped.signum is not None:
            raise KeyboardInterrupt
        stopped.signum = signum

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
