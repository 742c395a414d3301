"""Where a training goes on: from which checkpoint, with which settings, on which images."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from ..data.dataset import ImageData
from ..data.streaming.dataset import StreamedData
from ..utils.distributed import warn_main
from ..utils.files import read_json
from .checkpoints import last_good, snapshots
from .config import FREE_TO_CHANGE, TrainConfig

SAME_DATA = ("images", "size", "channels", "framing", "left_out", "index")  # of a protocol, for a run to go on


@dataclass
class TrainState:
    """Where a training stands: what a checkpoint holds beside its tensors.

    Args:
        steps: of all of it.
        precision: of the network by now.
        step: how many are done.
        seconds, waited: of work, and of it for images.
        validation_loss: the last one, or None.
        skipped, in_a_row: steps that were left out, as of `NonFiniteGuard`.
        went_back: whether the weights of a checkpoint were put back.
    """

    steps: int
    precision: str
    step: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    validation_loss: float | None = None
    skipped: int = 0
    in_a_row: int = 0
    went_back: bool = False

    @classmethod
    def of(cls, state: dict[str, Any], checkpoint: Path) -> TrainState:
        """What a checkpoint's state says.

        Raises:
            ValueError: another version of the library wrote it.
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in state]
        if missing:
            raise ValueError(
                f"checkpoint {str(checkpoint)!r} lacks {', '.join(missing)}: go on with the version that wrote it"
            )
        return cls(**{name: state[name] for name in names})


def starting_point(run_dir: Path, config: TrainConfig, resume: bool) -> Path | None:
    """The checkpoint to go on from, or None for a new run; a warning says what is not as it was.

    Raises:
        ValueError: a run is there and was not to be resumed, or settings that decide what comes out are others now.
    """
    if not resume:
        if snapshots(run_dir) or (run_dir / "config.json").exists():
            raise ValueError(f"{str(run_dir)!r} holds a run already: add --resume to go on, or give another --out")
        return None
    found = last_good(run_dir)
    if found is None:
        if snapshots(run_dir) or (run_dir / "config.json").exists():
            raise ValueError(f"{str(run_dir)!r} holds a run, and no whole checkpoint to go on from: give another --out")
        warn_main(f"{str(run_dir)!r} has no checkpoint to resume from: begun anew")
        return None
    saved, now = read_json(found / "state.json").get("training", {}), config.to_config()
    other = changed(now, saved)
    if other:
        raise ValueError(
            f"cannot resume with other settings: {other}; give those that it was begun with, or another --out"
        )
    free = _differences(now, saved, FREE_TO_CHANGE - {"out"})
    if free:
        warn_main(f"going on with other settings: {free}")
    return found


def environment(device: torch.device, processes: int, threads: int) -> dict[str, Any]:
    """What the last bits of a training depend on, beside its settings."""
    return {"torch": torch.__version__, "device": device.type, "processes": processes, "threads": threads}


def tell_environment(now: dict[str, Any], saved: dict[str, Any]) -> None:
    """Warn where a training goes on elsewhere: its weights then agree but for rounding."""
    other = _differences(now, saved, now.keys())
    if other:
        warn_main(f"going on elsewhere, the same but for rounding and dropout: {other}")


def changed(now: dict[str, Any], saved: dict[str, Any]) -> str:
    """Which settings that decide what comes out are not what they were, in words."""
    return _differences(now, saved, now.keys() - FREE_TO_CHANGE)


def told_of_data(data: ImageData | StreamedData) -> dict[str, Any]:
    """What a checkpoint says of the images, by which they are known again."""
    return {name: data.protocol.get(name) for name in SAME_DATA}


def check_same_data(run_dir: Path, saved: dict[str, Any], data: ImageData | StreamedData) -> None:
    """Raise where a run was begun on other images than it would go on with."""
    now = told_of_data(data)
    other = [name for name in SAME_DATA if saved.get(name) != now[name]]
    if other:
        told = ", ".join(f"{name} was {saved.get(name)}, now {now[name]}" for name in other)
        raise ValueError(
            f"cannot resume, the data are no longer those of {str(run_dir)!r}: {told}; bring them back to what they "
            "were, or train anew with another --out"
        )


def _differences(now: dict[str, Any], saved: dict[str, Any], names: Collection[str]) -> str:
    """What is not what it was; a setting that did not exist then had its default."""
    before = {name: saved.get(name, getattr(TrainConfig, name, None)) for name in now}
    changes = (change for name in now if name in names for change in _changes(name, before[name], now[name]))
    return ", ".join(f"{name} was {was!r}, now {become!r}" for name, was, become in changes)


def _changes(name: str, was: Any, become: Any) -> Iterator[tuple[str, Any, Any]]:
    """What differs in a value, or in the fields of two of one kind."""
    if isinstance(was, dict) and isinstance(become, dict) and was.get("type") == become.get("type"):
        for field in sorted(was.keys() | become.keys()):
            yield from _changes(f"{name}.{field}", was.get(field), become.get(field))
    elif was != become:
        yield name, was, become
