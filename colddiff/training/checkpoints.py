"""The state of a training on disk: RUN/checkpoints/step-00001000, written whole, the last few and the best kept."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..utils.distributed import warn_main
from ..utils.files import PART, check_room, read_json, synced, write_json, write_text
from ..utils.safetensors_io import load_weights, read_tensors, write_tensors

BESIDE = 2**20  # bytes for the log, pictures and statistics
SUMS = "SHA256SUMS"  # as the program sha256sum writes and checks it


def save_snapshot(
    run_dir: Path, net: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any],
    keep: int = 2,
) -> Path:  # fmt: skip
    """Write weights, averaged weights, optimizer moments and `state`; drop all but the last few and the best.

    Args:
        run_dir: of the run.
        net, ema, optimizer: whose tensors are written.
        state: holds "step"; its "validation_loss" says which is best.
        keep: how many of the last are kept.

    Raises:
        OSError: the disk is full, say; the snapshots that were there are as they were.
    """
    folder = run_dir / "checkpoints"
    target = folder / f"step-{state['step']:08d}"
    part = folder / f".{target.name}.part"
    try:
        part.mkdir(parents=True)
        write_tensors(part / "model.safetensors", net.state_dict())
        write_tensors(part / "ema.safetensors", ema.state_dict())
        moments = optimizer.state_dict()["state"]
        flat = {f"{i}.{name}": value for i, entry in moments.items() for name, value in entry.items()}
        write_tensors(part / "optimizer.safetensors", flat)
        write_json(part / "state.json", state)
        write_text(part / SUMS, "".join(f"{_digest(file)}  {file.name}\n" for file in sorted(part.iterdir())))
        _drop(target)  # torn, or it would not be written again
        part.rename(target)
        synced(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _prune(run_dir, keep)
    return target


def snapshots(run_dir: Path) -> list[Path]:
    """The snapshots of a run, oldest first; see `torn`."""
    found = (run_dir / "checkpoints").glob("step-*")
    return sorted(folder for folder in found if folder.is_dir() and folder.name.removeprefix("step-").isdecimal())


def best_snapshot(run_dir: Path) -> Path | None:
    """The snapshot of the lowest validation loss, or None before the first validation."""
    losses = {snapshot: _state(snapshot).get("validation_loss") for snapshot in snapshots(run_dir)}
    known = {snapshot: loss for snapshot, loss in losses.items() if loss is not None}
    return min(known, key=lambda snapshot: known[snapshot]) if known else None


def last_good(run_dir: Path, sound: bool = False) -> Path | None:
    """The newest snapshot that is as it was written; of newer ones a warning says what became of them.

    Args:
        run_dir: of the run.
        sound: one that was not written while losses were not finite.
    """
    found = snapshots(run_dir)
    for snapshot in reversed(_sound(found) if sound else found):
        fault = torn(snapshot)
        if fault is None:
            return snapshot
        warn_main(f"left out checkpoint {str(snapshot)!r}: {fault}")
    return None


def torn(snapshot: Path) -> str | None:
    """What is wrong with a snapshot's files, or None where every checksum is that of the file.

    Raises:
        OSError: its disk does not answer, which says nothing of the files.
    """
    if not (snapshot / SUMS).is_file():
        return f"it has no {SUMS}: it is not whole, or of an older version"
    try:
        lines = (snapshot / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        missing = {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"} - sums.keys()
        if missing:
            return f"{SUMS} lacks {', '.join(sorted(missing))}"
        for name, digest in sums.items():
            if Path(name).name != name or _digest(snapshot / name) != digest:
                return f"{name} is not as it was written"
        if read_json(snapshot / "state.json")["step"] != int(snapshot.name.removeprefix("step-")):
            return "state.json is that of another step"
    except (FileNotFoundError, IsADirectoryError, ValueError, TypeError, LookupError) as error:
        return f"it cannot be read: {error}"
    return None


def load_snapshot(folder: Path, net: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Put a snapshot back; returns its state."""
    load_weights(net, folder / "model.safetensors")
    load_weights(ema, folder / "ema.safetensors")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in read_tensors(folder / "optimizer.safetensors").items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)] if index.isdecimal() and int(index) < len(parameters) else None
        shapes = {} if parameter is None else {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
        if parameter is None or shapes.get(name) != value.shape or not value.is_floating_point():
            raise ValueError(
                f"{key[:100]!r} in {str(folder)!r}, {tuple(value.shape)}, is no moment of this network: go on with the "
                "settings and the version that wrote it"
            )
        # The fused optimizer walks raw memory: a moment must have its parameter's strides.
        moment = value if name == "step" else torch.empty_like(parameter).copy_(value)
        entries.setdefault(int(index), {})[name] = moment
    if any(len(entry) != 3 for entry in entries.values()):
        raise ValueError(f"{str(folder)!r} lacks moments of the network: go on from another checkpoint")
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
    state: dict[str, Any] = read_json(folder / "state.json")
    return state


@contextmanager
def saving(run_dir: Path) -> Iterator[None]:
    """What is written in there is saved, or the error says what there is to go on from.

    Raises:
        OSError: the disk is full, or its folder gone; what was saved before is as it was.
    """
    try:
        yield
    except OSError as error:
        found = snapshots(run_dir)
        kept = f"the last checkpoint is {found[-1].name}" if found else "there is no checkpoint yet"
        cure = "free some space" if error.errno in (ENOSPC, EDQUOT) else "mend that"
        raise OSError(
            f"cannot write into {str(run_dir)!r}: {error.strerror or error}; {kept}: {cure}, then go on with --resume"
        ) from None


def clear_away(run_dir: Path, keep: int) -> None:
    """Delete what processes left half written, or half deleted, that were killed, and snapshots that are torn."""
    for pattern in (".step-*.part", ".step-*.gone"):
        for left in (run_dir / "checkpoints").glob(pattern):
            shutil.rmtree(left, ignore_errors=True)
    for folder in (run_dir, run_dir / "samples", run_dir / "report"):
        for file in folder.glob(".*.part*"):
            if PART.fullmatch(file.name):
                file.unlink(missing_ok=True)
    for snapshot in snapshots(run_dir):
        if torn(snapshot):
            _drop(snapshot)
    _prune(run_dir, keep)


def check_disk(run_dir: Path, net: nn.Module, keep: int) -> None:
    """Raise unless the run's disk has room for its snapshots: weights, averaged weights and two moments, each.

    Raises:
        OSError: a folder that cannot be written to, or a disk that is too full.
    """
    weights = sum(t.nbytes for t in net.state_dict().values())
    there = sum(file.stat().st_size for file in run_dir.rglob("*.safetensors")) if run_dir.is_dir() else 0
    # The last ones, the best, the one being written; then the run's own weights, old and new.
    check_room(run_dir, max(0, 4 * weights * (keep + 2) + 2 * weights + BESIDE - there), "a training's checkpoints")


# --- helpers ---------------------------------------------------------------------------------------------------------


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _drop(snapshot: Path) -> None:
    """Delete a snapshot; of one that is half deleted nothing is found."""
    if snapshot.exists():
        gone = snapshot.with_name(f".{snapshot.name}.gone")
        snapshot.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _prune(run_dir: Path, keep: int) -> None:
    """Keep the last snapshots, the best, and the last from when losses were finite."""
    found = snapshots(run_dir)
    for old in set(found) - {*found[-keep:], best_snapshot(run_dir), *_sound(found)[-1:]}:
        _drop(old)


def _state(snapshot: Path) -> dict[str, Any]:
    """What a snapshot says of itself; nothing, if it is torn."""
    with suppress(FileNotFoundError, ValueError):
        told = read_json(snapshot / "state.json")
        return told if isinstance(told, dict) else {}
    return {}


def _sound(found: list[Path]) -> list[Path]:
    """Those that were not written while losses were not finite."""
    return [snapshot for snapshot in found if _state(snapshot).get("in_a_row") == 0]
