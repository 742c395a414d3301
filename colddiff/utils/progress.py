"""What a long operation says of itself: a bar on a terminal or in a notebook, elsewhere a line in the log now and then.

Lines and events go to `logging.getLogger("colddiff")` at level INFO. Nothing of that is printed from Python until
logging is set up, for instance with `logging.basicConfig(level=logging.INFO)`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from .distributed import is_first

T = TypeVar("T")
LOGGER = logging.getLogger("colddiff")
LOGGER.addHandler(logging.NullHandler())
FIRST = 5.0  # seconds to the first line
INTERVAL = 30.0  # seconds between lines at most, as far as the loop moves in that time


def event(message: str) -> None:
    """Log what happened, once for all processes."""
    if is_first():
        LOGGER.info(message)


class Progress(Generic[T]):
    """A loop that tells how far it is; iterate over it, or call `update`, and `close` it or use it in a `with`.

    Args:
        items: what to iterate over.
        name: of the operation.
        total: how many there are; the length of `items` if left out.
        unit: what is counted, "images" say; a rate is told of images only. "step" is told as "step 3 of 8".
        initial: how many were done before.
        show: False for silence.
        title: what the bar says instead of `name`.
        leave: whether bar and last line stay: otherwise the bar goes, and a short operation logs nothing.
        delay: seconds before the bar is drawn.
        first: seconds to the first line.
        interval: seconds between lines.
        clock: seconds from some time on.
        terminal: whether there is one; looked up if left out.
    """

    def __init__(
        self, items: Iterable[T] = (), name: str = "", total: int | None = None, *, unit: str = "", initial: int = 0,
        show: bool = True, title: str | None = None, leave: bool = False, delay: float = 0,
        first: float | None = None, interval: float | None = None, clock: Callable[[], float] = time.monotonic,
        terminal: bool | None = None,
    ) -> None:  # fmt: skip
        size: Any = getattr(items, "__len__", None)
        self.items, self.name, self.unit = items, name, unit
        self.total = size() if total is None and size is not None else total
        self.initial = self.done = initial
        self.interval, self.clock, self.leave = INTERVAL if interval is None else interval, clock, leave
        self.note, self.spoke, self.closed = "", False, False
        self.bar: Any = None
        terminal = shows_bars() if terminal is None else terminal
        shown = show and is_first()
        self.logs = shown and not terminal
        if shown and terminal:
            spaced = unit if unit == "step" else f" {unit or 'it'}"
            self.bar = tqdm(
                total=self.total, desc=title or name, unit=spaced, initial=initial, leave=leave, delay=delay
            )  # fmt: skip
        self.began = self.last = clock()
        self.first = FIRST if first is None else first
        self.due = self.began + self.first

    def __iter__(self) -> Iterator[T]:
        try:
            for item in self.items:
                yield item
                self.update()
        finally:
            self.close()

    def __enter__(self) -> Progress[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        """So many more are done."""
        self.done += n
        if self.bar is not None:
            self.bar.update(n)
        elif self.logs:
            now = self.clock()
            ahead = now - self.last if self.spoke else 0.0  # the next one may take as long as this one did
            self.last = now
            if now + ahead >= self.due:
                self._log(now)

    def say(self, shown: str, logged: str) -> None:
        """What the bar shows and what a line says beside the count, from now on."""
        self.note = logged
        if self.bar is not None:
            self.bar.set_postfix_str(shown)

    def close(self) -> None:
        """End the bar, or log the last line."""
        if self.closed:
            return
        self.closed = True
        if self.bar is not None:
            self.bar.close()
        elif self.logs:
            now = self.clock()
            if self.leave or self.spoke or now - self.began >= self.first:
                self._log(now)

    def _log(self, now: float) -> None:
        self.spoke, self.due = True, now + self.interval
        if LOGGER.isEnabledFor(logging.INFO):
            LOGGER.info(self._line(now - self.began))

    def _line(self, seconds: float) -> str:
        of = "" if self.total is None else f" of {self.total:,}"
        count = f"step {self.done:,}{of}" if self.unit == "step" else f"{self.done:,}{of} {self.unit}".rstrip()
        pace, told = (self.done - self.initial) / max(seconds, 1e-9), [count]
        if self.note:
            told.append(self.note)
        elif self.unit == "images" and pace:
            told.append(f"{pace:.3g} images/s" if pace < 100 else f"{pace:,.0f} images/s")
        if self.total is not None and pace:
            left = max(0, self.total - self.done)
            told.append(f"{in_words(left / pace)} left" if left else f"done in {in_words(seconds)}")
        return f"{self.name}: {', '.join(told)}"


def shows_bars() -> bool:
    """Whether somebody sees a bar move: on a terminal and in a notebook."""
    return bool(sys.stderr and sys.stderr.isatty()) or "ipykernel" in sys.modules


def in_words(seconds: float) -> str:
    """A duration: 2 min 5 s."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
