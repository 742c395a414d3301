"""Numbers of several seeds: their mean and range, in rows of a table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A number that is low or high where a method is good: its title, its digits."""

    title: str
    digits: int
    lower: bool = True


MEASURES = {
    "rmse": Measure("RMSE", 4),
    "ssim": Measure("SSIM", 3, lower=False),
    "kid": Measure("KID*", 4),
    "fid": Measure("FID*", 2),
    "nearest": Measure("nearest", 2, lower=False),
}


@dataclass(frozen=True)
class SeedStats:
    """A number of each seed: their mean, and their range."""

    seeds: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.seeds)

    @property
    def low(self) -> float:
        return min(self.seeds)

    @property
    def high(self) -> float:
        return max(self.seeds)

    def apart(self, other: SeedStats) -> bool:
        """Whether every seed of one lies on the same side of every seed of the other."""
        return self.high < other.low or other.high < self.low

    def description(self, digits: int) -> str:
        mean, low, high = (number(value, digits) for value in (self.mean, self.low, self.high))
        return mean if len(self.seeds) == 1 else f"{mean} [{low}, {high}]"


@dataclass(frozen=True)
class MethodRow:
    """A method with a number of restorer calls.

    Args:
        method: its name; "degraded" and "training images" are what there was before.
        calls: of the restorer, per image; 0 where there was none.
        seconds: per image, the median over the seeds.
        values: by the names in `MEASURES`.
    """

    method: str
    calls: int
    seconds: float
    values: dict[str, SeedStats]

    def __str__(self) -> str:
        return f"{self.method} ({self.calls} call{'' if self.calls == 1 else 's'})"


def number(value: float, digits: int) -> str:
    """So many digits behind the point, fewer of large numbers."""
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:.{max(0, digits - whole)}f}"
