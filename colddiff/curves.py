"""Curves of methods against what they cost, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from .spreads import MEASURES, Measure, Row, Spread

ZOOM = 2  # drawn twice as large and scaled down, for smooth lines
PANEL, MARGINS, HEAD = (430, 290), (74, 36, 122, 58), 34  # pixels: of a plot; left, top, right and below it; of a sheet
LABEL, DODGE = 17, 2  # pixels from one label to the next, and from one method to the next at the same number of calls
INK, FAINT, GRID = "#222222", "#666666", "#e4e4e4"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc6fa5", "#b58900", "#3aa0d8", "#7a3fa0", "#444444", "#8c564b", "#7f7f00")
CORNERS = (24, 4, 3, 4, 5, 3, 6, 24)  # of a marker; with its turn
TURNS = (0, 45, -90, 0, -90, 90, 0, 0)


@dataclass(frozen=True)
class Scale:
    """Where a number is between the ends of an axis: 0 to 1."""

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, values: Sequence[float], log: bool) -> Scale:
        low, high = min(values), max(values)
        if log:
            room = max((high / low) ** 0.06, 1.05)
            return cls(low / room, high * room, log)
        room = 0.06 * (high - low) or abs(high) * 0.06 or 1.0
        return cls(low - room, high + room, log)

    def __call__(self, value: float) -> float:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round numbers: 1, 2, 5 times powers of ten."""
        if not self.log:
            rough = (self.high - self.low) / 4
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
            return [k * step for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        sets = [[m * 10.0**p for p in powers for m in ms] for ms in ((1, 2, 5), (1, 3), (1,))]
        inside = [[v for v in found if self.low <= v <= self.high] for found in sets]
        return next((found for found in inside if len(found) <= 7), inside[-1])


def curves(title: str, rows: Sequence[Row], goals: Sequence[str]) -> Image.Image:
    """Every measure of the goals against restorer calls, and below against milliseconds per image."""
    left, top, right, below = MARGINS
    width, height = left + PANEL[0] + right, top + PANEL[1] + below
    size = (ZOOM * width * len(goals), ZOOM * (2 * height + HEAD))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    seeds = max(len(value.seeds) for row in rows for value in row.values.values())
    how = f"mean and range of {seeds} seeds" if seeds > 1 else "one seed"
    title = f"{title}; {how}; a dashed line is one number of calls"
    draw.text((ZOOM * left, ZOOM * 12), title, fill=INK, font=_font(15))
    for k, name in enumerate(goals):
        for j, (against, factor) in enumerate((("calls", 1.0), ("seconds", 1000.0))):
            corner = (k * width + left, HEAD + j * height + top)
            lines = _lines(rows, name, against, factor)
            _panel(draw, corner, lines, ("restorer calls", "milliseconds per image")[j], MEASURES[name])
    return sheet.resize((size[0] // ZOOM, size[1] // ZOOM), Image.Resampling.LANCZOS)


Line = tuple[str, list[tuple[float, Spread]]]


def _lines(rows: Sequence[Row], name: str, against: str, factor: float) -> list[Line]:
    """The points of each method, from left to right."""
    made = [row for row in rows if row.calls]
    points = {m: [(factor * getattr(r, against), r.values[name]) for r in made if r.method == m] for m in
              dict.fromkeys(r.method for r in made)}  # fmt: skip
    return [(method, sorted(found, key=lambda point: point[0])) for method, found in points.items()]


def _panel(draw: ImageDraw.ImageDraw, corner: tuple[int, int], lines: list[Line], title: str, measure: Measure) -> None:
    (left, top), (width, height) = corner, PANEL
    spreads = [spread for _, points in lines for _, spread in points]
    lows, highs = [s.low for s in spreads], [s.high for s in spreads]
    columns = [v for _, points in lines for v, _ in points]
    x, shared = Scale.of(columns, log=True), len({*columns}) < len(columns)
    y = Scale.of([*lows, *highs], log=min(lows) > 0 and max(highs) > 8 * min(lows))

    def at(value: float, number: float) -> tuple[float, float]:
        return ZOOM * (left + width * x(value)), ZOOM * (top + height * (1 - y(number)))

    for value in y.ticks():
        (start, row), end = at(x.low, value), ZOOM * (left + width)
        draw.line((start, row, end, row), fill=GRID, width=ZOOM)
        draw.text((start - 8 * ZOOM, row), f"{value:.6g}", fill=FAINT, font=_font(12), anchor="rm")
    for value in x.ticks():
        column, floor = at(value, y.low)
        draw.line((column, floor, column, ZOOM * top), fill=GRID, width=ZOOM)
        draw.text((column, floor + 7 * ZOOM), f"{value:.6g}", fill=FAINT, font=_font(12), anchor="mt")
    better = "lower is better" if measure.lower else "higher is better"
    draw.text((ZOOM * left, ZOOM * (top - 12)), f"{measure.title} ({better})", fill=INK, font=_font(13), anchor="ls")
    middle, floor = ZOOM * (left + width / 2), ZOOM * (top + height + 30)
    draw.text((middle, floor), title, fill=FAINT, font=_font(12), anchor="mt")
    ends = []
    for k, (_, points) in enumerate(lines):
        aside = ZOOM * DODGE * (k - (len(lines) - 1) / 2) * shared
        seen = [(at(v, s.mean), at(v, s.low)[1], at(v, s.high)[1]) for v, s in points]
        moved = [((column + aside, row), low, high) for (column, row), low, high in seen]
        ends.append(_curve(draw, moved, k, corner))
    for k, row in _spaced(ends, ZOOM * top, ZOOM * (top + height)):
        _label(draw, lines[k][0], ends[k], row, ZOOM * (left + width), k)


def _curve(
    draw: ImageDraw.ImageDraw, points: list[tuple[tuple[float, float], float, float]], k: int, corner: tuple[int, int]
) -> tuple[float, float]:
    """A method's line with its ranges and markers; where its label is to point to."""
    colour, places = COLOURS[k % len(COLOURS)], [place for place, _, _ in points]
    end = places[-1]
    if len(places) == 1:
        end = ZOOM * (corner[0] + PANEL[0]), end[1]
        for start in range(int(places[0][0]), int(end[0]), 9 * ZOOM):
            draw.line((start, end[1], min(start + 5 * ZOOM, end[0]), end[1]), fill=colour, width=ZOOM)
    draw.line(places, fill=colour, width=2 * ZOOM, joint="curve")
    for (column, row), low, high in points:
        draw.line((column, low, column, high), fill=colour, width=ZOOM)
        corners, turn = CORNERS[k % len(CORNERS)], TURNS[k % len(TURNS)]
        draw.regular_polygon((column, row, 4.5 * ZOOM), corners, rotation=turn, fill=colour, outline="white")
    return end


def _spaced(ends: list[tuple[float, float]], top: float, floor: float) -> Iterator[tuple[int, float]]:
    """The rows of labels beside their ends, moved apart where they would overlap."""
    order = sorted(range(len(ends)), key=lambda k: ends[k][1])
    rows: list[float] = []
    for k in order:
        rows.append(max(ends[k][1], rows[-1] + LABEL * ZOOM if rows else top))
    for i in reversed(range(len(rows))):  # what was pushed below the plot goes back up
        limit = floor if i == len(rows) - 1 else rows[i + 1] - LABEL * ZOOM
        rows[i] = min(rows[i], limit)
    return zip(order, rows, strict=True)


def _label(draw: ImageDraw.ImageDraw, text: str, end: tuple[float, float], row: float, border: float, k: int) -> None:
    colour, column = COLOURS[k % len(COLOURS)], border + 24 * ZOOM
    draw.line((*end, border + 4 * ZOOM, end[1], column - 4 * ZOOM, row), fill=colour, width=1)
    draw.text((column, row), text, fill=colour, font=_font(13), anchor="lm")


def _font(size: int) -> Any:
    return ImageFont.load_default(size=ZOOM * size)
