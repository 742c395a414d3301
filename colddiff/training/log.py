"""The log of a training: one JSON line per entry, drawn by TensorBoard too where that is wanted."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from ..utils.files import check_plain, synced, write_text

TAIL = 64 * 2**10  # bytes of a log that are read to know how it ends


class Log:
    """A JSONL file that survives: one flushed line per entry; entries after the resumed step are dropped.

    Args:
        path: the file.
        after: the step that the training goes on from.
        tensorboard: write the numbers into an event file in the folder `tensorboard` beside it too.

    Raises:
        ModuleNotFoundError: TensorBoard is asked for, and is not installed.
    """

    def __init__(self, path: Path, after: int, tensorboard: bool = False) -> None:
        self.path = path
        # What an earlier writer wrote of later steps is hidden.
        self._board = tensorboard_writer()(path.parent / "tensorboard", purge_step=after + 1) if tensorboard else None
        if path.exists():
            kept = [
                line
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
                if _step_of(line) <= after
            ]
            write_text(path, "".join(line + "\n" for line in kept))

    def write(self, *, step: int, **entry: float) -> None:
        """Append numbers; those that are not finite are left out, as JSON has no word for them."""
        entry = {name: value for name, value in entry.items() if math.isfinite(value)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step} | entry) + "\n")
        if self._board is not None:
            for name, value in entry.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()

    def sync(self) -> None:
        """Have it on the disk: a checkpoint is not to be newer than what the log has of it."""
        if self.path.exists():
            synced(self.path)

    def close(self) -> None:
        """Finish the event file; of the JSON lines all are written."""
        if self._board is not None:
            self._board.close()


def last_lines(path: Path) -> list[str]:
    """The whole lines within the last 64 KiB of a log that anybody may have written.

    Raises:
        FileNotFoundError: no such file. ValueError: it is no plain file.
    """
    check_plain(path)
    with path.open("rb") as stream:
        begin = max(0, stream.seek(0, os.SEEK_END) - TAIL)
        stream.seek(begin)
        lines = stream.read(TAIL).splitlines()
    return [line.decode(errors="replace") for line in lines[begin > 0 :]]  # the first one is cut


def tensorboard_writer() -> Any:
    """The class that writes TensorBoard events.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ModuleNotFoundError('TensorBoard is not installed: pip install "colddiff[tensorboard]"') from None
    return SummaryWriter


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a torn last line
