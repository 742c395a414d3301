"""Numbers as people write them on a command line, and what others wrote, safe to print."""

from __future__ import annotations

from typing import Any


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


def printable(text: str) -> str:
    """What somebody else wrote, on one line of what any terminal and file takes: a newline is \\n, an escape \\x1b.

    Printed as it is, it could move the cursor, rename the window or fill the clipboard.
    """
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
