"""Methods beside each other: against what they cost, and how real against how true their pictures are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..utils.statistics import MEASURES, MethodRow
from .style import SMALL, TEXT, label_ends, look, name_axes, panels, scale, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DODGE = 0.012  # of the width of a panel, from one method to the next at the same number of calls
CORNERS = ((6, 4), (6, -11), (-6, 4), (-6, -11))  # of a point, where its number stands, in points
NEAR = 0.06  # of a panel: nearer, numbers would overlap
LOOKS_REAL = {"lpips": "LPIPS", "kid": "KID", "fid": "FID"}


def curves(title: str, rows: Sequence[MethodRow], goals: Sequence[str]) -> Figure:
    """Every measure of the goals against restorer calls, and below against milliseconds per image.

    A bar is the range of the seeds; a dashed line is a method with one number of calls.

    Args:
        title: what was compared on what.
        rows: of a comparison, a method with a number of calls each.
        goals: names of measures, a panel for each.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
    """
    seeds = max(len(value.seeds) for row in rows for value in row.values.values())
    told = f"{title}; {f'mean and range of {seeds} seeds' if seeds > 1 else 'one seed'}; dashed: one number of calls"
    drawn, axes = panels(2, len(goals), told)
    ends = [
        (ax, _cost_panel(ax, [row for row in rows if row.calls], name, seconds=seconds))
        for (seconds, name), ax in zip([(s, g) for s in (False, True) for g in goals], axes, strict=True)
    ]
    drawn.draw_without_rendering()
    for ax, found in ends:
        label_ends(ax, found)
    return drawn


def tradeoff(rows: Sequence[dict[str, Any]]) -> Figure:
    """How real pictures look against how far they are from the truth, from the rows of a `Report`.

    A curve per sampler, the number of restorer calls at its points, 95% intervals as bars, a panel per start; hollow
    and dashed is what knows the true params. The degraded pictures themselves are left out: they are too far away.

    Raises:
        ValueError: rows of no report, or of one that measured no perception. ModuleNotFoundError: matplotlib is
        missing.
    """
    measure = _perception(rows)
    rows = [row for row in rows if row["method"] != "degraded"]
    starts = sorted({float(row["start"]) for row in rows})
    columns = min(len(starts), 2)
    told = "how real against how true: lower left is better; numbers are restorer calls, bars 95% intervals"
    drawn, axes = panels(-(-len(starts) // columns), columns, told, (4.0, 3.5))
    for ax, start in zip(axes, starts, strict=False):
        _tradeoff_panel(ax, [row for row in rows if float(row["start"]) == start], measure)
        ax.set_title(f"from t = {start:g}", fontsize=TEXT, loc="left")
    for ax in axes[len(starts) :]:
        ax.set_axis_off()
    named = {name: line for ax in axes for line, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    drawn.legend(list(named.values()), list(named), fontsize=TEXT, frameon=False, loc="outside right center")
    return drawn


# --- helpers ---------------------------------------------------------------------------------------------------------


def _cost_panel(ax: Axes, rows: list[MethodRow], name: str, *, seconds: bool) -> list[tuple[str, float, float, str]]:
    """The lines of every method in one panel; where each is to be named."""
    cost = {id(row): 1000 * row.seconds if seconds else float(row.calls) for row in rows}
    methods = list(dict.fromkeys(row.method for row in rows))
    spreads = [row.values[name] for row in rows]
    lows, highs = min(s.low for s in spreads), max(s.high for s in spreads)
    scale(ax, "x", list(cost.values()), log=True)
    scale(ax, "y", [lows, highs], log=lows > 0 and highs > 8 * lows)
    measure = MEASURES[name]
    better = "lower is better" if measure.lower else "higher is better"
    name_axes(ax, f"{measure.title} ({better})", "milliseconds per image" if seconds else "restorer calls")
    left, right = ax.get_xlim()
    shared, ends = len({*cost.values()}) < len(rows), []
    for k, method in enumerate(methods):
        own = sorted((row for row in rows if row.method == method), key=lambda row: cost[id(row)])
        aside = (right / left) ** (DODGE * (k - (len(methods) - 1) / 2) * shared)
        x, found = [cost[id(row)] * aside for row in own], [row.values[name] for row in own]
        y = [s.mean for s in found]
        bars = [[max(s.mean - s.low, 0) for s in found], [max(s.high - s.mean, 0) for s in found]]
        colour, marker = look(method)
        ax.errorbar(
            x, y, yerr=bars, color=colour, marker=marker, ms=6, lw=1.8, elinewidth=1.2, mec="white", mew=0.7,
            label=method,
        )  # fmt: skip
        if len(own) == 1:
            ax.plot([x[0], right], [y[0], y[0]], color=colour, lw=1.2, ls=(0, (4, 3)))
        ends.append((method, right if len(own) == 1 else x[-1], y[-1], colour))
    return ends


def _perception(rows: Sequence[dict[str, Any]]) -> str:
    """Which measure of how real pictures look all rows have; that they are rows of a report at all."""
    try:
        measures = [name for name in LOOKS_REAL if all(row.get(name) is not None for row in rows)]
        for row in rows:
            numbers = float(row["start"]), int(row["calls"]), *(with_interval(row[m])[0] for m in ("rmse", *measures))
            if not isinstance(row["method"], str) or not all(map(math.isfinite, numbers)):
                raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        rows = []
    if not any(row["calls"] for row in rows):
        raise ValueError("these are no rows of a report of `colddiff eval`: each has method, start, calls and rmse")
    if not measures:
        raise ValueError("the report says nothing of how real pictures look: run eval again with --perception auto")
    return measures[0]


def _tradeoff_panel(ax: Axes, rows: list[dict[str, Any]], measure: str) -> None:
    from matplotlib.patheffects import withStroke

    lines: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for row in rows:
        name = str(row["method"]).removesuffix(" (oracle)")
        lines.setdefault((name, name != row["method"]), []).append(row)
    every = [(with_interval(row["rmse"]), with_interval(row[measure])) for row in rows]
    for which, values in zip("xy", zip(*every, strict=True), strict=True):
        ends = [v for value in values for v in value[1:]]
        scale(ax, which, ends, log=min(ends) > 0 and max(ends) > 2.5 * min(ends), room=0.15)
    name_axes(ax, "", "RMSE, mean of the images", f"{LOOKS_REAL[measure]} (lower looks more real)")
    for k, ((name, oracle), own) in enumerate(lines.items()):
        colour, marker = look(name)
        own = sorted(own, key=lambda row: int(row["calls"]))
        x, y = [with_interval(row["rmse"]) for row in own], [with_interval(row[measure]) for row in own]
        ax.errorbar(
            [v[0] for v in x], [v[0] for v in y], xerr=_arms(x), yerr=_arms(y), color=colour, marker=marker, ms=6.5,
            lw=1.5, elinewidth=1, ls=(0, (4, 3)) if oracle else "-", mfc="white" if oracle else colour,
            mec=colour if oracle else "white", mew=1.2 if oracle else 0.7, label=f"{name} (oracle)" if oracle else name,
        )  # fmt: skip
        places = ax.transAxes.inverted().transform(
            ax.transData.transform([(at[0], real[0]) for at, real in zip(x, y, strict=True)])
        )
        for told, i in _together([int(row["calls"]) for row in own], places.tolist()):
            ax.annotate(
                told, (x[i][0], y[i][0]), CORNERS[k % 4], textcoords="offset points", fontsize=SMALL, color=colour,
                ha="left" if CORNERS[k % 4][0] > 0 else "right",
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )  # fmt: skip


def _together(calls: Sequence[int], places: Sequence[Sequence[float]]) -> list[tuple[str, int]]:
    """Numbers of calls and the point that they stand at: of neighbours that would overlap the first and the last."""
    groups: list[list[int]] = []
    for i, count in enumerate(calls):
        if groups and math.dist(places[groups[-1][0]], places[i]) < NEAR:
            groups[-1].append(i)
        elif count:
            groups.append([i])
    return [(str(calls[g[0]]) if len(g) == 1 else f"{calls[g[0]]}–{calls[g[-1]]}", g[0]) for g in groups]


def _arms(values: Sequence[tuple[float, float, float]]) -> list[list[float]]:
    return [[max(mean - low, 0) for mean, low, _ in values], [max(high - mean, 0) for mean, _, high in values]]
