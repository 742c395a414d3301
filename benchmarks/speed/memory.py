"""The peak memory of a training step, in a process: `python -m benchmarks.speed.memory NET MILLIONS LEVER BATCH`."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import torch

from ..lib.machine import pick_device
from .cases import images
from .levers import BF16, FP32
from .peers import build
from .training_step import training_step

STEPS = 3
MIB = 2**20
LEVERS = {lever.name: lever for lever in (FP32, BF16)}


def peak_mib(name: str, millions: int, lever: str, batch: int) -> dict[str, float]:
    """What a training takes, in MiB, and how much of it above the network as it was built; on a GPU, the GPU's."""
    command = [sys.executable, "-m", "benchmarks.speed.memory", name, str(millions), lever, str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def measured(name: str, millions: int, lever: str, batch: int) -> dict[str, float]:
    device = pick_device()
    net = build(name, millions)
    before = psutil.Process().memory_info().rss / MIB if device.type == "cpu" else 0.0
    x, t = images(batch, 3, 32, 32, device=device), images(batch, device=device)
    step = training_step(net, LEVERS[lever], x, t)
    for _ in range(STEPS):
        step()
    peak = torch.cuda.max_memory_allocated() / MIB if device.type == "cuda" else highest_rss() / MIB
    return {"peak": peak, "above the built network": peak - before}


def highest_rss() -> int:
    """Bytes; the kernel's ru_maxrss begins with what the parent had, so its own mark of this process is preferred."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))))
