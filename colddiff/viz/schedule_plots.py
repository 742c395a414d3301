"""Schedules against time: how severe the damage is, and how much signal is left of the noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..degradations.noise_schedules import NoiseSchedule
from ..degradations.schedules import Schedule
from .style import COLOURS, DASHES, SMALL, name_axes, panels, scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 401
FARTHEST = 16.0  # of a logarithm of a ratio that is shown: it begins at infinity


def schedules(shown: Sequence[Schedule | NoiseSchedule]) -> Figure:
    """Severity against time of every schedule; of noise schedules what is left of the signal, and its ratio to noise.

    Args:
        shown: schedules of both kinds, in any order.

    Raises:
        ValueError: nothing to show. ModuleNotFoundError: matplotlib is missing.
    """
    if not shown:
        raise ValueError("expected at least one schedule, got none")
    t = torch.linspace(0, 1, POINTS, dtype=torch.float64)
    warps = [each for each in shown if isinstance(each, Schedule)]
    noises = [each for each in shown if isinstance(each, NoiseSchedule)]
    parts: list[tuple[str, str, list[tuple[str, Tensor]]]] = []
    if warps:
        parts.append(("schedules: severity", "s(t)", [(_describe(each), each(t)) for each in warps]))
    if noises:
        left = [(_describe(each), each.alpha_bar(t)) for each in noises]
        parts.append(("noise schedules: signal variance", r"$\bar\alpha_t$", left))
        ratios = [(name, torch.log(a / (1 - a))) for name, a in left]
        parts.append(("noise schedules: log signal-to-noise", r"$\ln\,\bar\alpha_t / (1 - \bar\alpha_t)$", ratios))
    drawn, axes = panels(1, len(parts), "from clean (t = 0) to fully degraded (t = 1)", (3.9, 3.3))
    names = list(dict.fromkeys(name for *_, lines in parts for name, _ in lines))
    for ax, (title, y, lines) in zip(axes, parts, strict=True):
        for name, values in lines:
            k = names.index(name)
            colour, dash = COLOURS[k % len(COLOURS)], DASHES[k % len(DASHES)]
            ax.plot(t.tolist(), values.tolist(), color=colour, lw=2, ls=dash, label=name)
        scale(ax, "x", (0.0, 1.0), log=False)
        ends = [float(v.clamp(-FARTHEST, FARTHEST)) for _, values in lines for v in (values.min(), values.max())]
        scale(ax, "y", ends, log=False)
        name_axes(ax, title, "time t", y)
        ax.legend(fontsize=SMALL, frameon=False)
    return drawn


def _describe(schedule: Schedule | NoiseSchedule) -> str:
    """Its name, and the fields that are not as everybody has them."""
    config, plain = schedule.to_config(), type(schedule)().to_config()
    other = [f"{k} {v:g}" if isinstance(v, float) else f"{k} {str(v)[:20]}" for k, v in config.items() if v != plain[k]]
    return ", ".join([config["type"], *other])
