"""What a degradation does as time goes by, and how a sampler comes back: strips, sheets, animations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from ..degradations.base import Degradation, Images, Params
from ..degradations.times import as_times
from ..samplers.base import State
from .sheets import CLOSE, labelled_rows

STRIP = 8  # pictures from t = 0 to t = 1
COLUMNS = 11  # of a sheet of a trajectory


def film(
    degradation: Degradation,
    x: Images,
    times: int | Sequence[float] | Tensor = STRIP,
    *,
    params: Params | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """D(x, t) at every time, with the same params at all of them: (K, B, C, H, W).

    Args:
        degradation: what damages them.
        x: clean images (B, C, H, W).
        times: in [0, 1], or how many, evenly spaced from 0 to 1.
        params: from `draw`; drawn here if left out.
        generator: for the draw, on the CPU.

    Raises:
        ValueError: fewer than one time, or one outside [0, 1]. What `Degradation.bind` raises.
    """
    D = degradation.bind(degradation.draw(x, generator) if params is None else params, like=x)
    return torch.stack([D(x, t) for t in _times(times)])


def film_strip(
    degradation: Degradation,
    x: Images,
    times: int | Sequence[float] | Tensor = STRIP,
    *,
    params: Params | None = None,
    generator: torch.Generator | None = None,
    zoom: int | None = None,
) -> Image.Image:
    """A row of `film` for each image, with the time below each column; `zoom` repeats pixels."""
    shown = film(degradation, x, times, params=params, generator=generator)
    rows = [("", shown[:, i]) for i in range(len(x))]
    return labelled_rows(rows, [_describe(float(t)) for t in _times(times)], zoom=zoom)


def trajectory(
    x: Images, states: Sequence[State], start: float = 1.0, *, columns: int = COLUMNS, zoom: int | None = None
) -> Image.Image:
    """A sampler's walk as a sheet: above x_t, below what the restorer makes of it, x0_hat; the time below each column.

    Args:
        x: where it began, (B, C, H, W): two rows for each image.
        states: what `walk` gave, one after another.
        start: the time of x.
        columns: at most so many times are shown, evenly chosen, the first and the last among them.
        zoom: repeats pixels.

    Raises:
        ValueError: no states, or fewer than two columns.
    """
    if columns < 2:
        raise ValueError(f"a trajectory has at least 2 columns, got {columns}")
    stops = _stops(x, states, start)
    shown = [stops[i] for i in dict.fromkeys(torch.linspace(0, len(stops) - 1, columns).round().int().tolist())]
    rows = []
    for i in range(len(x)):
        rows += [("x_t", torch.stack([at[i] for _, at, _ in shown]))]
        # Nothing is asked of the restorer at the end.
        rows += [("x0_hat", torch.stack([x0[i] for _, _, x0 in shown[:-1]]))]
    return labelled_rows(rows, [_describe(t) for t, _, _ in shown], zoom=zoom)


def frames(x: Images, states: Sequence[State], start: float = 1.0, *, zoom: int | None = None) -> list[Image.Image]:
    """A sampler's walk as an animation: x_t beside x0_hat, a row for each image, in K + 1 pictures of K states.

    Its arguments are those of `trajectory`.
    """
    zoom = zoom or -(-CLOSE // x.shape[-1])
    return [
        labelled_rows(
            [("", torch.stack([at[i], x0[i]])) for i in range(len(x))], [_describe(t), "x0_hat"], zoom=zoom
        )
        for t, at, x0 in _stops(x, states, start)
    ]  # fmt: skip


# --- helpers ---------------------------------------------------------------------------------------------------------


def _times(times: int | Sequence[float] | Tensor) -> Tensor:
    found = torch.linspace(0, 1, max(times, 0), dtype=torch.float64) if isinstance(times, int) else times
    found = torch.as_tensor(found, dtype=torch.float64).reshape(-1)
    if not len(found):
        raise ValueError(f"a film has at least one time, got {times}")
    return found


def _describe(t: float) -> str:
    return f"t = {t:.2f}"


def _stops(x: Images, states: Sequence[State], start: float) -> list[tuple[float, Tensor, Tensor]]:
    """(time, x_t, x0_hat) of every stop; at the last, where the restorer is not asked again, its last answer."""
    if not states:
        raise ValueError("a trajectory has at least one state, got none")
    times = [float(as_times(start, x)[0]), *(float(state.t[0]) for state in states)]
    answers = [state.x0.to(x.device) for state in states]
    return list(zip(times, [x, *(state.x.to(x.device) for state in states)], [*answers, answers[-1]], strict=True))
