"""How much work fits into a number of minutes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from ..utils.numerics import cpu_threads

TIMED_STEPS = 6
OVERHEAD = 0.05  # share of a budget that validation, pictures and checkpoints take


def steps_in(minutes: float, step: Callable[[int], None], device: torch.device) -> tuple[int, int]:
    """How many steps fit into a budget, and on how many threads, by timing a few.

    On a CPU one thread is timed too, and taken if it is faster: where another program has a core, two threads that
    wait for each other at every layer were 80 times slower than one.

    Args:
        minutes: of wall clock, the timing included.
        step: does step k.
        device: where.
    """
    began, threads = time.perf_counter(), torch.get_num_threads()
    limit = 60 * minutes / 20  # seconds for each look
    seconds = _seconds_per(step, limit)
    if device.type == "cpu" and threads > 1:
        with cpu_threads(1):
            alone = _seconds_per(step, limit)
        threads, seconds = (1, alone) if alone < seconds else (threads, seconds)
    left = 60 * minutes - (time.perf_counter() - began)
    return max(1, int(left * (1 - OVERHEAD) / seconds)), threads


def _seconds_per(step: Callable[[int], None], limit: float) -> float:
    """The median time of a few steps after a first one, fewer where they take longer than `limit` seconds together."""
    times: list[float] = []
    while len(times) < 2 or (len(times) < TIMED_STEPS and sum(times) < limit):
        start = time.perf_counter()
        step(len(times))
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
