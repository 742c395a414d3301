"""Frozen values that know their registered name and their JSON form."""

from __future__ import annotations

import dataclasses
import difflib
import reprlib
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar
from weakref import WeakKeyDictionary

_CLASSES: dict[str, dict[str, type[Configurable]]] = {}
_TYPES: WeakKeyDictionary[type, dict[str, Any]] = WeakKeyDictionary()  # of fields, resolved

# The file whose names are being looked up, where nothing is to be imported because it names it.
_STRANGER: ContextVar[Path | None] = ContextVar("stranger", default=None)
_TRUSTING: ContextVar[bool] = ContextVar("trusting", default=False)

MOST_PARTS = 64  # values that are made of others, in one field: a file must not ask for millions
LARGEST = 2**63  # of whole numbers, beyond which no tensor can follow

T = TypeVar("T")

# The modules that register the library's own members of a family, loaded when the family is first looked at; plug-ins
# say the same of theirs by entry points.
_BUILT_IN = {
    "colddiff.degradations": ["degradations"],
    "colddiff.schedules": ["degradations.schedules"],
    "colddiff.noise_schedules": ["degradations.noise_schedules"],
    "colddiff.sigma_schedules": ["degradations.blur_schedules"],
    "colddiff.priors": ["samplers.priors"],
    "colddiff.restorers": [
        f"models.networks.{name}"
        for name in ("unet", "convnext_unet", "diffusers_unet", "parametrization", "resnet_unet", "wiener_unet")
    ],
    "colddiff.configs": ["data.framing", "training.config"],
}


@dataclass(frozen=True, kw_only=True)
class Configurable:
    """A frozen dataclass of numbers, strings, booleans, tuples and other Configurables.

    Fields are coerced by their annotation, so that `GaussianBlur(sigma_max=12)` and `GaussianBlur(sigma_max=12.0)`
    are equal and have equal JSON. A subclass checks its ranges in `check`.
    """

    group: ClassVar[str]  # the entry-point group of the family, e.g. "colddiff.degradations"
    registered_name: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        for name, annotation in field_types(type(self)).items():
            value = _coerce(getattr(self, name), annotation, f"{type(self).__name__}.{name}")
            object.__setattr__(self, name, value)
        self.check()

    def check(self) -> None:
        """Raise a ValueError for a field out of its range."""

    def to_config(self) -> dict[str, Any]:
        """This value as JSON: its registered name under "type", then its fields.

        Raises:
            ValueError: the class is not registered, so that no other process could build it again.
        """
        name = type(self).__dict__.get("registered_name")
        if name is None:
            raise ValueError(
                f'{type(self).__name__} has no registered name and cannot be saved: decorate it with @register("...")'
            )
        return {"type": name} | {f: _jsonable(getattr(self, f)) for f in field_types(type(self))}

    @classmethod
    def from_config(cls, config: str | dict[str, Any] | Configurable) -> Self:
        """Build a member of this family from a name, or from `{"type": name, **fields}`.

        A field that is a mapping without a "type" changes fields of its default.

        Raises:
            LookupError: no such name. TypeError: unknown field or wrong type. ValueError: a value out of range.
        """
        if isinstance(config, cls):
            return config
        if isinstance(config, str):
            config = {"type": config}
        if not isinstance(config, dict) or not isinstance(config.get("type"), str):
            raise TypeError(f'expected a name or {{"type": name, ...}} for a {cls.__name__}, got {_shown(config)}')
        found = lookup(cls.group, config["type"])
        if not issubclass(found, cls):
            raise TypeError(f"expected a {cls.__name__}, got {config['type']!r}, which is a {found.__name__}")
        fields = {k: v for k, v in config.items() if k != "type"}
        known = field_types(found)
        for key in fields:
            if key not in known:
                raise TypeError(unknown_field(config["type"], key, known))
            default = getattr(found, key, None)
            if isinstance(default, Configurable) and isinstance(fields[key], dict) and "type" not in fields[key]:
                fields[key] = default.to_config() | fields[key]
        return found(**fields)


def register(name: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: make a Configurable known by `name` within its family.

    Raises:
        ValueError: another class of the family has that name.
    """

    def enrol(cls: type[T]) -> type[T]:
        assert issubclass(cls, Configurable)
        other = _CLASSES.setdefault(cls.group, {}).get(name)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"the name {name!r} is taken in {cls.group} by {other.__module__}.{other.__qualname__}")
        cls.registered_name = name
        _CLASSES[cls.group][name] = cls
        return cls

    return enrol


def registered(group: str) -> dict[str, type[Configurable]]:
    """The classes of a family by name, without asking installed plug-ins."""
    return dict(sorted(_known(group).items()))


def _known(group: str) -> dict[str, type[Configurable]]:
    """The classes of a family by name, those of the library among them."""
    for module in _BUILT_IN.get(group, ()):
        import_module(f"colddiff.{module}")
    return _CLASSES.setdefault(group, {})


def known_now(group: str) -> list[str]:
    """The names of a family that have been registered by now, without loading the library's own."""
    return [*_CLASSES.get(group, {})]


def plug_ins(group: str) -> list[str]:
    """The names that installed plug-ins add to a family; nothing is imported."""
    return sorted({point.name for point in entry_points(group=group)} - _CLASSES.get(group, {}).keys())


@contextmanager
def untrusted_names(file: Path, *, trust_plugins: bool) -> Iterator[None]:
    """Meanwhile names are those of a file that anybody may have written: it has no plug-in imported unless trusted."""
    token = _STRANGER.set(None if trust_plugins or _TRUSTING.get() else file)
    try:
        yield
    finally:
        _STRANGER.reset(token)


@contextmanager
def trusting_plugins(trust: bool) -> Iterator[None]:
    """Whether, meanwhile, plug-ins are trusted that any file names: the command line's --trust-plugins."""
    token = _TRUSTING.set(trust)
    try:
        yield
    finally:
        _TRUSTING.reset(token)


def lookup(group: str, name: str) -> type[Configurable]:
    """The class of that name; on a miss, installed plug-ins are asked through their entry points.

    Raises:
        LookupError: no such name, or that of a plug-in which only a file names (`untrusted_names`). TypeError: a
        plug-in of that name that is no member of the family.
    """
    known = _known(group)
    kind = group.removeprefix("colddiff.").removesuffix("s")
    if name not in known:
        for point in entry_points(group=group, name=name):
            if (file := _STRANGER.get()) is not None:
                raise LookupError(
                    f"{str(file)!r} names the {kind} {name!r} of a plug-in, and no file has anything imported: import "
                    f"{point.value.partition(':')[0]} yourself, or trust it (--trust-plugins, trust_plugins=True)"
                )
            loaded = point.load()
            if not (isinstance(loaded, type) and issubclass(loaded, Configurable) and loaded.group == group):
                raise TypeError(f"entry point {point.value!r} of group {group} is not a registered class of that group")
            return loaded
    if name not in known:
        raise LookupError(unknown_name(kind, name, [*known, *plug_ins(group)]))
    return known[name]


def unknown_name(kind: str, name: str, names: Iterable[str]) -> str:
    """What to say of a name that no member of a family has."""
    names = sorted(names)
    return (
        f"no {kind} is named {_shown(name)}{suggestion(name, names)}; known: {', '.join(names)} "
        "(one of your own is known once its module is imported, or installed with an entry point)"
    )


def unknown_field(owner: str, field: str, fields: Iterable[str]) -> str:
    """What to say of a field that a member of a family does not have."""
    known = [*fields]
    return f"{owner} has no field {_shown(field)}{suggestion(field, known)}; its fields: {', '.join(known)}"


def suggestion(name: str, names: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"`, or nothing where no name is close."""
    close = difflib.get_close_matches(name[:100], list(names), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def field_types(cls: type) -> dict[str, Any]:
    """The annotation of each field that a config has, resolved; not of those that `measured` declares."""
    if cls not in _TYPES:  # resolving takes thirty times as long as all the rest of making a value
        hints = typing.get_type_hints(cls)
        _TYPES[cls] = {f.name: hints[f.name] for f in dataclasses.fields(cls) if not f.metadata.get("measured")}
    return _TYPES[cls]


def measured() -> Any:
    """A dataclass field that is None until it is measured on data, and is no part of the config."""
    return dataclasses.field(default=None, repr=False, metadata={"measured": True})


def _coerce(value: Any, annotation: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [a for a in arguments if a is not type(None)]
        if len(options) > 1:
            raise TypeError(f"{where} is declared as {annotation}: a field has one type, or one and None")
        return _coerce(value, options[0], where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ValueError(f"{where} must be one of {', '.join(map(repr, arguments))}, got {_shown(value)}")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        inner = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) != len(value):
            raise TypeError(f"{where} must have {len(inner)} entries, got {len(value)}")
        if len(value) > MOST_PARTS and isinstance(inner[0], type) and issubclass(inner[0], Configurable):
            raise ValueError(f"{where} must have at most {MOST_PARTS} entries, got {len(value)}")
        return tuple(_coerce(v, a, where) for v, a in zip(value, inner, strict=True))
    if annotation in (int, float) and isinstance(value, int) and not -LARGEST < value < LARGEST:
        raise ValueError(f"{where} must be less than 2**63, got a number of {value.bit_length()} bits")
    if annotation is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(annotation, type) and issubclass(annotation, Configurable) and isinstance(value, str | dict):
        return annotation.from_config(value)
    fits = isinstance(annotation, type) and isinstance(value, annotation)
    if fits and (annotation is bool or not isinstance(value, bool)):  # True is an int, but not here
        return value
    raise TypeError(f"{where} must be {getattr(annotation, '__name__', annotation)}, got {_shown(value)}")


def _shown(value: object) -> str:
    """What was given, in a line that can be read."""
    line = _BRIEF.repr(value)
    return line if len(line) <= LONGEST_SHOWN else line[:LONGEST_SHOWN] + "..."


LONGEST_SHOWN = 200  # characters
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 60


def _jsonable(value: Any) -> Any:
    if isinstance(value, Configurable):
        return value.to_config()
    if isinstance(value, tuple):
        return [_jsonable(v) for v in value]
    return value
