"""Runs on the Hugging Face hub: their names, their way here, and why that fails."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from ..utils.config import suggestion
from ..utils.files import read_json
from ..utils.huggingface import is_repository, quietly, why

# All that a run is, and all that is ever downloaded: nothing that could be executed.
FILES = (
    "config.json", "model.safetensors", "prior.safetensors", "baseline.safetensors", "time_estimator.safetensors",
    "recommended.json",
)  # fmt: skip


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
