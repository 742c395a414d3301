"""A metric against time, before and after time was made linear in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from .style import COLOURS, FAINT, SMALL, name_axes, panels, scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def calibration(
    times: Tensor, curves: Sequence[tuple[str, Tensor]], grids: Sequence[Tensor], *, metric: str, title: str
) -> Figure:
    """A metric against time for some schedules of one degradation, each with a grid of times below.

    Args:
        times: (K,), at which it was measured.
        curves: names and values (K,), a line each.
        grids: times (any number) to be marked below, of each curve in turn.
        metric: what was measured, with its unit.
        title: of the degradation.

    Raises:
        ValueError: nothing to show. ModuleNotFoundError: matplotlib is missing.
    """
    if not curves:
        raise ValueError("expected at least one curve, got none")
    drawn, (ax,) = panels(1, 1, title, (5.6, 3.8))
    every = [float(v) for _, values in curves for v in values]
    low, high = min(every), max(every)
    room = 0.07 * (high - low) or 1.0
    rows = [low - (k + 1.9) * room for k in range(len(grids))]
    for k, (name, values) in enumerate(curves):
        ax.plot(times.tolist(), values.tolist(), color=COLOURS[k % len(COLOURS)], lw=2, marker=".", ms=4, label=name)
    for k, (grid, y) in enumerate(zip(grids, rows, strict=True)):
        marks = grid.tolist()
        ax.plot(marks, [y] * len(marks), ls="", marker="|", ms=9, mew=1.4, color=COLOURS[k % len(COLOURS)])
    if grids:
        ax.annotate("equal Wasserstein steps", (1.0, rows[0] + 0.6 * room), fontsize=SMALL, color=FAINT, ha="right")
    scale(ax, "x", (0.0, 1.0), log=False, room=0.03)
    scale(ax, "y", [high, *rows, low], log=False)
    name_axes(ax, f"mean {metric} of held-out images", "time t", metric)
    ax.legend(fontsize=SMALL, frameon=False)
    return drawn
