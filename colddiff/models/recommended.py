"""The sampler and the steps that a run's restores take where nobody chose: what its evaluation found best."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ..samplers.algorithms import SAMPLERS
from ..samplers.sample import restorer_calls
from ..samplers.time_grid import default_grid
from ..utils.files import read_json, write_json

FILE = "recommended.json"  # in a run's folder
GOALS = ("distortion", "perception")
LEFT_ALONE = "leaving the picture as it is"
# Of what a file may say: anybody may have written it.
MOST_CALLS, MOST_STARTS, MOST_IMAGES, LONGEST_NAME = 250, 100, 10**9, 200
WAY = re.compile(r"[a-z ]{1,40}")


@dataclass(frozen=True)
class Setting:
    """A way to restore pictures that are damaged to `start`.

    Args:
        start: in (0, 1].
        sampler: a name in `SAMPLERS`.
        steps: of the grid that is asked for.
        images: on how many it was measured; 0 where it was not.
        beaten_by: what is as good or better without a network: a classical restorer, or `LEFT_ALONE`.
    """

    start: float
    sampler: str
    steps: int
    images: int = 0
    beaten_by: str | None = None

    def description(self, levels: Tensor | None, start: float | None = None) -> str:
        """In words, with the restorer calls that it takes on an operator's levels, from its own start or another."""
        begin = self.start if start is None else start
        calls = restorer_calls(self.sampler, len(default_grid(self.steps, begin, levels)) - 1)
        return f"{self.sampler} ({calls} call{'' if calls == 1 else 's'})"


@dataclass(frozen=True)
class Recommended:
    """Settings by goal, each at the starts that were measured.

    Args:
        settings: of "distortion", and of "perception" if that was measured.
        data: the name of the images that they were measured on.
    """

    settings: Mapping[str, tuple[Setting, ...]]
    data: str

    def __str__(self) -> str:
        counts = [setting.images for found in self.settings.values() for setting in found]
        fewest = f"{min(counts)} to " if min(counts) < max(counts) else ""
        return f"{fewest}{max(counts)} images of {self.data}"

    def lines(self, levels: Tensor | None = None) -> list[str]:
        """The settings of each goal in words, with calls on an operator's levels; and what is as good."""
        return [
            f"for {goal} " + ", ".join(f"{s.description(levels)} at t = {s.start:.2f}{_beside(s)}" for s in found)
            for goal, found in self.settings.items()
        ]

    def at(self, start: float, goal: str) -> Setting | None:
        """The setting of the nearest start; None if nothing was measured for that goal."""
        return min(self.settings.get(goal, ()), key=lambda s: abs(s.start - start), default=None)

    def only(self, keep: Callable[[str, Setting], bool]) -> Recommended | None:
        """Those that are to be kept, by goal and setting; None if none are."""
        kept = {goal: tuple(s for s in found if keep(goal, s)) for goal, found in self.settings.items()}
        kept = {goal: found for goal, found in kept.items() if found}
        return replace(self, settings=kept) if kept else None

    def updated(self, found: Recommended) -> Recommended:
        """With what was found: in place of settings of the same goal and start that were measured on no more images."""
        settings = {}
        for goal in GOALS:
            by_start: dict[float, Setting] = {}
            for setting in (*self.settings.get(goal, ()), *found.settings.get(goal, ())):
                known = by_start.get(round(setting.start, 6))
                if known is None or setting.images >= known.images:
                    by_start[round(setting.start, 6)] = setting
            if by_start:
                settings[goal] = tuple(by_start[start] for start in sorted(by_start))
        return Recommended(settings, self.data)

    def to_dict(self) -> dict[str, Any]:
        goals = {goal: [asdict(setting) for setting in found] for goal, found in self.settings.items()}
        return {"measured": {"data": self.data}, "goals": goals}

    def save(self, folder: Path) -> Path:
        """Write it into a run's folder: `load` makes it the default of the run's restores."""
        write_json(folder / FILE, self.to_dict())
        return folder / FILE


def recommended_in(folder: Path, walks: Callable[[str], bool] = lambda _: True) -> Recommended | None:
    """What a run's folder recommends; None if it has no such file, or, with a warning, one that is not as we write it.

    Only names of `SAMPLERS`, a few words and bounded numbers come out of it.

    Args:
        folder: of the run.
        walks: whether the run can be walked with the sampler of a name; settings of others are left out, with a
            warning.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        found = _checked(read_json(file))
    except (KeyError, TypeError, AttributeError):
        why = f"{str(file)!r} is not as `colddiff eval` wrote it"
    except (ValueError, OSError) as error:
        why = str(error)
    else:
        useless = {s.sampler for settings in found.settings.values() for s in settings if not walks(s.sampler)}
        if not useless:
            return found
        told = f"{str(file)!r} recommends {', '.join(sorted(useless))}, which cannot undo the run's degradation"
        warnings.warn(f"{told}: restores go without that, measure again", stacklevel=4)
        return found.only(lambda _, setting: setting.sampler not in useless)
    warnings.warn(f"{why}: restores go without a recommendation, measure again", stacklevel=4)
    return None


def check_goal(goal: str) -> None:
    """Raise unless it is one of the goals."""
    if goal not in GOALS:
        raise ValueError(f"goal must be {' or '.join(GOALS)}, got {goal!r}")


# --- helpers ---------------------------------------------------------------------------------------------------------


def _beside(setting: Setting) -> str:
    return f" ({setting.beaten_by}, without a network, is at least as good)" if setting.beaten_by else ""


def _checked(told: Any) -> Recommended:
    goals = {goal: tuple(map(_setting, told["goals"][goal])) for goal in GOALS if told["goals"].get(goal)}
    data = told["measured"]["data"]
    if not isinstance(data, str) or len(data) > LONGEST_NAME:
        raise TypeError
    if not goals or max(map(len, goals.values())) > MOST_STARTS:
        raise TypeError
    return Recommended(goals, data)


def _setting(told: Any) -> Setting:
    start, sampler, steps, images = (told[name] for name in ("start", "sampler", "steps", "images"))
    beaten_by = told.get("beaten_by")
    known = isinstance(sampler, str) and sampler in SAMPLERS
    if not known or type(start) not in (int, float) or type(steps) is not int or type(images) is not int:
        raise TypeError
    if not 0 < start <= 1 or not 1 <= steps <= MOST_CALLS or not 1 <= images <= MOST_IMAGES:
        raise TypeError
    if beaten_by is not None and not WAY.fullmatch(beaten_by):
        raise TypeError
    return Setting(float(start), sampler, steps, images, beaten_by)
