"""Names on the command line, checked against the index: a slip is told before anything heavy is loaded."""

from __future__ import annotations

from typing import Any

from jsonargparse import Namespace

from ...utils.config import known_now, plug_ins, suggestion, unknown_field, unknown_name
from .index import read

# Arguments that name a registered value, and its family.
FAMILIES = {
    "degradation": "colddiff.degradations",
    "condition": "colddiff.degradations",
    "restorer": "colddiff.restorers",
    "prior": "colddiff.priors",
}


def check_names(given: Namespace) -> None:
    """Raise for a name or a field that nothing in the library or its plug-ins has.

    Raises:
        LookupError: no such name. TypeError: no such field.
    """
    for argument, group in FAMILIES.items():
        _check_value(given.get(argument), group)
    sampler, samplers = given.get("sampler"), read()["samplers"]
    if isinstance(sampler, str) and sampler not in samplers:
        known = ", ".join(samplers)
        raise LookupError(f"no sampler is named {sampler!r}{suggestion(sampler, samplers)}; known: {known}")


def _check_value(value: Any, group: str) -> None:
    """A name, or a mapping with its "type" and its fields."""
    fields = dict(value) if isinstance(value, dict | Namespace) else {"type": value}
    name, known = fields.pop("type", None), read()["registered"][group]
    if not isinstance(name, str):
        return  # nothing, or what the family itself says more about
    if name not in known:
        others = plug_ins(group)  # with what a program that calls `main` has registered itself
        if name not in others and name not in known_now(group):
            kind = group.removeprefix("colddiff.").removesuffix("s")
            raise LookupError(unknown_name(kind, name, [*known, *others]))
        return
    for field in fields:
        if field not in known[name]["fields"]:
            raise TypeError(unknown_field(name, field, known[name]["fields"]))
