"""What a run is and how its training went."""

from __future__ import annotations

import json
from typing import Any

from jsonargparse import ArgumentParser

from ....utils.text import escape_control
from ..command import trust


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote")
    trust(p)


def run(run: str) -> None:
    """Print what a run is and how its training went."""
    from ....models.serialization import load
    from ....training.log import last_lines

    model = load(run, device="cpu")
    config = model.config
    parameters = sum(p.numel() for p in model.net.parameters())
    print(f"degradation  {_dumps(config['degradation'])}")
    told = f"{_dumps(config['restorer'])}, {parameters:,} parameters, trained in {config['precision']}"
    print(f"restorer     {escape_control(told)}")
    print(f"prior        {_dumps(config['prior'])}")
    print(f"images       {model.shape[0]} x {model.shape[1]} x {model.shape[2]}, from {_dumps(config['data'])}")
    planned = config["training"].get("total_steps", "unknown")
    print(f"training     step {config['step']} of {planned}, by colddiff {config['version']}")
    if model.recommended is not None:
        for line in model.recommended.lines(model.degradation.level_times()):
            print(f"restores     {line}, measured on {escape_control(str(model.recommended))}")
    if model.estimator is not None:
        print(f"time         {model.estimator.description}")
    log = model.path / "log.jsonl"
    for line in last_lines(log)[-2:] if log.exists() else []:
        print(f"log          {escape_control(line)}")


def _dumps(value: Any) -> str:
    return json.dumps(value)
