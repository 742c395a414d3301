"""Degradations made of others: names of params, severities, number of parts."""

from __future__ import annotations

from torch import Tensor

from ..utils.config import MOST_PARTS
from .base import Degradation, Params


def to_part(i: int, params: Params) -> Params:
    """The params of part i under the names that they have in the whole: "i.name"."""
    return {f"{i}.{name}": value for name, value in params.items()}


def of_part(i: int, params: Params) -> Params:
    """What part i is to see of the params of the whole."""
    prefix = f"{i}."
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}


def part_severity(part: Degradation, s: Tensor) -> Tensor:
    """The severity of a part where the whole is at severity s, (B, 1, 1, 1): warped by the part's own schedule."""
    return part.severity(s).to(s.dtype)


def check_parts(name: str, parts: tuple[Degradation, ...]) -> None:
    """Raise for more parts than `MOST_PARTS`, those of the parts among them: each is computed at every step."""
    count = sum(map(_size, parts))
    if count > MOST_PARTS:
        raise ValueError(f"{name} must have at most {MOST_PARTS} parts, those of its parts among them, got {count}")


def _size(op: Degradation) -> int:
    """How many degradations one is made of, itself among them."""
    inner = [v for field in vars(op).values() for v in (field if isinstance(field, tuple) else (field,))]
    return 1 + sum(_size(v) for v in inner if isinstance(v, Degradation))
