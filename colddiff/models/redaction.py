"""What a run tells of its data once it leaves the machine: names, and none of the folders above them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ..utils.huggingface import HUB_NAME

PLACES = ("data", "paired_data", "target_data", "out")  # of a config or a protocol: what may be a path
NAMES = "left_out"  # files of the data that could not be read


def strip_paths(told: Any, key: str = "") -> Any:
    """A config or protocol in which places are their last part, unless they are data sets of the hub.

    How many files were left out stays, their names do not; an operator, a network or a prior stays as it is.
    """
    if isinstance(told, dict):
        whole = told.get("type") not in (None, "train") if key else False
        return told if whole else {k: strip_paths(value, k) for k, value in told.items()}
    if key == NAMES and isinstance(told, list):
        more = told[-1].removeprefix("and ").removesuffix(" more") if told else ""
        return len(told) - 1 + int(more) if more.isdecimal() else len(told)
    if key in PLACES and isinstance(told, str) and not hub_dataset(told):
        return PureWindowsPath(told).name or told
    return told


def hub_dataset(source: str) -> str | None:
    """owner/name, if that is where data came from: a path may look like it, so the hub's cache has to know it."""
    found = HUB_NAME.fullmatch(source)
    if found is None or Path(source).exists():
        return None
    from huggingface_hub.constants import HF_HUB_CACHE

    known = (Path(HF_HUB_CACHE) / f"datasets--{found[1].replace('/', '--')}").is_dir()
    return found[1] if known else None


def find_local_path(told: Any) -> str | None:
    """The first string in a config or protocol that is a path from the root, or tells where the home is."""
    if isinstance(told, dict | list):
        inner = map(find_local_path, told.values() if isinstance(told, dict) else told)
        return next((found for found in inner if found is not None), None)
    if not isinstance(told, str):
        return None
    rooted = told.startswith("~/") or PurePosixPath(told).is_absolute() or PureWindowsPath(told).is_absolute()
    home = str(Path.home())
    return told if rooted or (len(home) > 1 and home in told) else None
