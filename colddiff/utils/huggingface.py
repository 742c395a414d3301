"""The Hugging Face hub: names of repositories, quiet downloads, errors in one line."""

from __future__ import annotations

import errno
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

HUB_NAME = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?::([\w.+-]+))?")


@contextmanager
def silenced(datasets: Any, bars: bool = False) -> Iterator[None]:
    """No warnings, log lines or, unless asked for, progress bars; all as they were afterwards."""
    import huggingface_hub

    logs = [datasets.logging, huggingface_hub.logging]
    levels = [log.get_verbosity() for log in logs]
    undo: list[Callable[[], None]] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for package in () if bars else (datasets, huggingface_hub.utils):
                if not package.are_progress_bars_disabled():
                    package.disable_progress_bars()
                    undo.append(package.enable_progress_bars)
            for log, level in zip(logs, levels, strict=True):
                log.set_verbosity(max(level, logging.ERROR))
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.set_verbosity(level)
        for enable in undo:
            enable()


def line_of(error: Exception) -> str:
    """Kind and first line of an error."""
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_repository(text: str) -> bool:
    """Whether it could be owner/name."""
    found = HUB_NAME.fullmatch(text)
    return found is not None and found[2] is None


def quietly() -> AbstractContextManager[None]:
    """The hub's log lines off, and its progress bars too where nobody sees them move."""
    from huggingface_hub import utils

    return silenced(utils, bars=sys.stderr.isatty())


def why(error: Exception, name: str) -> str:
    """What went wrong between here and the hub, in a few words."""
    from huggingface_hub import errors

    repo, _, revision = name.partition("@")
    cause = error.__cause__
    if isinstance(error, errors.LocalEntryNotFoundError):
        met = why(cause, name) if isinstance(cause, Exception) else "the hub cannot be reached"
        return f"{met}, and no whole copy is in its cache"
    status = getattr(getattr(error, "response", None), "status_code", None)
    told = {
        errors.OfflineModeIsEnabled: "HF_HUB_OFFLINE is set",
        errors.GatedRepoError: f"access is on request, at https://huggingface.co/{repo}; then `hf auth login`",
        errors.DisabledRepoError: "it has been disabled",
        errors.RepositoryNotFoundError: "there is none, or it is private (`hf auth login`, or HF_TOKEN)",
        errors.RevisionNotFoundError: f"it has no revision {revision or 'main'!r}",
        errors.HFValidationError: "that is no name of a repository",
    }
    for kind, words in told.items():
        if isinstance(error, kind):
            return words
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "no space is left on the disk"
    if status == 401:
        return "the hub does not accept the token: `hf auth login` again, or mend HF_TOKEN"
    if status == 403:
        return f"the token may not do that with {repo}"
    if status is not None and not isinstance(error, ValueError):
        return f"the hub answered {status}"
    if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "requests", "urllib3"):
        return f"the hub cannot be reached ({type(error).__name__})"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
