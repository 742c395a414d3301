"""Contenders timed in turns, A B C A B C ..., so that what disturbs the machine disturbs them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .machine import busy_s, pick_device

Call = Callable[[], Any]
QUIET = 0.1  # cores that other programs may use in a round that counts
MIN_CLEAN = 3  # rounds; with fewer, all of them are reported


@dataclass(frozen=True)
class Spread:
    """A median and where four fifths of the values lie."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, median, high = torch.tensor(values, dtype=torch.float64).quantile(torch.tensor([0.1, 0.5, 0.9]).double())
        return cls(float(median), float(low), float(high))


@dataclass
class Table:
    """What a section has to say: rows of cells by column; a cell is a number, a word or a `Spread`."""

    title: str
    rows: list[dict[str, Any]]
    note: str = ""
    clean: tuple[int, int] | None = None  # rounds that were undisturbed, and all rounds

    def add(self, column: str, values: Mapping[str, Any]) -> Table:
        """Another column, by the names in the first; losses, peaks, sizes."""
        for row in self.rows:
            if row["name"] in values:
                row[column] = values[row["name"]]
        return self

    def seconds(self, name: str) -> Spread:
        """What a contender took."""
        ms: Spread = next(row["ms"] for row in self.rows if row["name"] == name)
        return Spread(ms.median / 1e3, ms.low / 1e3, ms.high / 1e3)


@dataclass(frozen=True)
class Effort:
    """How long a table may take, and what is tried at all.

    Args:
        rounds: undisturbed rounds that are wanted.
        limit_s: seconds after which a table is done with what it has, and at least `least` rounds.
        slot_s: seconds that a contender is repeated for in a round, if one call is shorter.
        quick: small settings, to see that everything runs.
        compile: `torch.compile` too.
    """

    rounds: int = 15
    least: int = 3
    limit_s: float = 150.0
    slot_s: float = 0.05
    quick: bool = False
    compile: bool = True
    device: torch.device = field(default_factory=pick_device)


QUICK = Effort(rounds=1, least=1, limit_s=0.0, slot_s=0.0, quick=True, compile=False)


def paired(
    title: str,
    calls: Mapping[str, Call],
    *,
    base: str,
    effort: Effort,
    against: Mapping[str, str] | None = None,
    factor: Mapping[str, float] | None = None,
    note: str = "",
) -> Table:
    """A table of times and of the ratios, round by round, to the contender named `base`.

    Args:
        calls: what to time, by name; what a call returns is waited for and read.
        against: contenders whose ratio is to another than `base`.
        factor: what a contender's time is multiplied by: 1 / steps for the time of a step.
    """
    bases = {name: (against or {}).get(name, base) for name in calls}
    missing = set(bases.values()) - set(calls)
    if missing:
        raise ValueError(f"no contender is named {', '.join(sorted(missing))}; there are {', '.join(calls)}")
    # The kernel counts in hundredths of a second: a round must be many of them.
    slot_s = max(effort.slot_s, 0.4 / len(calls)) if effort.slot_s else 0.0
    repeats = {name: _repeats(call, slot_s) for name, call in calls.items()}
    rounds: list[tuple[bool | None, dict[str, float]]] = []
    began = time.perf_counter()
    while len(rounds) < effort.least or (
        sum(clean is not False for clean, _ in rounds) < effort.rounds and time.perf_counter() - began < effort.limit_s
    ):
        rounds.append(_round(calls, repeats, factor or {}))
    clean = [seconds for undisturbed, seconds in rounds if undisturbed]
    kept = clean if len(clean) >= min(MIN_CLEAN, effort.least) else [seconds for _, seconds in rounds]
    rows = [
        {
            "name": name,
            "ms": Spread.of([1e3 * seconds[name] for seconds in kept]),
            "ratio": Spread.of([seconds[name] / seconds[other] for seconds in kept]),
            "to": other,
        }
        for name, other in bases.items()
    ]
    known = rounds[0][0] is not None
    return Table(title, rows, note, (len(clean), len(rounds)) if known else None)


def settle(result: Any) -> None:
    """Wait for the device, and read a number of what a call returned."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    if isinstance(result, Tensor) and result.numel():
        result[(0,) * result.dim()].item()


def _repeats(call: Call, slot_s: float) -> int:
    """How often a call fits a slot, after it was warmed up."""
    settle(call())
    began = time.perf_counter()
    settle(call())
    return max(1, min(10_000, int(slot_s / max(time.perf_counter() - began, 1e-7))))


def _round(
    calls: Mapping[str, Call], repeats: Mapping[str, int], factor: Mapping[str, float]
) -> tuple[bool | None, dict[str, float]]:
    """Seconds of one call of each, and whether the rest of the machine was quiet; None if nobody can tell."""
    busy, own, began = busy_s(), time.process_time(), time.perf_counter()
    seconds = {name: _slot(call, repeats[name]) * factor.get(name, 1.0) for name, call in calls.items()}
    if busy is None:
        return None, seconds
    foreign = (busy_s() or 0.0) - busy - (time.process_time() - own)
    return foreign <= QUIET * (time.perf_counter() - began), seconds


def _slot(call: Call, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        result = call()
    settle(result)
    return (time.perf_counter() - began) / repeats
