"""What can be named on the command line: operators and their fields, experiments of the paper."""

from __future__ import annotations

import json as jsonlib
from typing import Any

from .data.builtin import EMBEDDED
from .models.serialization import shipped
from .paper import presets
from .samplers.algorithms import SAMPLERS
from .utils.config import Configurable, field_types, plug_ins, registered

GROUPS = {
    "degradations": "colddiff.degradations",
    "schedules": "colddiff.schedules",
    "noise schedules (--degradation.betas)": "colddiff.noise_schedules",
    "sigma schedules (--degradation.sigmas)": "colddiff.sigma_schedules",
    "priors": "colddiff.priors",
    "restorers": "colddiff.restorers",
}


def list_names(json: bool) -> None:
    """Print what can be named, with fields and defaults."""
    found: dict[str, Any] = {}
    for title, group in GROUPS.items():
        known = registered(group).items()
        found[title] = {name: {"summary": _summary(cls), "fields": _fields(cls)} for name, cls in known}
        found[title] |= {name: {"summary": "plug-in"} for name in plug_ins(group)}
    found["samplers"] = {name: {"summary": _summary(sampler)} for name, sampler in SAMPLERS.items()}
    found["data"] = {name: {"summary": "embedded"} for name in EMBEDDED}
    found["runs"] = {name: {"summary": "comes with the library"} for name in shipped()}
    if json:
        print(jsonlib.dumps(found))
        return
    for title, members in found.items():
        print(f"\n{title}")
        for name, told in members.items():
            shown = ", ".join(f"{k}={v}" for k, v in told.get("fields", {}).items() if k != "schedule")
            print(f"  {name:<16} {told['summary']}" + (f"\n  {'':<16} {shown}" if shown else ""))


def list_presets(json: bool) -> None:
    """Print the paper's experiments, with what differs between them; as JSON, with all of their settings."""
    if json:
        print(jsonlib.dumps({name: {"about": one.about} | one.fields() for name, one in presets.PRESETS.items()}))
        return
    shared = ", ".join(f"{name} {value}" for name, value in presets.TRAINING.items())
    print(f"colddiff train --preset NAME DATA --out RUN; any field can be given beside it. Of all:\n  {shared}\n")
    for name, one in presets.PRESETS.items():
        op = {k: v for k, v in one.degradation.to_config().items() if k not in ("type", "schedule")}
        print(f"{name:<20} {one.about}; {one.channels} x {one.side} x {one.side}, {one.restorer}")
        print(f"{'':<20} {one.degradation.registered_name} " + ", ".join(f"{k}={v}" for k, v in op.items()))
        if one.changes:
            print(f"{'':<20} " + ", ".join(f"{k} {v}" for k, v in one.changes))


def _fields(cls: type) -> dict[str, Any]:
    defaults = {f: getattr(cls, f, None) for f in field_types(cls)}
    return {f: v.registered_name if isinstance(v, Configurable) else v for f, v in defaults.items()}


def _summary(value: Any) -> str:
    return " ".join((value.__doc__ or "").split("\n\n")[0].split())
