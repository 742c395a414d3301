"""What the command line knows of the library without importing it: names, fields, defaults and their help.

`python -m colddiff.apps.cli.index` writes index.json anew; a test holds it against the library.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("index.json")

# Of `colddiff list`: title and entry-point group.
GROUPS = {
    "degradations": "colddiff.degradations",
    "schedules": "colddiff.schedules",
    "noise schedules (--degradation.betas)": "colddiff.noise_schedules",
    "sigma schedules (--degradation.sigmas)": "colddiff.sigma_schedules",
    "priors": "colddiff.priors",
    "restorers": "colddiff.restorers",
}


@cache
def read() -> dict[str, Any]:
    """The index: "registered" by group, "samplers", "data", "runs", "presets", "train" (TrainConfig's fields)."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def choices(field: str) -> Any:
    """The values that a field of TrainConfig takes, as a type for the parser."""
    return typing.Literal[tuple(read()["train"][field]["choices"])]


def build() -> dict[str, Any]:
    """The same, taken from the library itself."""
    from ...data.builtin import EMBEDDED
    from ...models.serialization import shipped
    from ...paper import presets
    from ...samplers.algorithms import SAMPLERS
    from ...training.config import TrainConfig
    from ...utils.config import field_types, registered
    from ...utils.text import argument_texts

    texts, types = argument_texts(TrainConfig), field_types(TrainConfig)
    value = {
        "registered": {
            group: {
                name: {"summary": _summary(cls), "fields": _fields(cls)}
                for name, cls in registered(group).items()
                if cls.__module__.startswith("colddiff.")
            }
            for group in GROUPS.values()
        },
        "samplers": {name: _summary(sampler) for name, sampler in SAMPLERS.items()},
        "data": [*EMBEDDED],
        "runs": shipped(),
        "train": {
            field.name: _kind(types[field.name])
            | {
                "default": None if field.default is dataclasses.MISSING else field.default,
                "help": texts[field.name],
            }
            for field in dataclasses.fields(TrainConfig)
        },
        "presets": {
            "shared": presets.TRAINING,
            "members": {
                name: {
                    "about": one.about, "channels": one.channels, "side": one.side, "restorer": one.restorer,
                    "changes": dict(one.changes), "fields": one.fields(),
                }
                for name, one in presets.PRESETS.items()
            },
        },
    }  # fmt: skip
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain


def _kind(annotation: Any) -> dict[str, Any]:
    """How a field is given on the command line: a plain type by name, "name" of a registered value, or choices."""
    from ...utils.config import Configurable

    options = [a for a in typing.get_args(annotation) or (annotation,) if a is not type(None)]
    if typing.get_origin(annotation) is typing.Literal:
        return {"choices": options}
    first = options[0]
    if typing.get_origin(first) is typing.Literal:
        return {"choices": [*typing.get_args(first)]}
    if typing.get_origin(annotation) is tuple:
        return {"type": "numbers"}
    if isinstance(first, type) and issubclass(first, Configurable):
        return {"type": "name"}
    return {"type": first.__name__}


def _fields(cls: type) -> dict[str, Any]:
    from ...utils.config import Configurable, field_types

    defaults = {f: getattr(cls, f, None) for f in field_types(cls)}
    return {f: v.registered_name if isinstance(v, Configurable) else v for f, v in defaults.items()}


def _summary(value: Any) -> str:
    return " ".join((value.__doc__ or "").split("\n\n")[0].split())


if __name__ == "__main__":
    FILE.write_text(json.dumps(build(), indent=1) + "\n", encoding="utf-8")
