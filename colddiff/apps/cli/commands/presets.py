"""The paper's experiments."""

from __future__ import annotations

import json as jsonlib

from jsonargparse import ArgumentParser

from ..command import SWITCH
from ..index import read


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("--json", action=SWITCH, default=False, help="as JSON")


def run(json: bool) -> None:
    """Print the paper's experiments, with what differs between them; as JSON, with all of their settings."""
    presets = read()["presets"]
    if json:
        print(
            jsonlib.dumps({name: {"about": one["about"]} | one["fields"] for name, one in presets["members"].items()})
        )
        return
    shared = ", ".join(f"{name} {value}" for name, value in presets["shared"].items())
    print(f"colddiff train --preset NAME DATA --out RUN; any field can be given beside it. Of all:\n  {shared}\n")
    for name, one in presets["members"].items():
        op = {k: v for k, v in one["fields"]["degradation"].items() if k not in ("type", "schedule")}
        side = one["side"]
        print(f"{name:<20} {one['about']}; {one['channels']} x {side} x {side}, {one['restorer']}")
        print(f"{'':<20} {one['fields']['degradation']['type']} " + ", ".join(f"{k}={v}" for k, v in op.items()))
        if one["changes"]:
            print(f"{'':<20} " + ", ".join(f"{k} {v}" for k, v in one["changes"].items()))
