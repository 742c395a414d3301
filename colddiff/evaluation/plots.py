"""The plot that shows whether iterating is worth it: every sampler against restorer calls, at every start."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..models.recommended import Recommended
from ..viz.style import FAINT, INK, SMALL, look, name_axes, panels, scale, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILE = "worth.png"
MISSING = f'{FILE} left out, as matplotlib is not installed: pip install "colddiff[plots]"'
MEASURES = {"rmse": "RMSE", "lpips": "LPIPS", "kid": "KID"}
GOALS = {"rmse": "distortion", "lpips": "perception", "kid": "perception"}
NEAR = 3.0  # by which factor a reference may be away from the samplers to be drawn
DODGE = 0.02  # of the width of a panel, from one sampler to the next
WIDE = 4.0  # from which factor between its ends an axis is logarithmic
SIZE, NARROWEST = (3.1, 2.8), 6.4  # inches: of a panel, and the width of a figure
CHARACTERS, LINE = 13.4, 0.2  # of the title: in an inch, and inches of one of its lines

Row = Mapping[str, Any]


def drawable() -> bool:
    """Whether matplotlib is there to plot with."""
    return find_spec("matplotlib") is not None


def plot(rows: Sequence[Row], recommended: Recommended | None = None) -> Figure:
    """A column of panels per start, distortion above perception: a line per sampler, with 95% intervals.

    Dashed are the classical restorer and the damaged pictures, or an arrow says where they are; a ring is around what
    is recommended. What knows the true params is left out.

    Args:
        rows: of a `report.Report`; a start where the network has none is left out.
        recommended: its settings, if there are any.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
    """
    starts = sorted({row["start"] for row in rows if row["calls"] and not row["oracle"]})
    measures = [name for name in MEASURES if name in rows[0]]
    width = max(SIZE[0], NARROWEST / len(starts))
    title = textwrap.fill(_title(measures), int(CHARACTERS * width * len(starts)))
    height = SIZE[1] + LINE * (title.count("\n") + 2) / len(measures)  # with the legend
    drawn, axes = panels(len(measures), len(starts), title, (width, height))
    for k, ax in enumerate(axes):
        measure, start = measures[k // len(starts)], starts[k % len(starts)]
        here = [row for row in rows if row["start"] == start and not row["oracle"]]
        _panel(ax, here, measure)
        setting = recommended.at(start, GOALS[measure]) if recommended else None
        for row in here:
            if setting and (row["method"], row["steps"]) == (setting.sampler, setting.steps):
                _ring(ax, row, measure)
        below = k // len(starts) == len(measures) - 1
        first = f"{MEASURES[measure]} ({GOALS[measure]})" if k % len(starts) == 0 else ""
        name_axes(ax, f"from t = {start:.2f}" if k < len(starts) else "", "restorer calls" if below else "", first)
    named = {name: line for ax in axes for line, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    drawn.legend(
        list(named.values()), list(named), fontsize=SMALL, frameon=False, loc="outside lower center",
        ncols=max(5, 2 * len(starts)),
    )  # fmt: skip
    return drawn


# --- helpers ---------------------------------------------------------------------------------------------------------


def _title(measures: Sequence[str]) -> str:
    """The question, and what bars, dots and rings are."""
    kid = " (of KID: 1.96 jackknife standard errors)" if "kid" in measures else ""
    return (
        f"Is iterating worth it? Lower is better. Bars: 95% intervals of the mean{kid}; differences on the same images "
        "are surer than bars tell. Dotted: one call. Dashed: no network. Ring: recommended."
    )


def _panel(ax: Axes, rows: Sequence[Row], measure: str) -> None:
    """One start: the lines of the samplers, and what stands beside them."""
    tried = [row for row in rows if row["calls"]]
    points = [with_interval(row[measure]) for row in tried]
    highest, lowest = max(p[2] for p in points), min(p[1] for p in points)
    log = lowest > 0 and highest > WIDE * lowest
    beside = [(row, with_interval(row[measure])) for row in rows if not row["calls"]]
    near = [p[0] for _, p in beside if lowest / NEAR <= p[0] <= max(highest, 0) * NEAR]
    calls = sorted({float(row["calls"]) for row in tried})
    scale(ax, "x", calls, log=True)
    scale(ax, "y", [lowest, highest, *near], log=log)
    ax.set_xticks(calls, [f"{count:.0f}" for count in calls])
    for name, own, aside in _dodged(tried, ax.get_xlim()):
        found = [with_interval(row[measure]) for row in own]
        colour, marker = look(name)
        ax.errorbar(
            [row["calls"] * aside for row in own], [mean for mean, _, _ in found],
            yerr=[[max(p[0] - p[1], 0) for p in found], [max(p[2] - p[0], 0) for p in found]],
            color=colour, marker=marker, ms=5, lw=1.5, elinewidth=1.1, mec="white", mew=0.6, label=name,
        )  # fmt: skip
        if name == "one_shot":
            ax.axhline(found[0][0], color=colour, lw=0.8, ls=(0, (1, 3)))
    far = [told for row, point in beside if (told := _reference(ax, str(row["method"]), point[0]))]
    ax.set_title(", ".join(far), fontsize=SMALL, color=FAINT, loc="right")


def _dodged(rows: Sequence[Row], limits: tuple[float, float]) -> Iterator[tuple[str, list[Row], float]]:
    """Each sampler with its rows, and the factor by which it is moved aside so that bars do not hide each other."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    several = [name for name in names if name != "one_shot"]
    for name in names:
        place = several.index(name) - (len(several) - 1) / 2 if name in several else 0.0
        own = sorted((row for row in rows if row["method"] == name), key=lambda row: int(row["calls"]))
        yield name, own, (limits[1] / limits[0]) ** (DODGE * place)


def _reference(ax: Axes, name: str, mean: float) -> str:
    """A dashed line for what calls no network; where it is out of sight, an arrow with its number to put above."""
    label = "damaged" if name == "degraded" else name
    colour, dashes = (FAINT, (5, 2, 1, 2)) if name == "degraded" else (look(name)[0], (4, 3))
    ax.axhline(mean, color=colour, lw=1.2, ls=(0, dashes), label=label)
    low, high = ax.get_ylim()
    number = f"{mean:.0f}" if mean >= 1000 else f"{mean:.3g}"
    return "" if low <= mean <= high else f"{label} {number} {'↑' if mean > high else '↓'}"


def _ring(ax: Axes, row: Row, measure: str) -> None:
    """Around a point, wherever its sampler was moved aside."""
    line = next(line for line in ax.containers if line.get_label() == row["method"]).lines[0]  # type: ignore[attr-defined]
    x, y = line.get_xdata(), line.get_ydata()
    k = int(abs(x - row["calls"]).argmin())
    ax.plot([x[k]], [y[k]], "o", ms=13, mfc="none", mec=INK, mew=1.3, gid="recommended")
