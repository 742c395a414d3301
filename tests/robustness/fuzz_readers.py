"""Mutates the files of a small run and reads them: `make fuzz`, or
`PYTHONPATH=tests python -m robustness.fuzz_readers --minutes 10 --seed 0`.

Every outcome must be a run, or one line of ValueError, TypeError, LookupError or FileNotFoundError, within SECONDS and
HEADROOM bytes, with nothing executed on the way. What is not is printed with the seed that makes it again.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import faulthandler
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from support.mutations import mutated
from support.tiny import config as tiny_config

from colddiff.degradations import Compose, GaussianBlur, GaussianNoise, OneOf, PixelMask
from colddiff.evaluation.features import FILE, _classifier
from colddiff.evaluation.rotation_classifier import RotationClassifier
from colddiff.models.recommended import MOST_CALLS, Recommended, Setting
from colddiff.models.serialization import load
from colddiff.models.time_estimator import TimeEstimator
from colddiff.samplers.priors import LowresGMM
from colddiff.training.checkpoints import load_snapshot, snapshots
from colddiff.training.train import train
from colddiff.utils import config as config_module
from colddiff.utils.config import registered
from colddiff.utils.safetensors_io import write_tensors

SECONDS = 2.0  # of one file
HEADROOM = 2**30  # bytes of memory beyond what the process has when it begins
LONGEST_LINE = 1000  # characters of a message
REFUSED = (ValueError, TypeError, LookupError, FileNotFoundError)
FORBIDDEN = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen",
             "socket.connect", "ctypes.dlopen", "webbrowser.open")  # fmt: skip


@dataclass
class Target:
    """A file of a run, and what reads it."""

    name: str
    read: Callable[[Path], object]
    content: bytes = b""


@dataclass
class Found:
    """What came of it all."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    runs: int = 0
    slowest: float = 0.0


# --- what reads ------------------------------------------------------------------------------------------------------


def use(path: Path) -> object:
    """Load a run and use it once, so small that the config alone could make it large."""
    run = load(path, device="cpu")
    assert run.condition is None or run.condition.claims is not None
    assert run.framing is not None
    assert 1 <= run.default_settings(0.7).steps <= MOST_CALLS
    x = torch.rand(1, run.shape[0] if run.shape[0] <= 4 else 1, 8, 8)
    with contextlib.suppress(*REFUSED):  # said when it is used, as well as when it is loaded
        assert run.estimator is None or run.estimate_time(x).t.isfinite().all()
        run.degrade(x, 0.7)
        run.restore(x, start=0.7, steps=2)
    if run.prior is not None and run.shape[1] * run.shape[2] <= 4096:
        run.sample(1, steps=1)
    return run


def features(path: Path) -> object:
    """The feature network that an evaluation finds in a run."""
    return _classifier(load(path, device="cpu"), None, False)


def resume(path: Path) -> object:
    """A snapshot, read into a network and an optimizer as `train --resume` has them."""
    net = load(path, device="cpu").net
    optimizer = torch.optim.Adam(net.parameters())
    folder = snapshots(path)[-1]
    return load_snapshot(folder, net, copy.deepcopy(net), optimizer)


# --- what is read ----------------------------------------------------------------------------------------------------


def make_run(folder: Path) -> Path:
    """A run with every file that a run can have."""
    changes = {"steps": 1, "checkpoint_every": 1, "prior": LowresGMM(components=2, side=2)}
    run = train(tiny_config(folder / "run", **changes), progress=False)
    write_tensors(run.path / FILE, RotationClassifier(1).state_dict())
    TimeEstimator(1).save(run.path)
    settings = tuple(Setting(start, "improved", 20, 180) for start in (0.5, 1.0))
    Recommended({"distortion": settings, "perception": settings}, "digits").save(run.path)
    return run.path


def targets(run: Path) -> list[Target]:
    """The files that are mutated, config.json as often as all the others and with any of the operators."""
    state = snapshots(run)[-1].relative_to(run)
    named = [("model.safetensors", use), ("prior.safetensors", use), ("baseline.safetensors", use), (FILE, features)]
    named += [("time_estimator.safetensors", use), ("recommended.json", use)]
    named += [(str(state / file), resume) for file in ("state.json", "optimizer.safetensors", "model.safetensors")]
    files = [Target(name, read, (run / name).read_bytes()) for name, read in named]
    config = json.loads((run / "config.json").read_text())
    several = Compose(parts=(GaussianBlur(sigma_max=2.0), OneOf(options=(PixelMask(), GaussianNoise()))))
    plain = [op() for name, op in registered("colddiff.degradations").items() if name not in ("compose", "one_of")]
    configs = [config | {"degradation": op.to_config()} for op in (several, *plain)]
    each = [Target("config.json", use, json.dumps(content).encode()) for content in configs]
    return [target for other in files for target in [other] * len(each)] + each * len(files)


# --- the loop --------------------------------------------------------------------------------------------------------


class Hang(BaseException):
    """Five times SECONDS went by, whoever had the processor."""


class Executed(BaseException):
    """Something ran that no file may run."""


class Trap:
    """An installed plug-in that must not be imported."""

    name, value = "trap", "trap:Trap"

    def load(self) -> None:
        raise Executed("a plug-in was imported")


def guard() -> None:
    """No plug-in, no process, no pickle from now on, no more memory than HEADROOM, and an alarm against hangs."""
    config_module.entry_points = lambda *, group, name=None: [Trap()] if name in (None, "trap") else []  # type: ignore

    def audit(event: str, _: object) -> None:
        if event in FORBIDDEN and armed:
            raise Executed(event)

    def rang(*_: object) -> None:
        raise Hang

    sys.addaudithook(audit)
    signal.signal(signal.SIGALRM, rang)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + HEADROOM, used + HEADROOM))


armed = False


def attempt(target: Target, run: Path, found: Found, label: str) -> None:
    """Read one mutated file and note what came of it."""
    global armed
    began = time.process_time()  # other programs do not change it
    faulthandler.dump_traceback_later(10 * SECONDS, exit=True)  # a hang inside C: the alarm cannot reach it
    signal.setitimer(signal.ITIMER_REAL, 5 * SECONDS)
    armed, fault = True, ""
    try:
        target.read(run)
        outcome = "read"
    except REFUSED as error:
        outcome = type(error).__name__
        message = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
        if "\n" in message or not 0 < len(message) <= LONGEST_LINE:
            fault = f"a message of {len(message)} characters: {message[:200]!r}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        outcome = "finding"
        where = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__}: {str(error)[:200]!r} at {where.filename}:{where.lineno}"
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
    elapsed = time.process_time() - began
    found.slowest = max(found.slowest, elapsed)
    if elapsed > SECONDS:
        fault = fault or f"it took {elapsed:.1f} s"
    found.runs += 1
    found.outcomes[f"{target.name}: {outcome}"] += 1
    if fault:
        found.findings.append(f"{label} {target.name}: {fault}")
        print(found.findings[-1], flush=True)


def fuzz(seconds: float, seed: int, folder: Path, *, first: int = 0, most: int | None = None) -> Found:
    """Mutate and read for so many seconds, or so many files; attempt i is made by (seed, i) alone."""
    run, found = make_run(folder), Found()
    files, end, i = targets(run), time.perf_counter() + seconds, first
    while time.perf_counter() < end and (most is None or i < first + most):
        rng = random.Random(f"{seed}/{i}")
        target = rng.choice(files)
        kept = (run / target.name).read_bytes()
        (run / target.name).write_bytes(mutated(target.name, target.content, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attempt(target, run, found, f"--seed {seed} --first {i}")
        (run / target.name).write_bytes(kept)
        i += 1
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="begin with this attempt, to see a finding again")
    parser.add_argument("--most", type=int, default=None, help="attempts")
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    try:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        guard()
        found = fuzz(60 * given.minutes, given.seed, folder, first=given.first, most=given.most)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for outcome, count in sorted(found.outcomes.items()):
        print(f"{count:7d}  {outcome}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{found.runs} files read, {len(found.findings)} findings, the slowest {found.slowest:.2f} s, "
          f"memory grew by {grown:.0f} MiB")  # fmt: skip
    return 1 if found.findings else 0


if __name__ == "__main__":
    sys.exit(main())
