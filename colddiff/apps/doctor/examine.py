"""What is right and wrong with an installation, a machine and a run."""

from __future__ import annotations

import json as jsonlib
import os
import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path

from ...models.run import Run
from ...models.serialization import load
from ...utils.distributed import pick_device
from ...utils.text import escape_control
from . import machine_checks, run_checks
from .finding import Finding, found
from .numeric_checks import network_paths, operator_paths, optimizer_paths
from .overfit import overfit
from .probe_batch import ProbeBatch, case_of

STAND_IN = "digits"  # the run that is computed with where none is given, or the given one cannot be loaded
COLOURS = {"ok": "32", "warning": "33", "problem": "31", "skipped": "2"}
NAMES = 22  # columns of the names of findings
WIDTH = 110  # columns where no terminal says how many there are


def diagnose(run: str | None, data: str | None, compile: bool, device: str, json: bool) -> None:
    """Print what `examine` finds, as it is found; the process ends with 1 where something is a problem."""
    began, title = time.perf_counter(), ""
    told: list[tuple[str, Finding]] = []
    for one in examine(run, data, compile, device):
        if isinstance(one, Finding):
            told.append((title, one))
        else:
            title = one
        if not json:
            print(_shown(one) if isinstance(one, Finding) else "\n" * bool(told) + one, flush=True)
    count: Counter[str] = Counter(finding.verdict for _, finding in told)
    if json:
        findings = [{"section": section} | asdict(finding) for section, finding in told]
        print(jsonlib.dumps({"run": run, "verdicts": dict(count), "findings": findings}))
    else:
        words = ", ".join(_counted(count[verdict], verdict) for verdict in COLOURS)
        print(f"\n{words}, in {time.perf_counter() - began:.0f} s")
    if count["problem"]:
        sys.stdout.flush()
        raise SystemExit(1)


def examine(
    run: str | None = None, data: str | None = None, compile: bool = False, device: str = "auto"
) -> Iterator[str | Finding]:
    """Titles of sections, each before it is looked at, and what is found in them.

    Args:
        run: a run's folder, finished or not, or the name of one that comes with the library.
        data: images to compute with, as `load_data` takes them; those of a run that come with the library, if left out.
        compile: torch.compile too, which takes up to minutes.
        device: "auto", "cpu", "cuda", ...

    Raises:
        FileNotFoundError: the folder is none of a training. ValueError: the device cannot be used.
    """
    where, folder = pick_device(device), None if run is None else _folder(run)
    yield "versions"
    yield from found("versions", lambda: machine_checks.versions(folder or Path()))
    yield "devices"
    yield from found("devices", machine_checks.devices)
    yield "precision"
    yield from found("precision", lambda: machine_checks.precision(where))
    yield "threads"
    yield from found("threads", machine_checks.threads)
    model, case = None, None
    if folder is not None:
        yield f"run {run}"
        model = yield from _opened(str(run), folder, device)
        yield from found("checkpoints", lambda: run_checks.checkpoints(folder))
        yield from found("log", lambda: run_checks.log(folder))
    yield "fast paths against float32 eager"
    yield from found("operators", operator_paths)
    case = yield from _prepared(model, data, device)
    if case is not None:
        yield from found("network", lambda: network_paths(case, compile))
        yield from found("fused Adam", lambda: optimizer_paths(case))
        yield "one batch learned by heart"
        yield from found("overfit", lambda: overfit(case))
    if model is not None:
        if case is not None:
            yield "one batch restored"
            yield from found("restored", lambda: run_checks.restores(case))
        yield "contract of the run's degradation"
        yield from found("contract", lambda: run_checks.contract(model.degradation, model.shape))


def _folder(run: str) -> Path:
    """Where a run lies, or what a training left behind that did not come to save one."""
    folder = Path(run)
    if any((folder / name).exists() for name in ("config.json", "log.jsonl", "checkpoints")):
        return folder
    return load(run, device="cpu").path  # or whatever `load` says


def _opened(run: str, folder: Path, device: str) -> Generator[Finding, None, Run | None]:
    """What a run is and whether its weights are sound; the run, where it can be loaded."""
    opened: list[Run] = []

    def look() -> Iterator[Finding]:
        if not (folder / "config.json").is_file():
            cure = "train with a smaller --checkpoint-every, to have one earlier"
            yield Finding("config", "problem", "the training ended before it saved a state", cure)
            return
        opened.append(load(run, device=device))
        yield _described(opened[0])
        yield from run_checks.weights(opened[0])

    yield from found("run", look)
    return opened[0] if opened else None


def _described(run: Run) -> Finding:
    config, image = run.config, " x ".join(map(str, run.shape))
    told = f"{run.degradation.registered_name} on images {image}, {run.precision} here; step {config['step']} of "
    return Finding("run", "ok", f"{told}{config['training'].get('total_steps')}, by colddiff {config['version']}")


def _prepared(run: Run | None, data: str | None, device: str) -> Generator[Finding, None, ProbeBatch | None]:
    """What the network paths are tried on: a batch of the run, else of one that comes with the library."""
    prepared: list[ProbeBatch] = []

    def look() -> Iterator[Finding]:
        prepared.append(case_of(run or load(STAND_IN, device=device), data))
        case = prepared[0]
        which = "the run's network" if run is not None else f"the network of {STAND_IN!r}, which comes with the library"
        yield Finding("network", "ok", f"{which}, on {case.images}")

    yield from found("network", look)
    return prepared[0] if prepared else None


# --- on the page -----------------------------------------------------------------------------------------------------


def _shown(one: Finding) -> str:
    """A finding on a line or more, and its cure below it."""
    indent = " " * (NAMES + 12)
    width = max(shutil.get_terminal_size((WIDTH, 24)).columns, len(indent) + 30)
    verdict = f"{one.verdict:<8}"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        verdict = f"\033[{COLOURS[one.verdict]}m{verdict}\033[0m"
    lines = _wrapped(one.measured, width - len(indent))
    if one.cure:
        lines += ["-> " + _wrapped(one.cure, width - len(indent) - 3)[0]]
        lines += ["   " + line for line in _wrapped(one.cure, width - len(indent) - 3)[1:]]
    name = escape_control(one.name)
    start = f"  {verdict} {name:<{NAMES}} "
    if len(name) > NAMES:
        return "\n".join([start.rstrip(), *(indent + line for line in lines)])
    return start + f"\n{indent}".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    return [escape_control(line) for line in lines]


def _counted(count: int, verdict: str) -> str:
    return f"{count} {verdict}" + ("s" if verdict in ("warning", "problem") and count != 1 else "")
