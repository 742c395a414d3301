"""The sampler and the calls that a run's restores take where nobody chose: what its evaluation found best."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .files import read_json, write_json
from .samplers import SAMPLERS

FILE = "recommended.json"  # in a run's folder
GOALS = ("distortion", "perception")
FEWEST_IMAGES = 32  # on which a default is measured
# Of what a file may say: anybody may have written it.
MOST_CALLS, MOST_STARTS, MOST_IMAGES, LONGEST_NAME = 1000, 100, 10**9, 200


@dataclass(frozen=True)
class Setting:
    """A way to restore pictures that are damaged to `start`: a name in `SAMPLERS`, and restorer calls."""

    start: float
    sampler: str
    steps: int

    def __str__(self) -> str:
        return f"{self.sampler} ({self.steps} call{'' if self.steps == 1 else 's'})"


@dataclass(frozen=True)
class Recommended:
    """Settings by goal, each at the starts that were measured.

    Args:
        settings: of "distortion", and of "perception" if that was measured.
        data: the name of the images that it was measured on.
        images: how many they were.
    """

    settings: Mapping[str, tuple[Setting, ...]]
    data: str
    images: int

    def __str__(self) -> str:
        return f"{self.images} images of {self.data}"

    def lines(self) -> list[str]:
        """The settings of each goal in words."""
        ways = {goal: (f"{s} at t = {s.start:.2f}" for s in found) for goal, found in self.settings.items()}
        return [f"for {goal} {', '.join(told)}" for goal, told in ways.items()]

    def at(self, start: float, goal: str) -> Setting | None:
        """The setting of the nearest start; None if nothing was measured for that goal."""
        return min(self.settings.get(goal, ()), key=lambda s: abs(s.start - start), default=None)

    def to_dict(self) -> dict[str, Any]:
        goals = {goal: [asdict(setting) for setting in found] for goal, found in self.settings.items()}
        return {"measured": {"data": self.data, "images": self.images}, "goals": goals}

    def save(self, folder: Path) -> Path:
        """Write it into a run's folder: `load` makes it the default of the run's restores."""
        write_json(folder / FILE, self.to_dict())
        return folder / FILE


def recommended_in(folder: Path) -> Recommended | None:
    """What a run's folder recommends; None if it has no such file, or, with a warning, one that is not as we write it.

    Only names of `SAMPLERS` and bounded numbers come out of it.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        return _checked(read_json(file))
    except (KeyError, TypeError, AttributeError):
        why = f"{str(file)!r} is not as `colddiff eval` wrote it"
    except (ValueError, OSError) as error:
        why = str(error)
    warnings.warn(f"{why}: restores go without a recommendation, measure again", stacklevel=3)
    return None


def _checked(told: Any) -> Recommended:
    goals = {goal: tuple(map(_setting, told["goals"][goal])) for goal in GOALS if goal in told["goals"]}
    data, images = told["measured"]["data"], told["measured"]["images"]
    if not isinstance(data, str) or len(data) > LONGEST_NAME:
        raise TypeError
    if type(images) is not int or not 0 < images <= MOST_IMAGES:
        raise TypeError
    if not any(goals.values()) or max(map(len, goals.values())) > MOST_STARTS:
        raise TypeError
    return Recommended(goals, data, images)


def _setting(told: Any) -> Setting:
    start, sampler, steps = told["start"], told["sampler"], told["steps"]
    known = isinstance(sampler, str) and sampler in SAMPLERS
    if not known or type(start) not in (int, float) or type(steps) is not int:
        raise TypeError
    if not 0 < start <= 1 or not 1 <= steps <= MOST_CALLS:
        raise TypeError
    return Setting(float(start), sampler, steps)
