"""The state of a training on disk: RUN/checkpoints/step-00001000, written whole, the last few kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .files import read_json, write_json
from .tensors import load_weights, read_tensors, write_tensors

KEPT = 2


def save_snapshot(
    run_dir: Path, net: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> Path:
    """Write weights, averaged weights, optimizer moments and `state` (which holds "step"); drop the oldest."""
    folder = run_dir / "checkpoints"
    target = folder / f"step-{state['step']:08d}"
    part = folder / f".{target.name}.part"
    for torn in folder.glob(".*.part"):  # of a process that was killed
        shutil.rmtree(torn, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        write_tensors(part / "model.safetensors", net.state_dict())
        write_tensors(part / "ema.safetensors", ema.state_dict())
        moments = optimizer.state_dict()["state"]
        flat = {f"{i}.{name}": value for i, entry in moments.items() for name, value in entry.items()}
        write_tensors(part / "optimizer.safetensors", flat)
        write_json(part / "state.json", state)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for old in snapshots(run_dir)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def snapshots(run_dir: Path) -> list[Path]:
    """The complete snapshots of a run, oldest first."""
    folder = run_dir / "checkpoints"
    return sorted(p for p in folder.glob("step-*") if (p / "state.json").is_file()) if folder.is_dir() else []


def load_snapshot(folder: Path, net: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Put a snapshot back; returns its state."""
    load_weights(net, folder / "model.safetensors")
    load_weights(ema, folder / "ema.safetensors")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in read_tensors(folder / "optimizer.safetensors").items():
        index, name = key.split(".")
        parameter = parameters[int(index)]
        # The fused optimizer walks raw memory: a moment must have its parameter's strides.
        moment = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape and value.dim() else value
        entries.setdefault(int(index), {})[name] = moment
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
    state: dict[str, Any] = read_json(folder / "state.json")
    return state
