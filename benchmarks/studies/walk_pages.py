"""What `sampling_variants` measured, as tables and figures in three pages: the mean and the range of the seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from colddiff.utils.statistics import MEASURES, SeedStats
from colddiff.viz.style import TEXT, look, name_axes, panels, scale

from ..lib.tables import rewrite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = dict[str, Any]
DATA = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
WITHOUT, WITH = "#8a8a8a", "#0072b2"


def write_pages(lines: Sequence[Line], docs: Path) -> None:
    """The tables between the marks of the pages, and the figures beside them."""
    for idea, (page, table, figure) in PAGES.items():
        text = table(lines)
        print(text)
        rewrite(docs / "methods" / f"{page}.md", idea, text)
        image = docs / "images" / f"{page}.png"
        figure(lines).savefig(image)
        Image.open(image).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(image, optimize=True)


# --- tables ----------------------------------------------------------------------------------------------------------


def consistency_table(lines: Sequence[Line]) -> str:
    rows = []
    for key, own in _groups(lines, "consistency", "data", "task", "sampler"):
        without, kept = _halves(own, "consistent")
        off = (f"{max(line['off'] for line in half):.0e}" for half in (without, kept))
        rows.append([*key, *_compared(without, kept), *off])
    heads = ["RMSE", "consistent", "less by", "SSIM", "consistent", "off by", "consistent"]
    return _markdown(["data", "damage", "sampler", *heads], rows)


def rollout_table(lines: Sequence[Line]) -> str:
    rows = [[*key, *_compared(*_halves(own, "rollout"))] for key, own in _groups(lines, "rollout", "data", "calls")]
    return _markdown(["data", "calls", "RMSE", "rollout", "less by", "SSIM", "rollout"], rows)


def order_table(lines: Sequence[Line]) -> str:
    names = ("rmse", "ssim", "off")
    rows = [
        [*key, *(_spread(own, name).description(_digits(name)) for name in names)]
        for key, own in _groups(lines, "order", "data", "task", "calls", "sampler")
    ]
    return _markdown(["data", "damage", "calls", "sampler", "RMSE", "SSIM", "from the limit"], rows)


# --- figures ---------------------------------------------------------------------------------------------------------


def consistency_figure(lines: Sequence[Line]) -> Figure:
    """RMSE of each damage and sampler without and with, a panel per data set."""
    told = "RMSE of restored test images, blue: consistent; mean and range of three seeds"
    drawn, axes = panels(1, len(DATA), told, (4.6, 3.4))
    for ax, (data, title) in zip(axes, DATA.items(), strict=True):
        groups = [*_groups([line for line in lines if line["data"] == data], "consistency", "task", "sampler")]
        for y, (_, own) in enumerate(reversed(groups)):
            for half, colour in zip(_halves(own, "consistent"), (WITHOUT, WITH), strict=True):
                value = _spread(half, "rmse")
                ax.plot([value.low, value.high], [y, y], color=colour, linewidth=2)
                ax.plot([value.mean], [y], "o", color=colour, markersize=6)
        ax.set_yticks(range(len(groups)), [" ".join(key) for key, _ in reversed(groups)], fontsize=TEXT)
        name_axes(ax, title, "RMSE")
    return drawn


def rollout_figure(lines: Sequence[Line]) -> Figure:
    """RMSE against calls without and with, a panel per data set."""
    told = "RMSE of `improved` from blur, trained plainly (grey) and with rollout (blue); mean and range of three seeds"
    drawn, axes = panels(1, len(DATA), told, (4.6, 3.0))
    for ax, (data, title) in zip(axes, DATA.items(), strict=True):
        groups = [*_groups([line for line in lines if line["data"] == data], "rollout", "calls")]
        for which, colour in ((0, WITHOUT), (1, WITH)):
            points = [(int(calls), _spread(_halves(own, "rollout")[which], "rmse")) for (calls,), own in groups]
            _line(ax, points, colour, "o")
        name_axes(ax, title, "restorer calls", "RMSE")
    return drawn


def order_figure(lines: Sequence[Line]) -> Figure:
    """How far from the limit of small steps, and how far from the truth, against calls."""
    told = "blue: improved, others: second order; mean and range of three seeds, blurred test images"
    drawn, axes = panels(2, len(DATA), told, (4.6, 2.8))
    for k, (name, what) in enumerate((("off", "RMSE to the limit of small steps"), ("rmse", "RMSE to the truth"))):
        for ax, (data, title) in zip(axes[k * len(DATA) :], DATA.items(), strict=False):
            chosen = [line for line in lines if line["data"] == data and line["task"] == "blur"]
            seen: dict[str, list[tuple[int, SeedStats]]] = {}
            for (sampler, calls), own in _groups(chosen, "order", "sampler", "calls"):
                seen.setdefault(sampler, []).append((int(calls), _spread(own, name)))
            for sampler, points in seen.items():
                _line(ax, points, *look(sampler), label=sampler)
            if name == "off" and seen:
                scale(ax, "y", [p.mean for points in seen.values() for _, p in points], log=True)
            name_axes(ax, title, "restorer calls", what)
            ax.legend(fontsize=TEXT, frameon=False)
    return drawn


PAGES = {
    "consistency": ("consistency", consistency_table, consistency_figure),
    "rollout": ("rollout", rollout_table, rollout_figure),
    "order": ("second-order", order_table, order_figure),
}


# --- helpers ---------------------------------------------------------------------------------------------------------


def _line(
    ax: Axes, points: Sequence[tuple[int, SeedStats]], colour: str, marker: str, label: str | None = None
) -> None:
    x, y = zip(*((calls, value.mean) for calls, value in points), strict=True)
    ax.plot(x, y, color=colour, marker=marker, linewidth=1.6, label=label)
    for calls, value in points:
        ax.plot([calls, calls], [value.low, value.high], color=colour, linewidth=2)


def _groups(lines: Iterable[Line], idea: str, *names: str) -> Iterator[tuple[tuple[str, ...], list[Line]]]:
    """The lines of an idea by what they are of, in order: data sets, damages, calls, samplers as they come."""
    groups: dict[tuple[str, ...], list[Line]] = {}
    mine = (line for line in lines if line["idea"] == idea)
    for line in sorted(mine, key=lambda line: (list(DATA).index(line["data"]), line["task"], line.get("calls", 0))):
        key = tuple(DATA.get(str(line[name]), str(line[name])) for name in names)
        groups.setdefault(key, []).append(line)
    yield from groups.items()


def _halves(lines: Sequence[Line], flag: str) -> tuple[list[Line], list[Line]]:
    """Without and with, each by seed."""
    ordered = sorted(lines, key=lambda line: int(line["seed"]))
    return [line for line in ordered if not line[flag]], [line for line in ordered if line[flag]]


def _compared(without: Sequence[Line], beside: Sequence[Line]) -> list[str]:
    """RMSE without and with, by how much it is less, seed by seed, and SSIM without and with."""
    gains = SeedStats(
        tuple(round(a["rmse"] - b["rmse"], 4) + 0.0 for a, b in zip(without, beside, strict=True))
    )  # no -0
    rmse, ssim = (
        [_spread(own, name).description(_digits(name)) for own in (without, beside)] for name in ("rmse", "ssim")
    )
    return [*rmse, gains.description(4), *ssim]


def _spread(lines: Sequence[Line], name: str) -> SeedStats:
    return SeedStats(tuple(float(line[name]) for line in lines))


def _digits(name: str) -> int:
    return MEASURES[name].digits if name in MEASURES else 4


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    aligned = ["--:" if k > 1 else "---" for k in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, aligned, *rows))
