"""How a race of samplers goes, as a plot: what the restorer answers after so many calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

from PIL import Image

from ...viz.style import FAINT, SMALL, look, name_axes, panels, scale

SIZE = (8.6, 2.9)  # inches


def race_plot(answers: Mapping[str, Sequence[float]], damaged: float) -> Image.Image:
    """RMSE of x0_hat against restorer calls.

    Args:
        answers: by sampler, the RMSE of what the restorer answered, at its first call, its second, and so on.
        damaged: RMSE of the damaged picture, a line of its own.
    """
    figure, (ax,) = panels(1, 1, "Is iterating worth it, for this picture? What the restorer answers", SIZE)
    for sampler, values in answers.items():
        colour, marker = look(sampler)
        ax.plot(range(1, len(values) + 1), values, color=colour, marker=marker, markersize=4, lw=1.4, label=sampler)
    ax.axhline(damaged, color=FAINT, lw=1, ls="--", label="damaged")
    scale(ax, "y", [damaged, *(v for values in answers.values() for v in values)], log=True)
    ax.set_xlim(0.5, max(len(values) for values in answers.values()) + 0.5)
    ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    name_axes(ax, "", "restorer calls", "RMSE of x0_hat")
    ax.legend(fontsize=SMALL, frameon=False, ncols=2, loc="best")
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    return Image.open(drawn).convert("RGB")
