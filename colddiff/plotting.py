"""What `colddiff plot` and `colddiff degrade` draw, each picture by a function of plain values."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from . import viz
from .data.dataset import load_data
from .data.framing import Framing
from .data.image_io import to_tensor
from .degradations.base import Degradation
from .degradations.noise_schedules import NoiseSchedule
from .degradations.schedules import Schedule
from .evaluation.calibration import T_MIN, MetricName, calibrate, measure_at, straightness
from .evaluation.wasserstein import wasserstein_times
from .models.run import Run
from .models.serialization import load
from .samplers.base import State
from .samplers.generation import begin
from .samplers.sample import walk
from .samplers.time_grid import time_grid
from .samplers.unknown_params import suited_sampler
from .utils.config import plug_ins, registered, suggestion
from .utils.distributed import pick_device
from .utils.files import check_target, read_json
from .utils.rng import generator_for

MOST_PICTURES = 1000  # on one strip
PHOTOS = (16, 128)  # how many of the library's own photographs, and pixels a side, where none is named
MEASURED = 41  # times of a plot against time
STEPS = 10  # of the grid below it
STAYS = 1.5  # seconds of the last picture of an animation


def degrade_picture(
    image: str, degradation: Any, out: str, steps: int, image_size: int | None, device: str, seed: int
) -> None:
    """Write the strip or animation of a picture's degradation."""
    if not 2 <= steps <= MOST_PICTURES:
        raise ValueError(f"--steps must be 2 to {MOST_PICTURES} pictures, got {steps}")
    _check_target(out, image)
    op = Degradation.from_config(degradation)
    x = _read(Framing(size=image_size), image).to(pick_device(device))
    params, times = op.draw(x, generator_for(seed, "degrade")), torch.linspace(0, 1, steps, dtype=torch.float64)
    if Path(out).suffix.lower() == ".gif":
        viz.save([viz.film_strip(op, x, t[None], params=params) for t in times], out, last=STAYS)
    else:
        viz.save(viz.film_strip(op, x, times, params=params), out)
    print(f"{op.registered_name}: {steps} pictures from t = 0 to t = 1 in {out}")
    clipped_share = getattr(op, "clipped_share", None)
    if clipped_share is not None:
        shares = (float(clipped_share(x, t[None].to(x.device), params)) for t in times)
        print("clipped share: " + " ".join(f"{share:.1%}" for share in shares))


def plot_trajectory(
    run: str, image: str | None, out: str, start: float, steps: int, sampler: str | None, degrade: bool,
    image_size: int | None, device: str, seed: int,
) -> None:  # fmt: skip
    """Write a sampler's walk from a damaged picture, or without one from the prior, as a sheet or an animation."""
    _check_target(out, image)
    viz.picture_format(out)
    model = load(run, device=device)
    if image is None:
        x, states = _generated(model, steps, sampler, seed)
        start = 1.0
    else:
        start = float(time_grid(1, start, levels=model.degradation.level_times())[0])
        x = _read(replace(model.framing, size=image_size, fit="resize"), image).to(model.device)
        if degrade:
            x = model.damage(x, start, model.damage.draw(x, generator_for(seed, "restore", 0)))
        generator = generator_for(seed, "restoring", 0)
        states = [*model.walk(x, start=start, steps=steps, sampler=sampler, generator=generator)]
        if model.condition is not None:  # it began in noise, not in the picture
            x, start, states = states[0].x, float(states[0].t[0]), states[1:]
    if Path(out).suffix.lower() == ".gif":
        viz.save(viz.frames(x, states, start), out, last=STAYS)
    else:
        viz.save(viz.trajectory(x, states, start), out)
    print(f"{len(states)} steps from t = {start:g} to t = 0 in {out}")


def plot_difference(before: str, after: str, out: str, absolute: bool, limit: float | None) -> None:
    """Write two pictures and where they differ."""
    _check_target(out, before, after)
    a, b = (Framing().open(Path(file)) for file in (before, after))
    mode = "RGB" if "RGB" in (a.mode, b.mode) else "L"
    x, y = (_tensor(picture.convert(mode))[0] for picture in (a, b))
    titles = Path(before).stem, Path(after).stem
    viz.save(viz.difference(x, y, absolute=absolute, limit=limit, titles=titles), out)
    change = (y - x).double()
    print(f"RMSE {float(change.square().mean().sqrt()):.4f}, at most {float(change.abs().max()):.4f}, in {out}")


def plot_frequencies(degradation: Any, image: str | None, out: str, image_size: int | None, seed: int) -> None:
    """Write what a degradation does to each spatial frequency."""
    _check_target(out, image)
    op = Degradation.from_config(degradation)
    x = None
    if image is not None:
        x = _read(Framing(size=image_size), image)
    elif not viz.frequency_plots.known(op):
        count, side = PHOTOS
        x = load_data("photos", split="all", size=image_size or side)[:count]
    viz.save(viz.frequencies(op, x, generator=generator_for(seed, "degrade")), out)
    print(f"{op.registered_name}: what it does to each frequency in {out}")


def plot_schedules(names: str | None, out: str) -> None:
    """Write schedules against time, those of noise too."""
    _check_target(out)
    known = {family: [*registered(family.group), *plug_ins(family.group)] for family in (Schedule, NoiseSchedule)}
    every = sorted({name for of in known.values() for name in of})
    # What a table is depends on its values.
    asked = [name for name in every if name != "table"] if names is None else names.split(",")
    for name in asked:
        if name not in every:
            raise LookupError(f"no schedule is named {name!r}{suggestion(name, every)}; known: {', '.join(every)}")
    found = [family.from_config(name) for family, of in known.items() for name in dict.fromkeys(asked) if name in of]
    viz.save(viz.schedules(found), out)
    print(f"{len(found)} schedules in {out}")


def plot_tradeoff(report: str, out: str) -> None:
    """Write how real against how true every way to restore is, from the report.json of `colddiff eval`, or its run."""
    file = _report_file(Path(report))
    _check_target(out, str(file))
    wanted = f"{str(file)!r} is no report: give the report.json of `colddiff eval`, or the run"
    try:
        told = read_json(file)
    except ValueError as error:  # a picture, say
        raise ValueError(wanted) from error
    rows = told.get("rows") if isinstance(told, dict) else None
    if not isinstance(rows, list):
        raise ValueError(wanted)
    viz.save(viz.tradeoff(rows), out)
    print(f"perception against distortion in {out}")


def plot_calibration(
    data: str, degradation: Any, metric: MetricName, out: str, image_size: int | None, seed: int
) -> None:
    """Write a metric against time on held-out images, for a degradation as it is and calibrated on training images."""
    _check_target(out, data)
    plain = Degradation.from_config(degradation)
    seen = load_data(data, size=image_size)
    held_out = load_data(data, split="held_out", size=image_size, colour="grey" if seen.shape[0] == 1 else "rgb")
    ways = {"as it is": plain, "calibrated": calibrate(plain, seen, metric, seed=seed)}
    times = torch.linspace(T_MIN if metric == "psnr" else 0, 1, MEASURED, dtype=torch.float64)
    curves = {name: measure_at(op, held_out, times, metric, seed=seed) for name, op in ways.items()}
    straight = {name: straightness(times, values) for name, values in curves.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that fall on one level
        grids = [wasserstein_times(op, seen, STEPS, seed=seed) for op in ways.values()]
    told = [(f"{name}, $R^2$ = {straight[name]:.4f}", values) for name, values in curves.items()]
    unit = {"psnr": "PSNR (dB)"}.get(metric, metric.upper())
    viz.save(viz.calibration(times, told, grids, metric=unit, title=str(plain.registered_name)), out)
    print(", ".join(f"R^2 {value:.4f} {name}" for name, value in straight.items()) + f", in {out}")


# --- helpers ---------------------------------------------------------------------------------------------------------


def _check_target(out: str, *given: str | None) -> None:
    """Raise where nothing can be written, or what was given would be."""
    check_target(Path(out))
    for file in given:
        if file is not None and Path(file).exists() and Path(out).exists() and Path(out).samefile(file):
            raise ValueError(f"{file!r} would be overwritten: give another --out")


def _report_file(place: Path) -> Path:
    """The report of a run, or in a folder that `colddiff eval --out` wrote; or that file itself."""
    if not place.is_dir():
        return place
    for file in (place / "report" / "report.json", place / "report.json"):
        if file.is_file():
            return file
    raise FileNotFoundError(f"there is no report.json in {str(place)!r}: `colddiff eval` writes one")


def _read(framing: Framing, file: str) -> Tensor:
    """A picture as (1, C, H, W)."""
    return _tensor(framing.frames(framing.open(Path(file)))[0])


def _tensor(picture: Image.Image) -> Tensor:
    return to_tensor(picture)[None].float() / 255


def _generated(model: Run, steps: int, sampler: str | None, seed: int) -> tuple[Tensor, Sequence[State]]:
    """Where `Run.sample` begins with a seed, and its walk."""
    if model.prior is None or model.condition is not None:
        raise ValueError(f"{str(model.path)!r} restores, and does not generate: give a damaged picture")
    own = [torch.Generator().manual_seed(seed)]
    D, x = begin(model.degradation, model.prior, model.shape, own, model.device)
    chosen = sampler or suited_sampler(model.degradation)
    return x, [*walk(model.R, D, x, steps=steps, sampler=chosen, generator=own)]
