"""What the library logs, as lines on stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from ...utils.text import escape_control


@contextmanager
def logged(quiet: bool, verbose: bool) -> Iterator[None]:
    """Meanwhile records of the logger "colddiff" are lines on stderr: INFO, or WARNING if quiet, DEBUG if verbose."""
    logger, handler = logging.getLogger("colddiff"), _Lines()
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates


class _Lines(logging.Handler):
    """`colddiff: message`, on one line, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = escape_control(" ".join(record.getMessage().split()))
            head = "colddiff: warning: " if record.levelno >= logging.WARNING else "colddiff: "
            tqdm.write(head + line, file=sys.stderr)
        except Exception:
            self.handleError(record)
