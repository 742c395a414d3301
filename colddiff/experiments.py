"""Tables of experiments, and weights of others, from the command line."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from .degradations.base import Degradation
from .paper import presets
from .paper.compare import compare
from .paper.generation_table import generation_table
from .paper.official_weights import import_official
from .paper.restoration_table import reproduce
from .training.config import Size
from .utils.text import numbers


def reproduce_table(
    table: str, data: str, out: str, budget: float, row: str | None, images: int | None, size: Size, features: str,
    device: str, seed: int,
) -> None:  # fmt: skip
    """Train what is missing, measure, and write and print a table of the paper with ours beside it."""
    make = generation_table if table == "generation" else partial(reproduce, table)
    made = make(
        data, out, minutes=budget, row=row, images=images, size=size, features=features, seed=seed, device=device
    )
    written = made.save(Path(out))
    print(made.to_markdown())
    print(f"written to {', '.join(map(str, written))}")


def compare_methods(
    data: str, out: str, task: str, minutes: float, seeds: int, methods: str | None, steps: str | None,
    degradation: Any, images: int, size: Size, image_size: int | None, device: str,
) -> None:  # fmt: skip
    """Train every method with every seed, measure, and write and print the table."""
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    made = compare(
        data, out, task=task, minutes=minutes, seeds=range(seeds), images=images, image_size=image_size, size=size,
        methods=None if methods is None else methods.split(","), device=device,
        steps=None if steps is None else numbers(steps, int, "--steps"),
        degradation=None if degradation is None else Degradation.from_config(degradation),
    )  # fmt: skip
    written = made.save(Path(out))
    print(made.to_markdown())
    print(f"written to {', '.join(map(str, written))}")


def import_weights(file: str, preset: str, out: str) -> None:
    """Make a run of official weights."""
    run = import_official(file, presets.preset(preset).config(file, out), out)
    parameters = sum(p.numel() for p in run.net.parameters())
    print(f"{parameters:,} parameters, averaged weights of step {run.config['step']}, in {out}")
