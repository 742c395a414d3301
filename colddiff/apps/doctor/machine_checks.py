"""What this machine brings: versions, devices, precision, threads."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from statistics import median

import psutil
import torch
from packaging.requirements import Requirement

from ...models.precision import pick_precision
from ...utils.distributed import pick_device
from ...utils.memory import GROUP, free_memory
from ...utils.numerics import cpu_threads
from .finding import Finding, Verdict

LITTLE_MEMORY, LITTLE_DISK = 2, 1  # GiB below which work is likely to end early
SLOWER = 1.25  # times the time of one thread, above which several are in each other's way
OPENMP = ("OMP_", "KMP_", "GOMP_", "MKL_NUM_THREADS", "LD_PRELOAD")
TORCHRUN = ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR")


# --- versions --------------------------------------------------------------------------------------------------------


def versions(folder: Path) -> Iterator[Finding]:
    """What is installed, what it runs on, and what is free in a folder's file system."""
    yield Finding("colddiff", "ok", f"{version('colddiff')}, Python {platform.python_version()} ({sys.executable})")
    build = torch.version.cuda and f"CUDA {torch.version.cuda}"
    build = build or (torch.version.hip and f"ROCm {torch.version.hip}") or "no CUDA, no ROCm"
    yield Finding("torch", "ok", f"{torch.__version__}, {build}")
    every = [Requirement(line) for line in requires("colddiff") or ()]
    yield _installed("needed", _asked_for(every, ""), "problem", "pip install --upgrade colddiff")
    for extra in dict.fromkeys(name for one in every for name in re.findall(r"extra == ['\"](\w+)", str(one.marker))):
        if extra != "all":
            cure = f'pip install --upgrade "colddiff[{extra}]"'
            yield _installed(f"extra {extra}", _asked_for(every, extra), "skipped", cure)
    memory = psutil.virtual_memory().total / 2**30
    free = free_memory() / 2**30
    yield Finding("platform", "ok", f"{platform.platform()}, {cpu_model()}, {usable_cores()} of {os.cpu_count()} cores")
    yield _enough("memory", free, LITTLE_MEMORY, f"of {memory:.1f} GiB", "end other programs, or take smaller batches")
    disk = shutil.disk_usage(folder)
    yield _enough(
        "disk", disk.free / 2**30, LITTLE_DISK, f"at {folder.resolve()}", "make room: checkpoints would not be written"
    )


def _asked_for(every: list[Requirement], extra: str) -> list[Requirement]:
    """The requirements of the package itself, or those that an extra adds."""
    own = [one for one in every if one.marker is None or one.marker.evaluate({"extra": ""})]
    if not extra:
        return own
    return [one for one in every if one not in own and one.marker is not None and one.marker.evaluate({"extra": extra})]


def _installed(name: str, needed: list[Requirement], missing: Verdict, cure: str) -> Finding:
    """The versions of what is needed; a wrong one is a problem, one that is missing may be left out."""
    verdict: Verdict = "ok"
    told = []
    for one in needed:
        try:
            has = version(one.name)
        except PackageNotFoundError:
            told.append(f"{one.name} is not installed")
            verdict = missing if verdict == "ok" else verdict
            continue
        fits = one.specifier.contains(has, prereleases=True)
        told.append(f"{one.name} {has}" + ("" if fits else f", which is not {one.specifier}"))
        verdict = verdict if fits else "problem"
    return Finding(name, verdict, ", ".join(told), "" if verdict == "ok" else cure)


def _enough(name: str, free: float, least: float, beside: str, cure: str) -> Finding:
    little = free < least
    return Finding(name, "warning" if little else "ok", f"{free:.1f} GiB free {beside}", cure if little else "")


def cpu_model() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def usable_cores() -> int:
    """The cores that this process may use: of the machine, of its affinity, and of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (GROUP / "cpu.max").read_text().split()
        return min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no such group, or one without a limit
        return cores


# --- devices and precision -------------------------------------------------------------------------------------------


def devices() -> Iterator[Finding]:
    """What can compute, and which of it "auto" takes."""
    yield Finding("auto", "ok", f"takes {pick_device('auto')}")
    for i in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(i)
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(i))
        products, convolutions = (
            knob.fp32_precision
            for knob in (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
        )
        told = (
            f"{card.name}, {free:.1f} of {total:.1f} GiB free, capability {card.major}.{card.minor}, bf16 "
            f"{'yes' if torch.cuda.is_bf16_supported() else 'no'}, float32 products {products}, convolutions "
            f"{convolutions}"
        )
        little = free < LITTLE_MEMORY
        cure = "end what else runs on it (nvidia-smi), or take another with --device cuda:N" if little else ""
        yield Finding(f"cuda:{i}", "warning" if little else "ok", told, cure)
    if torch.version.cuda and not torch.cuda.is_available():
        cure = "look at nvidia-smi and CUDA_VISIBLE_DEVICES: the driver may be too old for this torch"
        yield Finding("cuda", "warning", f"torch is built for CUDA {torch.version.cuda} and sees no card", cure)
    if torch.backends.mps.is_available():
        yield Finding("mps", "ok", 'there; "auto" never takes it, --device mps does')
    yield Finding("cpu", "ok", f"{cpu_model()}, kernels for {torch.backends.cpu.get_cpu_capability()}")


def precision(device: torch.device) -> Iterator[Finding]:
    """What bf16 is worth here, and what "auto" makes of that."""
    native = {
        "AMX": torch.cpu._is_amx_tile_supported(),
        "AVX512_BF16": torch.cpu._is_avx512_bf16_supported(),
        "oneDNN": bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()),
    }
    told = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in native.items())
    yield Finding("bf16 on the CPU", "ok", told)
    yield Finding("auto", "ok", f"means {pick_precision('auto', device)} on {device}")
    exact = torch.get_float32_matmul_precision()
    cure = 'torch.set_float32_matmul_precision("highest") where products have to be exact'
    lowered = exact != "highest"
    yield Finding("float32 products", "warning" if lowered else "ok", exact, cure if lowered else "")


# --- threads ---------------------------------------------------------------------------------------------------------


def threads() -> Iterator[Finding]:
    """How many threads compute, whether they have cores of their own, and what else steers them."""
    told = {name: value for name, value in sorted(os.environ.items()) if name.startswith(OPENMP)}
    yield Finding("environment", "ok", _listed(told) or "no OMP_*, KMP_* or MKL_NUM_THREADS is set")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if started := {name: os.environ[name] for name in TORCHRUN if name in os.environ}:
        yield Finding("torchrun", "ok", _listed(started))
    yield fitting(torch.get_num_threads(), processes, usable_cores())
    built = re.findall(
        r"^(?:OpenMP \d+|Intel\(R\) [\w-]+ v\S+|ATen parallel backend: \w+)", torch.__config__.parallel_info(), re.M
    )
    yield Finding("torch", "ok", ", ".join([*built, f"{torch.get_num_interop_threads()} threads between operations"]))
    yield from runtimes()
    if torch.get_num_threads() > 1:
        yield worth_it(*(_seconds(count) for count in (torch.get_num_threads(), 1)))


def fitting(count: int, processes: int, cores: int) -> Finding:
    """Whether the threads of all processes have a core each."""
    beside = f" in each of {processes} processes" if processes > 1 else ""
    told = f"{count} thread{'s' if count > 1 else ''}{beside}, {cores} usable core{'s' if cores > 1 else ''}"
    if count * processes <= cores:
        return Finding("threads", "ok", told)
    cure = f"OMP_NUM_THREADS={max(1, cores // processes)}: threads that share a core wait for each other at every layer"
    return Finding("threads", "warning", told, cure)


def worth_it(together: float, alone: float) -> Finding:
    """Whether several threads are faster than one, by the seconds that a convolution takes them."""
    told = f"a convolution takes {1e3 * together:.2f} ms on {torch.get_num_threads()}, {1e3 * alone:.2f} ms on one"
    if together <= SLOWER * alone:
        return Finding("threads at work", "ok", told)
    cure = "another program has a core: OMP_NUM_THREADS=1, or OMP_WAIT_POLICY=passive, or wait for it to end"
    return Finding("threads at work", "warning", told, cure)


def runtimes() -> Iterator[Finding]:
    """Which OpenMP runtimes are loaded: two of them keep a pool of threads each."""
    try:
        from threadpoolctl import threadpool_info  # type: ignore[import-untyped]  # it comes with scikit-learn
    except ImportError:
        yield Finding("OpenMP runtimes", "skipped", "threadpoolctl is not installed", "pip install threadpoolctl")
        return
    loaded = [pool for pool in threadpool_info() if pool["user_api"] == "openmp"]
    told = ", ".join(f"{pool['prefix']} ({pool['filepath']})" for pool in loaded) or "none is loaded"
    several = len(loaded) > 1
    cure = "install torch and what brings the other from one place (all from pip, or all from conda)" if several else ""
    yield Finding("OpenMP runtimes", "warning" if several else "ok", told, cure)


def _listed(values: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _seconds(count: int) -> float:
    """The median time of a convolution as a small network has them."""
    x, weight = torch.rand(8, 64, 32, 32), torch.rand(64, 64, 3, 3)
    times = []
    with cpu_threads(count), torch.no_grad():
        for _ in range(12):
            began = time.perf_counter()
            torch.conv2d(x, weight, padding=1)
            times.append(time.perf_counter() - began)
    return median(times[2:])
