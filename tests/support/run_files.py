"""What trainings left: their logs and tensors, compared to the last bit."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from colddiff.training.checkpoints import snapshots


def entries(run_dir: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


def tensors_of(run_dir: Path) -> dict[str, torch.Tensor]:
    """The averaged weights, and everything in the last snapshot."""
    found = dict(load_file(run_dir / "model.safetensors"))
    for file in sorted(snapshots(run_dir)[-1].glob("*.safetensors")):
        found |= {f"{file.stem}.{name}": value for name, value in load_file(file).items()}
    return found


def assert_same(one: Path, other: Path) -> None:
    a, b = tensors_of(one), tensors_of(other)
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different, f"{len(different)} of {len(a)} tensors differ"


def names(run: Path) -> list[str]:
    """Its checkpoints, oldest first."""
    return [snapshot.name for snapshot in snapshots(run)]
