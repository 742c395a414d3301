"""Controls for the fields of any operator, made from their types, defaults and docstrings."""

from __future__ import annotations

import json
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pprint import pformat
from typing import Any

import gradio as gr

from ...degradations.base import Degradation
from ...utils.config import Configurable, field_types, lookup, plug_ins, registered
from ...utils.text import argument_texts

NOTHING = "none"
# What stands in a field that has no default of use.
STARTERS = {"parts": ["gaussian_blur", "jpeg"], "options": ["gaussian_blur", "pixelate"]}
ADVANCED = ("schedule",)


def operators() -> list[str]:
    """The names of all degradations, installed plug-ins among them."""
    return sorted([*registered(Degradation.group), *plug_ins(Degradation.group)])


@dataclass(frozen=True)
class Control:
    """A field of an operator as a control on the page.

    Args:
        name: of the field.
        annotation: its type, without None.
        optional: whether it may be None.
        default: its value where nobody changes it.
        about: what its docstring says.
    """

    name: str
    annotation: Any
    optional: bool
    default: Any
    about: str

    def component(self, key: str = "") -> Any:
        """What the browser shows; of another operator's field of that name it is told apart by the key."""
        shown: dict[str, Any] = {"label": self.name, "info": self.about or None, "interactive": True}
        shown["key"] = f"{key}.{self.name}"
        if self.configurable:
            choices = [NOTHING] * self.optional + sorted(registered(self.annotation.group))
            value = NOTHING if self.default is None else self.default.registered_name
            return gr.Dropdown(choices, value=value, **shown)
        if typing.get_origin(self.annotation) is typing.Literal:
            return gr.Dropdown(list(typing.get_args(self.annotation)), value=self.default, **shown)
        if self.annotation is bool:
            return gr.Checkbox(value=self.default, **shown)
        if self.annotation in (int, float) and self.optional:  # a box of numbers would show a 0 for none
            return gr.Textbox(value="" if self.default is None else f"{self.default:g}", placeholder=NOTHING, **shown)
        if self.annotation in (int, float):
            return gr.Number(value=self.default, precision=0 if self.annotation is int else None, **shown)
        if self.annotation is str:
            return gr.Textbox(value=self.default, **shown)
        return gr.Textbox(value=json.dumps(_plain(self.default)), lines=1, **shown)

    @property
    def configurable(self) -> bool:
        return isinstance(self.annotation, type) and issubclass(self.annotation, Configurable)

    def value(self, given: Any) -> Any:
        """What the operator's config takes for what the browser sent.

        Raises:
            ValueError: text that is no JSON where a list is expected.
        """
        if self.configurable:
            same = self.default is not None and given == self.default.registered_name
            return self.default if same else None if given == NOTHING else given
        if given is None or (self.optional and isinstance(given, str) and given.strip() in ("", NOTHING)):
            return None if self.optional else self.default
        if self.annotation in (int, float) and isinstance(given, str):
            try:
                return self.annotation(given)
            except ValueError:
                kind = "a whole number" if self.annotation is int else "a number"
                raise ValueError(f"{self.name} is {kind} or {NOTHING}, got {given}") from None
        if typing.get_origin(self.annotation) is tuple and isinstance(given, str):
            try:
                return json.loads(given)
            except json.JSONDecodeError:
                raise ValueError(
                    f"{self.name} is a list like {json.dumps(_plain(self.default))}, got {given}"
                ) from None
        return int(given) if self.annotation is int and given == int(given) else given


def controls(name: str) -> list[Control]:
    """The controls of the operator of that name: its own fields, then those that all have."""
    cls = lookup(Degradation.group, name)
    about: dict[str, str] = {}
    for ancestor in reversed([c for c in cls.__mro__ if hasattr(c, "__dataclass_fields__")]):
        about |= {field: text for field, text in argument_texts(ancestor).items() if text}
    made = [_control(cls, field, annotation, about.get(field, "")) for field, annotation in field_types(cls).items()]
    return sorted(made, key=lambda control: control.name in ADVANCED)


def operator(name: str, values: Sequence[Any] = ()) -> Degradation:
    """The operator with what its controls say, or with its defaults.

    Raises:
        ValueError, TypeError, LookupError: what the operator says of its fields.
    """
    made = controls(name)
    given = [control.value(value) for control, value in zip(made, values, strict=True)] if values else []
    given = given or [control.default for control in made]
    return Degradation.from_config({"type": name} | {c.name: v for c, v in zip(made, given, strict=True)})


def snippet(op: Degradation, t: float, seed: int) -> str:
    """The lines of Python that do what the page does."""
    cls = type(op)
    defaults = {name: getattr(cls, name, None) for name in field_types(cls)}
    changed = {name: _plain(getattr(op, name)) for name in defaults if getattr(op, name) != defaults[name]}
    shown = (f"    {name}={pformat(value, width=100, sort_dicts=False)},\n" for name, value in changed.items())
    fields = "".join([",\n", *shown]) if changed else ""
    lines = ["import colddiff as cd", 'x = cd.read_images("picture.png")']
    lines.append(f"op = cd.degradation({op.registered_name!r}{fields})")
    if op.required_params:
        lines.append(f'params = dict.fromkeys({op.required_params}, cd.read_images("other.png"))  # of the size of x')
    elif not op.deterministic:
        lines.insert(0, "import torch")
        lines.append(f"params = op.draw(x, torch.Generator().manual_seed({seed}))")
    given = "" if op.deterministic and not op.required_params else ", params"
    return "\n".join([*lines, f"damaged = op(x, {t:g}{given})"])


def _control(cls: type, field: str, annotation: Any, about: str) -> Control:
    options = [a for a in typing.get_args(annotation) if a is not type(None)]
    optional = type(None) in typing.get_args(annotation)
    default = getattr(cls, field, None)
    return Control(
        field, options[0] if optional else annotation, optional, default or STARTERS.get(field, default), about
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Configurable):
        return value.to_config()
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
