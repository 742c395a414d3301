"""Whether a run is sound: its files, its log, what it restores, its degradation."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...degradations.base import Degradation, Images
from ...models.precision import TOLERANCE
from ...models.run import Run
from ...testing import Subject, degradation_promises
from ...testing.degradations import DEGRADATION_CHECKS, random_images_for_required_params
from ...testing.reporting import NEEDS_GPU, describe, naming_promise
from ...training.checkpoints import snapshots, torn
from ...training.log import last_lines
from ...training.loop import STARVED
from ...utils.files import read_json
from ...utils.safetensors_io import read_tensors
from .finding import Finding, found
from .probe_batch import ProbeBatch

STEPS, START = 5, 0.5  # restorer calls of a restore, and where it starts
LINES = 200  # of the log that are read, from its end
SIDE = 32  # pixels to which the contract's images are bounded


# --- files -----------------------------------------------------------------------------------------------------------


def weights(run: Run) -> Iterator[Finding]:
    """Whether the averaged weights are numbers, and those of the last snapshot."""
    state = run.net.state_dict()
    numbers = sum(p.numel() for p in run.net.parameters())
    yield _finite("weights", state, f"{numbers:,} parameters")
    for folder in snapshots(run.path)[-1:]:
        kept = read_tensors(folder / "ema.safetensors")
        if read_json(folder / "state.json")["step"] != run.config["step"]:
            yield Finding("averaged weights", "ok", f"of step {run.config['step']}, {folder.name} is of another")
        elif all(torch.equal(value.cpu(), kept[name]) for name, value in state.items()):
            yield Finding("averaged weights", "ok", f"those of {folder.name}")
        else:
            cure = "one of the files was changed: go on with --resume, which writes them anew"
            yield Finding("averaged weights", "problem", f"not those of {folder.name}, of the same step", cure)


def checkpoints(folder: Path) -> Iterator[Finding]:
    """Whether a training could go on from the snapshots of a run."""
    there = snapshots(folder)
    if not there:
        yield Finding("checkpoints", "skipped", "there are none to go on from")
    for one in there:
        yield from found(one.name, partial(_snapshot, one))


def _snapshot(folder: Path) -> Iterator[Finding]:
    fault = torn(folder)
    if fault is not None:
        yield Finding(folder.name, "warning", fault, "a training that goes on takes the one before it")
        return
    tensors = {
        f"{part}: {name}": value
        for part in ("model", "ema", "optimizer")
        for name, value in read_tensors(folder / f"{part}.safetensors").items()
    }
    yield _finite(folder.name, tensors, f"{len(tensors)} tensors, step {read_json(folder / 'state.json')['step']}")


def _finite(name: str, tensors: dict[str, Tensor], told: str) -> Finding:
    wrong = [key for key, value in tensors.items() if not bool(value.isfinite().all())]
    if not wrong:
        return Finding(name, "ok", f"{told}, all finite")
    cure = "train anew, with a smaller --lr or --precision fp32: what is not finite stays so"
    return Finding(name, "problem", f"{told}: {len(wrong)} are not finite, {wrong[0]} the first", cure)


def log(folder: Path) -> Iterator[Finding]:
    """What the last lines of a training's log say."""
    file = folder / "log.jsonl"
    if not file.exists():
        yield Finding("log", "skipped", "there is none")
        return
    entries = [entry for line in last_lines(file)[-LINES:] if (entry := _entry(line))]
    if not entries:
        yield Finding("log", "warning", "no line of it can be read", "it is written anew by the next training")
        return
    step, losses = entries[-1].get("step", math.nan), [e for e in entries if "loss" in e]
    pace = f", {losses[-1]['images_per_second']:.0f} images/s" if losses and "images_per_second" in losses[-1] else ""
    told = f"step {step:g}, loss {losses[0]['loss']:.4f} -> {losses[-1]['loss']:.4f}" if losses else f"step {step:g}"
    bad = [f"{name} at step {e.get('step', math.nan):g}" for e in entries for name in _not_finite(e)]
    if bad:
        cure = "a smaller --lr, a smaller --grad-clip, or --precision fp32"
        yield Finding("log", "problem", f"{told}{pace}; not finite: {', '.join(bad[:3])}", cure)
    else:
        yield Finding("log", "ok", f"{told}{pace}, all finite in the last {len(entries)} entries")
    yield from _told_of_training(entries)


def _not_finite(entry: dict[str, float]) -> list[str]:
    """Which numbers of an entry are none; a loss that is none is left out, and so is that of a skipped step."""
    names = [name for name, value in entry.items() if not math.isfinite(value)]
    return names + ["loss"] * ("lr" in entry and not {"loss", "skipped"} & entry.keys())


def _told_of_training(entries: list[dict[str, float]]) -> Iterator[Finding]:
    """Steps that were left out, and time that was spent waiting for images, where a log says so."""
    if skipped := [e["skipped"] for e in entries if "skipped" in e]:
        left_out = max(skipped)
        cure = "a smaller --lr, or --precision fp32" if left_out else ""
        yield Finding("skipped steps", "warning" if left_out else "ok", f"{left_out:g}", cure)
    if waited := [e["waited"] / e["seconds"] for e in entries if "waited" in e and e.get("seconds", 0) > 0]:
        share = waited[-1]
        slow = share > STARVED
        cure = "images come too slowly: a local disk, smaller files, or fewer other programs" if slow else ""
        measured = f"{share:.0%} of the time went by waiting for images, limit {STARVED:.0%}"
        yield Finding("loader", "warning" if slow else "ok", measured, cure)


def _entry(line: str) -> dict[str, float]:
    """The numbers of a line; none of a torn one."""
    try:
        entry = json.loads(line)
        numbers = entry.items() if isinstance(entry, dict) else ()
        return {k: float(v) for k, v in numbers if isinstance(v, int | float)}
    except (ValueError, OverflowError, RecursionError):
        return {}


# --- what it does ----------------------------------------------------------------------------------------------------


def restores(case: ProbeBatch) -> Iterator[Finding]:
    """One batch, half damaged, restored in float32 and in the run's precision."""
    run, x0 = case.run, case.batch.x0
    half: dict[str, Any] = {} if run.condition else {"start": START}
    try:
        damaged = run.degrade(x0, half.get("start", 1.0))
    except ValueError as error:  # it was trained on pairs
        yield Finding("restored", "skipped", str(error))
        return
    exact = replace(run, precision="fp32", compile=False)
    once = _rmse(exact.restore(damaged, sampler="one_shot", **half), x0)
    walked = _rmse(exact.restore(damaged, steps=STEPS, **half), x0)
    before = _rmse(damaged, x0)
    told = f"RMSE {before:.4f} damaged -> {once:.4f} in one step, {walked:.4f} in {STEPS} ({case.images})"
    if not math.isfinite(once + walked):
        yield Finding("restored", "problem", told, "look at its weights")
    elif once >= before:  # what every training lowers
        cure = "train longer; if the training's own pictures look right, images are read otherwise here than there"
        yield Finding("restored", "warning", f"{told}: no nearer to the clean images", cure)
    else:
        yield Finding("restored", "ok", told)
    if run.precision != "fp32":
        fast = _rmse(replace(run, compile=False).restore(damaged, steps=STEPS, **half), x0)
        limit = walked * (1 + TOLERANCE[run.precision])
        right = fast <= limit
        told = f"RMSE {fast:.4f}, limit {limit:.4f}"
        cure = "" if right else "--precision fp32 where that matters"
        yield Finding(f"restored in {run.precision}", "ok" if right else "warning", told, cure)


def _rmse(x: Tensor, y: Tensor) -> float:
    return float((x - y).square().mean().sqrt())


# --- what it undoes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sized(Subject):
    """An operator under test on images of a size of its own."""

    shape: tuple[int, int, int] = (3, 8, 6)

    def images(
        self, n: int = 3, h: int | None = None, w: int | None = None, *, dtype: torch.dtype = torch.float64,
        channels: int | None = None,
    ) -> Images:  # fmt: skip
        c, height, width = self.shape
        return super().images(n, h or height, w or width, dtype=dtype, channels=channels or c)


def contract(op: Degradation, shape: tuple[int, int, int]) -> Iterator[Finding]:
    """Every promise of a degradation, on images of a shape (C, H, W) of at most 32 pixels a side."""
    channels, height, width = shape
    subject = Sized(op, random_images_for_required_params, (channels, min(height, SIDE), min(width, SIDE)))
    promises = [p for p in degradation_promises(op) if p != NEEDS_GPU or torch.cuda.is_available()]
    broken = []
    for promise in promises:
        try:
            with naming_promise(describe(op), promise):
                DEGRADATION_CHECKS[promise][1](subject)
        except AssertionError as failure:
            broken.append(str(failure))
    size = " x ".join(map(str, subject.shape))
    told = f"{len(promises) - len(broken)} of {len(promises)} promises kept on images {size}"
    yield Finding("contract", "problem" if broken else "ok", f"{describe(op)}: {told}")
    for line in broken:
        yield Finding("broken promise", "problem", line, "mend the operator: colddiff.testing.check_degradation")
