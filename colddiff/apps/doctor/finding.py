"""What a look at something found: a verdict, what was measured, what to do about it."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: what it is.
        verdict: "problem" where results are wrong, "warning" where time or precision is lost.
        measured: what was seen, in a line, with the limit that it was held to.
        cure: what to do, where there is something to do.
    """

    name: str
    verdict: Verdict
    measured: str
    cure: str = ""


def found(name: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """All that a look finds; what it warns of, and what it raises, are findings too: it never ends the others."""
    findings: list[Finding] = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        try:
            for finding in look():
                findings.append(finding)
        except Exception as error:  # whatever is broken
            if os.environ.get("COLDDIFF_DEBUG"):
                traceback.print_exc()
            # Messages of the library say what is wrong and what to do; others need their type beside them.
            own = isinstance(error, ValueError | OSError)
            measured = one_line(error) if own else f"{type(error).__name__}: {one_line(error)}"
            findings.append(Finding(name, "problem", measured, "" if own else "COLDDIFF_DEBUG=1 shows where"))
    told = dict.fromkeys(one_line(warning.message) for warning in said)
    return findings + [Finding(name, "warning", line) for line in told]


def one_line(error: object) -> str:
    """The first line of a message."""
    return next(iter(str(error).strip().splitlines()), "no message")
