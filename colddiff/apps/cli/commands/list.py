"""What can be named on the command line, with fields and defaults."""

from __future__ import annotations

import json as jsonlib
from typing import Any

from jsonargparse import ArgumentParser

from ....utils.config import plug_ins
from ..command import SWITCH
from ..index import GROUPS, read


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("--json", action=SWITCH, default=False, help="as JSON")


def run(json: bool) -> None:
    """Print what can be named, with fields and defaults."""
    index = read()
    found: dict[str, Any] = {}
    for title, group in GROUPS.items():
        known = index["registered"][group]
        more = [name for name in plug_ins(group) if name not in known]
        found[title] = known | {name: {"summary": "plug-in"} for name in more}
    found["samplers"] = {name: {"summary": summary} for name, summary in index["samplers"].items()}
    found["data"] = {name: {"summary": "embedded"} for name in index["data"]}
    found["runs"] = {name: {"summary": "comes with the library"} for name in index["runs"]}
    if json:
        print(jsonlib.dumps(found))
        return
    for title, members in found.items():
        print(f"\n{title}")
        for name, told in members.items():
            fields = {k: tuple(v) if isinstance(v, list) else v for k, v in told.get("fields", {}).items()}
            shown = ", ".join(f"{k}={v}" for k, v in fields.items() if k != "schedule")
            print(f"  {name:<16} {told['summary']}" + (f"\n  {'':<16} {shown}" if shown else ""))
