"""How much main memory there is to take."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

GROUP = Path("/sys/fs/cgroup")  # of this process, where containers have memory limits


def free_memory() -> int:
    """Bytes of main memory that this process may still take: of the machine, and of its control group."""
    free: int = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # no such group, or one without a limit
        limit, used = (int((GROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used)
    return free
