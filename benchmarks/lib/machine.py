"""What the figures depend on: the processor, the versions, and who else is at work."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("colddiff", "torch", "kornia", "diffusers", "denoising-diffusion-pytorch")


def machine() -> dict[str, Any]:
    """Names and numbers that two runs must share to be compared."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    named = {"cpu": cpu_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu}
    waiting = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY")}
    return named | waiting | {name: installed(name) for name in PACKAGES}


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    """Until the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def installed(package: str) -> str | None:
    """Its version, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cpu_name() -> str:
    """As the kernel has it, with the instructions that matter to a network: a cloud's names say little."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    fields = {line.split(":")[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
    flags = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in fields.get("flags", "").split()]
    return " ".join([fields.get("model name") or platform.processor() or platform.machine(), *flags[-2:]])


def busy_s() -> float | None:
    """Seconds of processor time of the whole machine so far, those taken by other guests of its host included."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, stat.read_text().split(None, 9)[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
