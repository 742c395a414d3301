"""Numbers as people write them on a command line, what docstrings say, and what others wrote, safe to show."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

MARKUP = re.compile(  # the brackets and the last two make links
    r"[\\`*<>&|#~@]|\](?=[(\[:])|:(?=//)|(?<=www)\.", re.IGNORECASE
)


def numbers(text: str, kind: type[Any], option: str) -> list[Any]:
    """The numbers of a text like "1,2,5", for an option of that name."""
    try:
        return [kind(part) for part in text.strip("[]").split(",")]
    except ValueError:
        raise ValueError(f"{option} must be numbers separated by commas, got {text!r}") from None


def number(text: str, option: str) -> int:
    """One whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{option} must be one whole number or all, got {text!r}") from None


def escape_control(text: str) -> str:
    """What somebody else wrote, on one line of what any terminal and file takes: a newline is \\n, an escape \\x1b.

    Printed as it is, it could move the cursor, rename the window or fill the clipboard.
    """
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def escape_markdown(value: Any) -> Any:
    """What somebody else wrote, as Markdown that shows it and does nothing: no heading, no link, no HTML.

    Args:
        value: a text, or a dictionary or list of what a JSON file holds.
    """
    if isinstance(value, dict):
        return {escape_markdown(key): escape_markdown(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [escape_markdown(inner) for inner in value]
    return MARKUP.sub(r"\\\g<0>", escape_control(value)) if isinstance(value, str) else value


def argument_texts(cls: type) -> dict[str, str]:
    """What the `Args:` of a docstring say of each name."""
    section = (cls.__doc__ or "").partition("Args:")[2]
    found: dict[str, str] = {}
    for names, text in re.findall(r"^ {8}(\w[\w, ]*): (.*?)(?=^ {8}\w|\Z)", section, flags=re.MULTILINE | re.DOTALL):
        found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found | {f.name: found.get(f.name, "") for f in dataclasses.fields(cls)}
