"""The measured table: what restoring costs and gains, by start severity, sampler and number of restorer calls."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from . import metrics, viz
from .batches import generator_for
from .checkpoint import Run
from .data import ImageData
from .files import write_text
from .restoration import restore
from .samplers import SAMPLERS, sample, time_grid

PICTURED = 8


@dataclass(frozen=True)
class Cell:
    """One way to restore: what is measured in a row of the table.

    Args:
        method: "degraded", a sampler's name, or a sampler's name with " (oracle)".
        start: time of the damaged image.
        times: the sampler's grid; None for "degraded".
    """

    method: str
    start: float
    times: Tensor | None

    @property
    def oracle(self) -> bool:
        return self.method.endswith("(oracle)")

    @property
    def sampler(self) -> str:
        return self.method.removesuffix(" (oracle)")


@dataclass(frozen=True)
class Report:
    """Rows with their protocol, and the same images restored in each way.

    Args:
        protocol: how it was measured.
        rows: method, start, steps, calls, params, and rmse, psnr, ssim with intervals.
        pictures: (label, images (8, C, H, W)) at the last start.
    """

    protocol: dict[str, Any]
    rows: list[dict[str, Any]]
    pictures: list[tuple[str, Tensor]]

    def to_json(self) -> str:
        value = {"protocol": self.protocol, "n_images": self.protocol["images"], "rows": self.rows}
        return json.dumps(value, indent=2, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """The table, and the protocol below it."""
        lines = [
            "| start | method | calls | RMSE (global) | RMSE (mean) [95%] | PSNR dB [95%] | SSIM [95%] |",
            "|--:|---|--:|--:|--:|--:|--:|",
        ]
        for row in self.rows:
            cells = [f"{row['start']:.2f}", row["method"], str(row["calls"]), f"{row['rmse']['global']:.4f}"]
            for name, digits in (("rmse", 4), ("psnr", 2), ("ssim", 3)):
                v = row[name]
                cells.append(f"{v['mean']:.{digits}f} [{v['low']:.{digits}f}, {v['high']:.{digits}f}]")
            lines.append("| " + " | ".join(cells) + " |")
        notes = "\n".join(f"- {key}: {value}" for key, value in self.protocol.items())
        return "\n".join(lines) + f"\n\nProtocol:\n\n{notes}\n"

    def save(self, folder: Path, stem: str = "report") -> list[Path]:
        """Markdown, JSON and picture, as `stem`.md, .json and .png in a folder."""
        files = [folder / f"{stem}.{suffix}" for suffix in ("md", "json", "png")]
        write_text(files[0], self.to_markdown())
        write_text(files[1], self.to_json())
        viz.save(viz.labelled_rows(self.pictures), files[2])
        return files


def evaluate(
    run: Run,
    data: ImageData,
    *,
    starts: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    steps: Sequence[int] = (5, 20),
    images: int | None = None,
    batch_size: int = 128,
    seed: int = 0,
    eight_bit: bool = True,
    progress: bool = True,
) -> Report:
    """Measure a run on images.

    Samplers get only what a restore would have: params are read off the damaged picture, estimated after a first
    restorer call, or drawn anew; rows that use the true ones are labelled oracle.

    Args:
        run: what is measured.
        data: clean images.
        starts: times in (0, 1] to which they are degraded.
        steps: numbers of steps for the samplers that take several.
        images: how many, from the first; None takes all.
        batch_size: of the evaluation.
        seed: of the degradations' draws; image i gets its own stream.
        eight_bit: round the damaged images to 8-bit levels (not clipped), as pictures come.
        progress: show a bar.
    """
    if not (images is None or images > 0) or not starts or not steps:
        raise ValueError(f"expected at least one image, start and number of steps, got {images}, {starts}, {steps}")
    if data.images.shape[1] != run.shape[0]:
        raise ValueError(f"the run takes {run.shape[0]} channels, the images have {data.images.shape[1]}")
    n = min(len(data), images or len(data))
    cells = list(_cells(run, starts, steps))
    kept: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {i: [] for i in range(len(cells))}
    calls = [0] * len(cells)
    pictured: list[list[Tensor]] = [[] for _ in cells]
    bar = tqdm(total=n * len(cells), desc="evaluating", unit=" images", disable=None if progress else True, leave=False)
    with bar:
        for first in range(0, n, batch_size):
            x0 = data[first : min(first + batch_size, n)].to(run.device)
            keys = [generator_for(seed, "evaluation", i) for i in range(first, first + len(x0))]
            params = run.degradation.draw_each(x0, keys)
            for i, cell in enumerate(cells):
                restored, calls[i] = _restored(run, cell, x0, params, seed, first, eight_bit)
                restored = restored.clamp(0, 1)
                kept[i].append(tuple(m(restored, x0).cpu() for m in (metrics.rmse, metrics.psnr, metrics.ssim)))  # type: ignore[arg-type]
                pictured[i].append(restored[: max(0, PICTURED - first)].cpu())
                bar.update(len(x0))
    rows = [_row(cell, calls[i], run, kept[i]) for i, cell in enumerate(cells)]
    pictures = [("clean", data[: min(PICTURED, n)])]
    pictures += [(_label(c), torch.cat(p)) for c, p in zip(cells, pictured, strict=True) if c.start == cells[-1].start]
    protocol = data.protocol | {
        "images": n,
        "input": "rounded to 8-bit levels, not clipped" if eight_bit else "float32",
        "output": "clipped to [0, 1], not rounded",
        "averaging": "global: one root mean square over all values; mean: per image, 95% normal interval",
        "ssim": f"Gaussian, sigma 1.5, {metrics.ssim_window(min(data.images.shape[2:]))} taps, borders left out",
        "params": _params_policy(run),
        "network precision": run.precision,
        "weights": f"averaged, step {run.config['step']}",
        "seed": seed,
    }
    return Report(protocol, rows, pictures)


def _cells(run: Run, starts: Sequence[float], steps: Sequence[int]) -> Iterator[Cell]:
    degradation = run.degradation
    levels = degradation.level_times()
    for start in _distinct(starts, levels):
        once = time_grid(1, start, levels=levels)
        yield Cell("degraded", start, None)
        yield Cell("one_shot", start, once)
        grids = {len(g): g for g in (_grid(k, start, levels) for k in sorted(steps))}
        observable = degradation.deterministic or degradation.observable or degradation.estimable
        names = ["naive", *(["improved"] if observable else []), *(["estimated"] if degradation.estimable else [])]
        for grid in grids.values():
            yield from (Cell(name, start, grid) for name in names)
        if not degradation.deterministic:
            longest = grids[max(grids)]
            yield from (Cell(f"{name} (oracle)", start, longest) for name in ("naive", "improved"))


def _distinct(starts: Sequence[float], levels: Tensor | None) -> list[float]:
    """The starts in order, on the operator's levels, none twice."""
    for start in starts:
        if not 0 < start <= 1:
            raise ValueError(f"start must be in (0, 1], got {start}")
    if levels is not None:
        starts = [float(levels[1:][(levels[1:] - start).abs().argmin()]) for start in starts]
    return sorted(set(starts))


def _grid(steps: int, start: float, levels: Tensor | None) -> Tensor:
    """The grid of a number of steps, shorter without a word where there are fewer levels."""
    below = steps if levels is None else min(steps, int((levels[1:] <= start + 1e-9).sum()))
    return time_grid(below, start, levels=levels)


def _restored(
    run: Run, cell: Cell, x0: Tensor, params: dict[str, Tensor], seed: int, first: int, eight_bit: bool
) -> tuple[Tensor, int]:
    """The images of one cell, and how often the restorer was called for them."""
    true = run.degradation.bind(params, like=x0)
    x = true(x0, cell.start)
    x = (x * 255).round() / 255 if eight_bit else x
    if cell.times is None:
        return x, 0
    calls = 0

    def R(x: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return run.R(x, t)

    sampler = SAMPLERS[cell.sampler]
    if cell.oracle:
        return sample(R, true, x, times=cell.times, sampler=sampler), calls
    drawn = [generator_for(seed, "restoring", i) for i in range(first, first + len(x))]
    for state in restore(R, run.degradation, x, cell.times, sampler=sampler, generator=drawn):
        x = state.x
    return x, calls


def _row(cell: Cell, calls: int, run: Run, kept: list[tuple[Tensor, Tensor, Tensor]]) -> dict[str, Any]:
    rmse, psnr, ssim = (torch.cat(values) for values in zip(*kept, strict=True))
    return {
        "method": cell.method,
        "start": round(cell.start, 6),
        "steps": 0 if cell.times is None else len(cell.times) - 1,
        "calls": calls,
        "oracle": cell.oracle,
        "rmse": {"global": math.sqrt(float(rmse.square().mean())), **asdict(metrics.summary(rmse))},
        "psnr": asdict(metrics.summary(psnr)),
        "ssim": asdict(metrics.summary(ssim)),
    }


def _label(cell: Cell) -> str:
    return cell.method if cell.times is None or cell.sampler == "one_shot" else f"{cell.method}, {len(cell.times) - 1}"


def _params_policy(run: Run) -> str:
    degradation = run.degradation
    if degradation.deterministic:
        return "none: the degradation is deterministic"
    if degradation.observable:
        return "read off the damaged picture; oracle rows use the true ones"
    if degradation.estimable:
        return "estimated from the first restorer call; oracle rows use the true ones"
    return "unknown: drawn anew for naive, improved is left out; oracle rows use the true ones"


def write_card(run: Run, report: Report) -> None:
    """RUN/README.md: a model card with the measured table and a picture of the same images row by row."""
    report.save(run.path, "report")
    config = run.config
    card = f"""---
library_name: colddiff
tags:
- colddiff
- cold-diffusion
- image-restoration
---

# Restorer of `{config["degradation"]["type"]}`

Trained on `{config["data"]["data"]}` (split {config["data"]["split"]}) at {run.shape[1]} x {run.shape[2]} pixels,
{config["step"]} steps, with colddiff {config["version"]}.

```python
import colddiff as cd

run = cd.load("{run.path.name}")
x0 = run.restore(x, start=1.0, steps=20)  # x: (B, {run.shape[0]}, H, W) in [0, 1]
```

![rows of the same images](report.png)

{report.to_markdown()}
The degradation, whole:

```json
{json.dumps(config["degradation"], indent=2)}
```
"""
    write_text(run.path / "README.md", card)
