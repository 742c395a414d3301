"""How plots look: figures without any global state, one colour and marker for each method, labels at line ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#222222", "#666666", "#e4e4e4"
INTERVAL = 1.96  # standard errors to either side: 95%
PANEL = (4.3, 3.1)  # inches
DPI = 144
TITLE, TEXT, SMALL = 10.5, 9.5, 8.5  # points

# Told apart by eyes that do not see red or green, and by their lightness; no two methods share a marker.
LOOKS: dict[str, tuple[str, Any]] = {
    "one_shot": ("#222222", "o"),
    "naive": ("#d55e00", "D"),
    "improved": ("#0072b2", "s"),
    "heun": ("#7a0000", "*"),
    "multistep": ("#0b7a5a", (4, 1, 0)),
    "estimated": ("#009e73", "^"),
    "ddpm": ("#cc6fa5", "v"),
    "indi": ("#6a3d9a", ">"),
    "flow": ("#3aa0d8", "<"),
    "i2sb": ("#b58900", "p"),
    "blur_noise": ("#8c564b", "h"),
    "ihdm": ("#6b7a00", "P"),
    "momentum": ("#44aa99", "X"),
    "wiener": ("#8a8a8a", "d"),
    "mean fill": ("#8a8a8a", "H"),
    "bicubic": ("#8a8a8a", "8"),
}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc6fa5", "#222222", "#b58900", "#3aa0d8", "#6a3d9a", "#8c564b")
MARKERS = ("o", "s", "^", "D", "v", "d", "H", "8")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 1.5, 1, 1.5, 1, 1.5)))


def look(method: str) -> tuple[str, Any]:
    """The colour and the marker of a method, the same in every plot."""
    key = crc32(method.encode())
    return LOOKS.get(method) or (COLOURS[key % len(COLOURS)], MARKERS[key // len(COLOURS) % len(MARKERS)])


def panels(rows: int, columns: int, title: str, size: tuple[float, float] = PANEL) -> tuple[Figure, list[Axes]]:
    """A figure with axes in rows, one after another; it knows neither a display nor pyplot's figures.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ModuleNotFoundError('plots need matplotlib: pip install "colddiff[plots]"') from None
    drawn = Figure((columns * size[0], rows * size[1] + 0.35), dpi=DPI, layout="constrained")
    drawn.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[union-attr, call-arg]
    drawn.suptitle(title, fontsize=TITLE, color=INK, x=0.01, ha="left")
    axes = [drawn.add_subplot(rows, columns, k + 1) for k in range(rows * columns)]
    for ax in axes:
        ax.grid(True, color=GRID, linewidth=0.8)
        ax.set_axisbelow(True)
        ax.tick_params(colors=FAINT, labelsize=SMALL, length=0)
        for name, spine in ax.spines.items():
            spine.set_visible(name == "bottom")
            spine.set_color("#bbbbbb")
    return drawn, axes


def name_axes(ax: Axes, title: str, x: str, y: str = "") -> None:
    """What a panel shows, and of what."""
    ax.set_title(title, fontsize=TEXT, color=INK, loc="left")
    ax.set_xlabel(x, fontsize=TEXT, color=FAINT)
    ax.set_ylabel(y, fontsize=TEXT, color=FAINT)


def scale(ax: Axes, which: str, values: Sequence[float], *, log: bool, room: float = 0.07) -> None:
    """Room around all values along "x" or "y", and round numbers as ticks, on a logarithmic axis or a plain one.

    Args:
        ax: whose axis.
        which: "x" or "y".
        values: what is to be seen.
        log: whether the axis is logarithmic.
        room: to either side, as a share of what the values span.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    low, high = min(values), max(values)
    axis, limits = (ax.xaxis, ax.set_xlim) if which == "x" else (ax.yaxis, ax.set_ylim)
    if log:
        beside = max((high / low) ** room, 1.05)
        (ax.set_xscale if which == "x" else ax.set_yscale)("log")
        limits(low / beside, high * beside)
        axis.set_major_locator(FixedLocator(_round_numbers(low / beside, high * beside)))
        axis.set_minor_locator(NullLocator())
    else:
        beside = room * (high - low) or abs(high) * room or 1.0
        limits(low - beside, high + beside)
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 12):.6g}"))


def label_ends(ax: Axes, ends: Sequence[tuple[str, float, float, str]]) -> None:
    """A name beside the end of each line, to the right of the panel, moved apart where two would overlap.

    Args:
        ax: its limits are settled, and its height, by `Figure.draw_without_rendering`.
        ends: name, x and y in data, and colour.
    """
    apart = 1.3 * TEXT / 72 / (ax.get_window_extent().height / DPI)  # share of the panel's height
    places = ax.transAxes.inverted().transform(ax.transData.transform([end[1:3] for end in ends]))
    heights = _spaced([float(y) for _, y in places], apart)
    for (name, x, y, colour), height in zip(ends, heights, strict=True):
        ax.annotate(
            name, (x, y), xytext=(1.06, height), textcoords="axes fraction", va="center", fontsize=TEXT, color=colour,
            annotation_clip=False, arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "relpos": (0, 0.5)},
        )  # fmt: skip


def with_interval(value: Any) -> tuple[float, float, float]:
    """A number of a report with the ends of its interval: 1.96 of its standard errors away, or itself, without any."""
    if not isinstance(value, dict):
        return (float(value),) * 3
    mean, arm = float(value["mean"]), INTERVAL * float(value.get("std", 0))
    return mean, float(value.get("low", mean - arm)), float(value.get("high", mean + arm))


# --- helpers ---------------------------------------------------------------------------------------------------------


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two numbers; 1 and 3, or 1 alone, where these would be many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    sets = [[m * 10.0**p for p in powers for m in ms] for ms in ((1, 2, 5), (1, 3), (1,))]
    inside = [[v for v in found if low <= v <= high] for found in sets]
    return next((found for found in inside if len(found) <= 7), inside[-1])


def _spaced(heights: Sequence[float], apart: float) -> list[float]:
    """The same heights in the same order, at least so far apart and within [0, 1], moved as little as that needs."""
    order = sorted(range(len(heights)), key=lambda k: heights[k])
    apart = min(apart, 1 / max(len(heights) - 1, 1))
    touching: list[tuple[float, int]] = []  # sum and number, as if all those below had no extent
    for i, k in enumerate(order):
        total, count = heights[k] - i * apart, 1
        while touching and touching[-1][0] / touching[-1][1] > total / count:
            below, number = touching.pop()
            total, count = total + below, count + number
        touching.append((total, count))
    highest = 1 - (len(heights) - 1) * apart
    level = [min(max(total / count, 0), highest) for total, count in touching for _ in range(count)]
    moved = {k: level[i] + i * apart for i, k in enumerate(order)}
    return [moved[k] for k in range(len(heights))]
