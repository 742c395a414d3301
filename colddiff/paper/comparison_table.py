"""What a comparison of methods found: a table, and sentences."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import viz
from ..utils.files import check_target, write_text
from ..utils.statistics import MEASURES, MethodRow, number


@dataclass(frozen=True)
class Comparison:
    """The same network, data, minutes and seeds for every method.

    Args:
        task: its name.
        goals: the measures that the conclusion and the curves are about.
        rows: per method and number of calls.
        protocol: how it was measured.
        pictures: (label, images) of the same images, or of the same seeds.
    """

    task: str
    goals: tuple[str, ...]
    rows: list[MethodRow]
    protocol: dict[str, Any]
    pictures: list[tuple[str, Tensor]] = field(default_factory=list)

    @property
    def conclusion(self) -> list[str]:
        """Which method is best at what, with how many calls, and what iteration buys: in sentences."""
        made = [row for row in self.rows if row.calls]
        few = len(next(iter(made[0].values.values())).seeds) == 1
        alone = ["One seed has no spread: how far another training would have come is not known."] if few else []
        methods = dict.fromkeys(row.method for row in made)
        bought = [_bought([row for row in made if row.method == m], self.goals) for m in methods]
        return [*(_best(made, name) for name in self.goals), *filter(None, bought), *alone]

    def to_json(self) -> str:
        rows = [
            {"method": row.method, "calls": row.calls, "seconds": row.seconds}
            | {k: {"mean": v.mean, "low": v.low, "high": v.high, "seeds": v.seeds} for k, v in row.values.items()}
            for row in self.rows
        ]
        measures = {name: asdict(MEASURES[name]) for name in self.rows[0].values}
        value = {"task": self.task, "conclusion": self.conclusion, "measures": measures, "rows": rows}
        return json.dumps(value | {"protocol": self.protocol}, indent=2, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """The conclusion, the table, and the protocol below it; the best of each goal is bold."""
        names = list(self.rows[0].values)
        best = {name: _first([row for row in self.rows if row.calls], name) for name in self.goals}
        lines = [f"- {sentence}" for sentence in self.conclusion]
        lines += ["", f"| method | calls | ms per image | {' | '.join(MEASURES[n].title for n in names)} |"]
        lines.append("|---|" + "--:|" * (2 + len(names)))
        for row in self.rows:
            cells = [row.method, str(row.calls), f"{1000 * row.seconds:.2f}" if row.calls else "—"]
            for name in names:
                told = row.values[name].description(MEASURES[name].digits)
                cells.append(f"**{told}**" if row is best.get(name) else told)
            lines.append(f"| {' | '.join(cells)} |")
        notes = "\n".join(f"- {key}: {value}" for key, value in self.protocol.items())
        return "\n".join(lines) + f"\n\nProtocol:\n\n{notes}\n"

    def save(self, folder: str | Path) -> list[Path]:
        """compare-TASK.md, .json, .png with the curves and -pictures.png in a folder; what of them was written.

        Without matplotlib the curves are left out, with a warning.
        """
        text, data, plot, sheet = files_of(self.task, folder)
        write_text(text, self.to_markdown())
        write_text(data, self.to_json())
        files = [text, data]
        try:
            figure = viz.curves(f"{self.task}: {self.protocol.get('data', '')}", self.rows, self.goals)
            files.append(viz.save(figure, plot))
        except ModuleNotFoundError as error:
            warnings.warn(f"{plot.name} is left out: {error}", stacklevel=2)
        if self.pictures:
            files.append(viz.save(viz.labelled_rows(self.pictures), sheet))
        return files


def files_of(task: str, folder: str | Path) -> list[Path]:
    """What `Comparison.save` writes.

    Raises:
        ValueError: one of them cannot be written there.
    """
    files = [Path(folder) / f"compare-{task}{end}" for end in (".md", ".json", ".png", "-pictures.png")]
    for file in files:
        check_target(file)
    return files


# --- sentences -------------------------------------------------------------------------------------------------------


def _first(rows: Sequence[MethodRow], name: str) -> MethodRow:
    """The row with the best mean, of equal ones that with the fewest calls."""
    sign = 1 if MEASURES[name].lower else -1
    return min(rows, key=lambda row: (sign * row.values[name].mean, row.calls))


def _best(rows: list[MethodRow], name: str) -> str:
    """Which method is best by a measure, and which are not told apart from it."""
    measure, best = MEASURES[name], _first(rows, name)
    own = best.values[name]
    line = f"{measure.title}: {best} is best with {own.description(measure.digits)}"
    others = [_first([r for r in rows if r.method == m], name) for m in dict.fromkeys(r.method for r in rows)]
    others = [row for row in others if row.method != best.method]
    if not others or len(own.seeds) == 1:
        return line + "."
    close = [str(row) for row in others if not own.apart(row.values[name])]
    if not close:
        return line + f"; its {len(own.seeds)} seeds lie apart from the best of every other method."
    return line + f"; not told apart by {len(own.seeds)} seeds from {', '.join(close)}."


def _bought(rows: list[MethodRow], names: Sequence[str]) -> str:
    """What more restorer calls bring one method; nothing where it has one number of calls."""
    once, more = min(rows, key=lambda row: row.calls), [row for row in rows if row.calls > rows[0].calls]
    return f"{once.method}: {', '.join(_change(once, _first(more, n), n) for n in names)}." if more else ""


def _change(once: MethodRow, best: MethodRow, name: str) -> str:
    """From the fewest calls to the best of more calls."""
    measure, before, after = MEASURES[name], once.values[name], best.values[name]
    gained = (after.mean < before.mean) == measure.lower and after.mean != before.mean
    first, then = (number(value.mean, measure.digits) for value in (before, after))
    told = f"{measure.title} {first} with {once.calls} call{'' if once.calls == 1 else 's'}, {then} with {best.calls}"
    if len(before.seeds) > 1 and not before.apart(after):
        return f"{told} (not told apart)"
    return told + (" (iteration helps)" if gained else " (worse with every number of calls)")
