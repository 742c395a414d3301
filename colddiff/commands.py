"""What each command does, as a function of plain values."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm import tqdm

from . import viz
from .data.builtin import EMBEDDED
from .data.dataset import ImageData, beside, load_data
from .evaluation import plots
from .evaluation.features import not_ours_to_write, wants_training
from .evaluation.memorization import generated
from .evaluation.recommend import make_default
from .evaluation.report import evaluate, report_files, write_card
from .models.recommended import GOALS
from .models.run import Run
from .models.serialization import load
from .restoring import Job, restore_files
from .training.config import TrainConfig
from .training.log import last_lines
from .training.setup import held_out_for
from .training.train import train
from .utils.distributed import is_first
from .utils.files import check_target, same_place, write_text
from .utils.text import number, numbers, printable

MOST_IMAGES = 10_000  # on one sheet
MOST_LINES = 20  # of measured pictures
METRICS = ("rmse", "psnr", "ssim")


def train_restorer(config: TrainConfig, resume: bool) -> None:
    """Train, then measure on held-out images and write the model card."""
    run = train(config, resume=resume)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="left out")  # the training has said so
        data = held_out_for(config, run.framing)
    # 20 calls are what restores take where nothing is recommended: they are in the running.
    report = evaluate(run, data, starts=(0.5, 1.0), steps=(5, 20), images=128)
    if not is_first():
        return
    stored = write_card(run, report)
    print(report.to_markdown())
    print(stored)
    print(f"run, model card and samples in {config.out}")


def restore_pictures(
    run: str, images: list[str], out: str, start: float | None, sampler: str | None, steps: int | None, goal: str,
    mask: str | None, reference: str | None, degrade: bool, beside: bool, framed: bool, image_size: int | None,
    tile: int, consistent: bool, overwrite: bool, precision: str, compile: bool, device: str, seed: int,
) -> None:  # fmt: skip
    """Restore pictures, one file each, and measure them where there is a reference."""
    model = load(run, device=device, precision=precision, compile=compile)
    framing = replace(model.framing, size=image_size, fit="resize")
    if framed and (image_size is not None or model.framing.fit == "tiles"):
        other = (
            "--image-size" if image_size is not None else "a run that was trained on tiles, which are no whole pictures"
        )
        raise ValueError(f"--framed does not go with {other}: leave it out")
    if framed:
        framing = replace(model.framing, size=model.framing.size or _square(model))
    job = Job(
        framing, start, steps, sampler, goal, None if mask is None else Path(mask),
        None if reference is None else Path(reference), degrade, beside, tile, overwrite, seed, consistent,
    )  # fmt: skip
    blind = start is None and model.blind and not degrade
    if sampler is None and steps is None:
        if (model.recommended or goal != GOALS[0]) and not blind:
            print(_taken(model, start or 1.0, goal))
    elif goal != GOALS[0]:
        print(f"--goal {goal} chooses nothing here: {'--sampler' if sampler else '--steps'} was given")
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) <= MOST_LINES:
            tqdm.write(line)

    count, measured = restore_files(model, images, Path(out), job, say)
    if len(said) > MOST_LINES:
        print(f"... and {len(said) - MOST_LINES} more")
    for m in measured[:MOST_LINES]:
        print(
            f"{printable(m.file)}: "
            + ", ".join(_change(name, [m.damaged[name]], [m.restored[name]]) for name in m.damaged)
        )
    if len(measured) > MOST_LINES:
        print(f"... and {len(measured) - MOST_LINES} more in {Path(out) / 'metrics.json'}")
    if len(measured) > 1:
        told = (_change(k, [m.damaged[k] for m in measured], [m.restored[k] for m in measured]) for k in METRICS)
        print(f"mean of {len(measured)}: {', '.join(told)}")
    if degrade:
        shown = ", clean, damaged and restored side by side,"
    else:
        shown = ", restored beside what was given," if beside else ", restored,"
    pictures = "picture" if count == 1 else "pictures"
    distances = f"; distances in {Path(out) / 'metrics.json'}" if measured else ""
    known = start is not None or blind or degrade or model.condition is not None
    begun = "" if known else "; from t = 1, as no --start said otherwise"
    print(f"{count} {pictures}{shown} in {out}{distances}{begun}")


def sample_images(
    run: str, number: int, out: str, sampler: str | None, steps: int, precision: str, compile: bool, device: str,
    seed: int,
) -> None:  # fmt: skip
    """Generate images on one sheet."""
    if not 1 <= number <= MOST_IMAGES:
        raise ValueError(f"expected at least one image, and {MOST_IMAGES:,} on one sheet at most, got {number}")
    model = load(run, device=device, precision=precision, compile=compile)
    images = generated(model, range(seed, seed + number), steps=steps, sampler=sampler)
    if not is_first():
        return
    viz.save(viz.grid(images, zoom=max(1, 64 // images.shape[-2])), out)
    print(f"{number} images with seeds {seed} .. {seed + number - 1} in {out}")


def evaluate_run(
    run: str, data: str, split: str, damaged: str | None, start: str, steps: str, images: str, input: str,
    perception: str, generate: int, training: str | None, json: str | None, out: str | None, store: str,
    batch_size: int, precision: str, compile: bool, device: str, seed: int,
) -> None:  # fmt: skip
    """Measure a run, write what follows and the table as Markdown, JSON and a picture, and print it."""
    model = load(run, device=device, precision=precision, compile=compile)
    own = Path("report") if not_ours_to_write(model) else model.path / "report"
    if not out and not own.resolve().is_relative_to(own.parent.resolve()):
        raise ValueError(f"{str(own)!r} is a link that leaves the run: give another folder with --out")
    folder = Path(out) if out else own
    for file in (*report_files(folder, generated=generate > 0), *([Path(json)] if json else [])):
        check_target(file)
    trained_on = model.config["data"]
    if same_place(data, trained_on.get("data")):
        damaged = damaged or _beside_named(trained_on.get("damaged"))
    asked = None if perception == "none" else perception
    known = _training_images(model, training, data) if training or generate or wants_training(model, asked) else None
    report = evaluate(
        model, _read_for(model, data, split, damaged),
        starts=numbers(start, float, "--start"), steps=numbers(steps, int, "--steps"),
        images=None if images == "all" else number(images, "--images"),
        batch_size=batch_size, seed=seed, eight_bit=input == "8bit", chain=input == "chain",
        perception=asked, training=known, generated=generate,
    )  # fmt: skip
    if not is_first():
        return
    written = report.save(folder)
    if json:
        write_text(Path(json), report.to_json())
    stored = make_default(model, report.recommended, report.protocol, store)
    print(report.to_markdown())
    print(f"written to {', '.join(map(str, written))}" + (f" and {json}" if json else ""))
    if not plots.drawable():
        print(plots.MISSING)
    print(stored)


def _training_images(run: Run, named: str | None, data: str) -> ImageData | None:
    """What a run was trained on: as named, the library's own, or what is measured; no place that a file alone names."""
    told = run.config["data"]
    place, split = told.get("data"), told.get("split", "train")
    if named is not None:
        return _read_for(run, named, split if same_place(named, place) else "train")
    if place in EMBEDDED or same_place(data, place):
        return _read_for(run, place, split)
    warnings.warn(
        f"the run says that it was trained on {place!r}, which is not opened because a file says so: name it with "
        "--training",
        stacklevel=2,
    )
    return None


def _read_for(run: Run, data: str, split: str, damaged: str | None = None) -> ImageData:
    """Images read as those of the run's training were; what cannot be read is left out, and the report says so."""
    framing = run.framing

    def read(source: str, damaged: str | None = None) -> ImageData:
        return load_data(
            source, split=split, size=framing.size or _square(run), fit=framing.fit, colour=framing.colour,
            background=framing.background, damaged=damaged, bad_share=1.0,
        )  # fmt: skip

    others = run.config.get("training", {}).get("others")
    return read(data, damaged) if others is None else beside(read(data), read(_beside_named(others) or ""))


def inspect_run(run: str) -> None:
    """Print what a run is and how its training went."""
    model = load(run, device="cpu")
    config = model.config
    parameters = sum(p.numel() for p in model.net.parameters())
    print(f"degradation  {_dumps(config['degradation'])}")
    told = f"{_dumps(config['restorer'])}, {parameters:,} parameters, trained in {config['precision']}"
    print(f"restorer     {printable(told)}")
    print(f"prior        {_dumps(config['prior'])}")
    print(f"images       {model.shape[0]} x {model.shape[1]} x {model.shape[2]}, from {_dumps(config['data'])}")
    planned = config["training"].get("total_steps", "unknown")
    print(f"training     step {config['step']} of {planned}, by colddiff {config['version']}")
    if model.recommended is not None:
        for line in model.recommended.lines(model.degradation.level_times()):
            print(f"restores     {line}, measured on {printable(str(model.recommended))}")
    if model.estimator is not None:
        print(f"severity     {model.estimator.told}")
    log = model.path / "log.jsonl"
    for line in last_lines(log)[-2:] if log.exists() else []:
        print(f"log          {printable(line)}")


# --- helpers ---------------------------------------------------------------------------------------------------------


def _taken(run: Run, start: float, goal: str) -> str:
    """What restores take where neither sampler nor steps were given, and why."""
    setting, known = run.setting(start, goal), run.recommended
    told = setting.told(run.degradation.level_times(), start)
    if known is None or known.at(start, goal) is None:
        return f"{told}: nothing was measured for {goal} (`colddiff eval`)"
    measured = f"measured on {setting.images} images of {printable(known.data)}, from t = {setting.start:.2f}"
    otherwise = "--sampler or --steps choose otherwise"
    if setting.beaten_by:
        beaten = f"{setting.beaten_by}, without a network, is at least as good for {goal}"
        return f"{measured}: {beaten}; of the network {told} is best; {otherwise}"
    return f"{told}: recommended for {goal}, {measured}; {otherwise}"


def _beside_named(place: str | None) -> str | None:
    """Where a run's file says that what goes with the named images is: on this machine, or the library's own."""
    if place is None or place in EMBEDDED or Path(place).exists():
        return place
    raise ValueError(
        f"the run names {place!r} beside its images, which is not on this machine, and nothing is downloaded because a "
        "file says so: put it there, or name it (--damaged)"
    )


def _square(run: Run) -> int | None:
    _, height, width = run.shape
    return height if height == width else None


def _change(name: str, before: Sequence[float], after: Sequence[float]) -> str:
    digits = 2 if name == "psnr" else 4
    return f"{name} {fmean(before):.{digits}f} -> {fmean(after):.{digits}f}"


def _dumps(value: Any) -> str:
    return json.dumps(value)
