"""The log of a training: one JSON line per entry."""

from __future__ import annotations

import json
from pathlib import Path

from .files import write_text


class Log:
    """A JSONL file that survives: one flushed line per entry; entries after the resumed step are dropped.

    Args:
        path: the file.
        after: the step that the training goes on from.
    """

    def __init__(self, path: Path, after: int) -> None:
        self.path = path
        if path.exists():
            kept = [line for line in path.read_text(encoding="utf-8").splitlines() if after and _step_of(line) <= after]
            write_text(path, "".join(line + "\n" for line in kept))

    def write(self, **entry: float) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a torn last line
