"""The app as users start it: a process of its own, which ends with the test."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 120  # seconds until it serves, on a busy machine


@dataclass
class Served:
    """Where the app is, and, when it has ended, its exit code and what it said on stderr."""

    address: str
    code: int | None = None
    said: str = ""


@contextmanager
def app(*arguments: str, cwd: Path, stop: signal.Signals = signal.SIGTERM) -> Iterator[Served]:
    """The app in a process of its own, which is told to stop at the end."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(cwd)}
    command = [sys.executable, "-m", "colddiff", "app", "--port", str(free_port()), "--device", "cpu", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Whoever starts tests in the background has them ignore Ctrl-C, and what they start too.
    asked = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    with subprocess.Popen(command, cwd=cwd, env=environment, **pipes, **asked) as process:
        try:
            served = Served(_address(process))
            yield served
        finally:
            process.send_signal(stop)
            try:
                _, said = process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        served.code, served.said = process.returncode, said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None and process.stderr is not None
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        if not select.select([process.stdout], [], [], 1)[0]:
            continue
        found = re.search(r"colddiff app at (http://\S+?)/ ", process.stdout.readline())
        if found:
            return found[1]
    process.kill()
    raise AssertionError(f"the app does not serve: {process.stderr.read()}")
