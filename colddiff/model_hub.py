"""Runs on the Hugging Face hub: their names, their way here, and why that fails."""

from __future__ import annotations

import errno
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from .files import read_json
from .hub import HUB_NAME, silenced
from .registry import suggestion

# All that a run is, and all that is ever downloaded: nothing that could be executed.
FILES = (
    "config.json", "model.safetensors", "prior.safetensors", "baseline.safetensors", "severity.safetensors",
    "recommended.json",
)  # fmt: skip


def is_repository(text: str) -> bool:
    """Whether it could be owner/name."""
    found = HUB_NAME.fullmatch(text)
    return found is not None and found[2] is None


def is_model_name(text: str) -> bool:
    """Whether it could be owner/name or owner/name@revision, rather than a slip in the path of a run here."""
    repo, at, revision = text.partition("@")
    near = [str(file.parent) for file in Path(text).parent.glob("*/config.json")]
    return is_repository(repo) and bool(revision or not at) and not suggestion(text, near)


def downloaded(name: str) -> Path:
    """The folder of a run of the hub, owner/name or owner/name@revision: as it is now, or offline as it was last seen.

    The config comes first: weights of other libraries are not waited for.

    Raises:
        FileNotFoundError: it cannot be had, or is no run. ValueError: its config is not valid JSON.
        OSError: the disk is full.
    """
    folder = _snapshot(name, name.partition("@")[2] or None, [FILES[0]])
    _check_config(folder, name)
    folder = _snapshot(name, folder.name, [*FILES])
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"{name!r} of the Hugging Face hub has no model.safetensors: it is not as `colddiff push` wrote it"
        )
    return folder


def is_cached(folder: Path) -> bool:
    """Whether a folder is a snapshot in the hub's cache, into which nothing is written."""
    above = folder.resolve().parent
    return above.name == "snapshots" and above.parent.name.startswith("models--")


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


# --- helpers ---------------------------------------------------------------------------------------------------------


def _snapshot(name: str, revision: str | None, files: list[str]) -> Path:
    """The folder in which these files of a repository are, as far as it has them."""
    import huggingface_hub

    try:
        with quietly():
            return Path(
                huggingface_hub.snapshot_download(name.partition("@")[0], revision=revision, allow_patterns=files)
            )
    except Exception as error:  # of the network and the hub: they share no base
        raise _kind(error)(
            f"{name!r} is neither a folder here nor a model that can be had from the Hugging Face hub: "
            f"{why(error, name)}; check the name and the connection, or give the path of a copy"
        ) from None


def _check_config(folder: Path, name: str) -> None:
    """Raise unless the config that was downloaded is that of a run."""
    file = folder / FILES[0]
    config: Any = read_json(file) if file.is_file() else None
    if not isinstance(config, dict) or config.get("library") != "colddiff":
        what = "has no config.json" if config is None else "has another library's config.json"
        raise FileNotFoundError(f"{name!r} of the Hugging Face hub is not a colddiff model: it {what}")


def _kind(error: Exception) -> type[OSError]:
    """A full disk is no missing file."""
    return OSError if isinstance(error, OSError) and error.errno == errno.ENOSPC else FileNotFoundError
