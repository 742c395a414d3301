"""Picture files in, restored picture files out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ... import viz
from ...data.decoding import truncate_list
from ...data.framing import Framing
from ...data.image_io import IMAGE_SUFFIXES, astray, to_tensor
from ...evaluation import metrics
from ...models.recommended import Setting
from ...models.run import Run
from ...models.tiling import TILE, tile_count
from ...models.time_estimator import TimeEstimate
from ...samplers.base import Restorer, Sampler
from ...samplers.consistency import READ_OFF
from ...samplers.early_stopping import EarlyStopping
from ...samplers.time_grid import steps_within, time_grid
from ...utils.files import check_target, write_json
from ...utils.progress import Progress, event
from ...utils.rng import generator_for
from ...utils.text import escape_control

MEASURED = "metrics.json"
LARGE = 4_000_000  # pixels; a picture that has more is announced, as it takes minutes


@dataclass(frozen=True)
class RestoreOptions:
    """How pictures are restored.

    Args:
        start, steps, sampler, goal, tile, consistent: see `Run.restore`.
        mask: picture that is white where something is missing.
        reference: the clean picture, or a folder of them by name, suffix aside: what is made is measured against it.
        degrade: the pictures are clean: damage them first.
        beside: show damaged and restored (and clean) side by side in one file.
        overwrite: replace pictures that are in the way, but never those that were given.
        framing: how pictures are read, and cut where it has a size.
        seed: of everything random.

    Raises:
        ValueError: a start that is not in (0, 1].
    """

    framing: Framing
    start: float | None = None
    steps: int | None = None
    sampler: Sampler | str | None = None
    goal: str = "distortion"
    mask: Path | None = None
    reference: Path | None = None
    degrade: bool = False
    side_by_side: bool = False
    tile: int = TILE
    overwrite: bool = False
    seed: int = 0
    consistent: bool = False

    def __post_init__(self) -> None:
        if self.start is not None:
            time_grid(1, self.start)  # raises for what is no start


@dataclass(frozen=True)
class ImageScores:
    """How far a picture is from its reference, before and after; and how damaged the run told it to be, if it did."""

    file: str
    damaged: dict[str, float]
    restored: dict[str, float]
    time: dict[str, float] | None = None


def restore_files(
    run: Run, paths: Sequence[str | Path], out: Path, job: RestoreOptions, say: Callable[[str], None] = lambda line:
        None ) -> tuple[int, list[ImageScores]]:  # fmt: skip
    """Restore pictures, one file each; below `out` they keep the names and folders that they have.

    How far it is, is a bar on a terminal and lines in the log without one; a large picture is announced there.

    A picture that cannot be read, or does not fit its reference, the mask or the memory, is named in a warning, and the
    others go on; what was measured is written however it ends.

    Without a start each picture begins where the run says that it is, if it can tell, and `say` is given a line of it,
    or of why it cannot; else at 1, as do clean pictures that are damaged first.

    Returns:
        How many were restored, and what was measured where there is a reference.

    Raises:
        FileNotFoundError, ValueError: nothing to restore, nothing that can be, or no place for what is made.
    """
    found = [*_pictures(paths)]
    references = _references(job, found)
    targets = _targets(found, out, [*references, job.mask], job.overwrite)
    hole = None if job.mask is None else _read(replace(job.framing, colour="grey"), job.mask) > 0.5
    levels, asked = run.degradation.level_times(), job.start is None and run.can_estimate_time() and not job.degrade
    # On a level, and said once.
    start = float(time_grid(1, job.start or 1.0, levels=levels)[0])
    measured, bad, alone = [], [], len(found) == 1
    shown = Progress([*zip(found, references, targets, strict=True)], "restoring", unit="images", show=not alone)
    try:
        for i, ((file, name), reference, target) in enumerate(shown):
            try:
                x, clean = _given(job, file, reference, hole)
                if job.degrade:
                    clean, x = x, _degraded(run, x, start, generator_for(job.seed, "restore", i))
                own, seen = (
                    generator_for(job.seed, "restoring", i),
                    run.estimate_time(x) if asked and run.can_estimate_time(x) else None,
                )
                begin = start if seen is None else float(seen.start_times(levels))
                restored = _restored(run, x, begin, hole, job, own, name=str(name), show=alone, seen=seen, say=say)
                if asked and seen is None:
                    say(f"{escape_control(str(name))}: {_not_told(run, x, job)}")
            except ValueError as error:
                told = escape_control(file.name)
                bad.append(f"{told}: {error}" if told not in str(error) and not alone else str(error))
                continue
            _save(x, restored, clean, job, target)
            if clean is not None:
                measured.append(
                    ImageScores(
                        str(file), _distances(x.clamp(0, 1), clean), _distances(restored, clean), _numbers(seen)
                    )
                )
    finally:
        if measured:
            rows = [{name: value for name, value in asdict(m).items() if value is not None} for m in measured]
            write_json(out / MEASURED, {"start": None if asked else start, "pictures": rows})
    if len(bad) == len(found):
        raise ValueError(bad[0] if alone else f"none of {len(bad)} pictures can be restored: {bad[0]}, ...")
    if bad:
        warnings.warn(f"left out {len(bad)} of {len(found)} pictures: {'; '.join(truncate_list(bad))}", stacklevel=2)
    return len(found) - len(bad), measured


def _save(x: Tensor, restored: Tensor, clean: Tensor | None, job: RestoreOptions, target: Path) -> None:
    """The restored picture, or the row of pictures that it stands in."""
    if job.side_by_side or job.degrade:
        row = [x, restored] if clean is None else [clean, x, restored] if job.degrade else [x, restored, clean]
        viz.save(viz.grid(torch.cat(row).clamp(0, 1), len(row)), target)
    else:
        viz.save(viz.to_image(restored[0]), target)


def _way(run: Run, start: float, job: RestoreOptions, estimated: bool) -> Setting:
    """What a picture is restored with."""
    chosen = job.sampler is not None or job.steps is not None
    taken = run.default_settings(start, job.goal, given=chosen, estimated=estimated)
    sampler = job.sampler or taken.sampler
    name = sampler if isinstance(sampler, str) else getattr(sampler, "__name__", "a sampler")
    return replace(taken, sampler=name, steps=job.steps or taken.steps)


def _work(run: Run, x: Tensor, called: str, job: RestoreOptions) -> str:
    """How much a picture is to restore."""
    height, width = x.shape[-2:]
    tiles = tile_count(height, width, job.tile) if run.condition is None else 1
    return f"{height * width / 1e6:.0f} megapixels in {tiles} tile{'' if tiles == 1 else 's'}, {called}"


def _degraded(run: Run, x: Tensor, start: float, generator: torch.Generator) -> Tensor:
    return run.input_degradation(x, start, run.input_degradation.draw(x, generator))


def _restored(
    run: Run,
    x: Tensor,
    start: float,
    hole: Tensor | None,
    job: RestoreOptions,
    generator: torch.Generator,
    name: str,
    show: bool,
    seen: TimeEstimate | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Tensor:
    levels, way = run.degradation.level_times(), _way(run, start, job, estimated=seen is not None)
    settled: list[EarlyStopping] = []

    def settle(R: Restorer) -> EarlyStopping:
        settled.append(EarlyStopping(R))
        return settled[-1]

    sampler, steps = job.sampler, job.steps
    if seen is not None and steps is None:
        sampler, steps = sampler or way.sampler, steps_within(way.steps, start, levels)
    walked = run.walk(
        x, start=start, steps=steps, sampler=sampler, goal=job.goal, mask=hole, generator=generator,
        tile=job.tile,
        consistent=job.consistent and (True if job.start is not None or job.degrade else READ_OFF),
        early_stop=settle if seen is not None and job.steps is None else False,
    )  # fmt: skip
    called = way.description(levels, start)
    if x.shape[-2] * x.shape[-1] > LARGE:  # and can be restored: the walk has been prepared
        event(f"{escape_control(name)}: {_work(run, x, called, job)}")
    restored = x
    for state in Progress(walked, "restoring", unit="steps", show=show, delay=1):
        restored = state.x.to(x.device)
    if seen is not None:
        spared = sum(each.spared for each in settled)
        say(f"{escape_control(name)}: {_seen(seen)}, {called}{f', {spared} of them spared' if spared else ''}")
    return restored.clamp(0, 1)


def _seen(estimate: TimeEstimate) -> str:
    """How damaged a picture is, in words."""
    t, spread = float(estimate.t), float(estimate.spread)
    unsure = " (the picture hardly tells: --start says it), from t = 1" if bool(estimate.unsure) else ""
    return f"t = {t:.2f} +- {spread:.2f}{unsure}"


def _not_told(run: Run, x: Tensor, job: RestoreOptions) -> str:
    """Why a run that tells how damaged pictures are does not tell it of this one, and what is made of it."""
    (_, height, width), fit = run.shape, run.framing.fit
    framed = ", or --resize-as-training" if height == width and fit != "tiles" and job.framing.size is None else ""
    size = f"{x.shape[-1]} x {x.shape[-2]} pixels, not the {width} x {height} of the training"
    return f"{size}: from t = 1 (--start says otherwise{framed})"


def _numbers(estimate: TimeEstimate | None) -> dict[str, float] | None:
    if estimate is None:
        return None
    return {name: round(float(getattr(estimate, name)), 4) for name in ("t", "low", "high")}


def _distances(x: Tensor, clean: Tensor) -> dict[str, float]:
    return {name: float(getattr(metrics, name)(x, clean)) for name in ("rmse", "psnr", "ssim")}


def _read(framing: Framing, file: Path) -> Tensor:
    """A picture as (1, C, H, W)."""
    return to_tensor(framing.frames(framing.open(file))[0])[None].float() / 255


def _given(
    job: RestoreOptions, file: Path, reference: Path | None, hole: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """A picture, and the clean one that it is measured against."""
    x = _read(job.framing, file)
    clean = None if reference is None else _read(job.framing, reference)
    if hole is not None and hole.shape[-2:] != x.shape[-2:]:
        raise ValueError(f"the mask is {_wh(hole)} pixels, {file.name} is {_wh(x)}: they must be alike")
    if clean is not None and clean.shape != x.shape:
        raise ValueError(f"the reference of {file.name} is {_wh(clean)} pixels, it is {_wh(x)}: they must be alike")
    return x, clean


def _references(job: RestoreOptions, found: Sequence[tuple[Path, Path]]) -> list[Path | None]:
    """The clean picture that belongs to each damaged one: of the same folders and name, else of the same name."""
    folder = job.reference
    if folder is None:
        return [None] * len(found)
    if job.degrade:
        raise ValueError("what is degraded is measured against what was given: leave the reference out")
    if not folder.is_dir():
        if len(found) > 1:
            raise ValueError(f"several pictures are measured against a folder, and {str(folder)!r} is a file")
        if not folder.exists():
            raise FileNotFoundError(f"no picture or folder at {str(folder)!r}")
        return [folder]
    by_path: dict[Path, list[Path]] = {}
    by_name: dict[str, list[Path]] = {}
    for clean, name in _pictures([folder]):
        by_path.setdefault(name.with_suffix(""), []).append(clean)
        by_name.setdefault(name.stem, []).append(clean)
    references: list[Path | None] = []
    for file, name in found:
        fitting = by_path.get(name.with_suffix("")) or by_name.get(name.stem, [])
        if not fitting:
            raise FileNotFoundError(f"{str(folder)!r} has no picture named {name.stem!r} to measure against")
        if len(fitting) > 1:
            either = " and ".join(repr(str(clean)) for clean in fitting[:2])
            raise ValueError(f"{either} go by one name: which is {str(file)!r} to be measured against?")
        references += fitting
    return references


def _pictures(paths: Sequence[str | Path]) -> Iterator[tuple[Path, Path]]:
    """The picture files among paths and below folders, and how each is called from there."""
    for given in paths:
        path = Path(given)
        if not str(given):  # which Path takes for the folder that this runs in
            raise FileNotFoundError("no picture or folder at ''")
        if path.is_dir():
            found = [f for f in sorted(path.rglob("*")) if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file()]
            if not found:
                raise FileNotFoundError(f"no pictures in the folder {str(path)!r}")
            yield from ((file, file.relative_to(path)) for file in found)
        elif path.exists():
            yield path, Path(path.name)
        else:
            raise FileNotFoundError(f"no picture or folder at {str(path)!r}{astray(str(path))}")


def _targets(
    found: Sequence[tuple[Path, Path]], folder: Path, kept: Sequence[Path | None] = (), overwrite: bool = False
) -> list[Path]:
    """Where each restored picture goes: its own name, numbered where it was taken; never over a picture given."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out must be a folder, and {str(folder)!r} is a file")
    targets: dict[Path, None] = {}
    for i, (_, name) in enumerate(found):
        target = folder / name.with_suffix(".png")
        while target in targets:
            target = target.with_stem(f"{target.stem}-{i}")
        targets[target] = None
    given = {file.resolve() for file in [*(file for file, _ in found), *kept] if file is not None}
    lost = given & {target.resolve() for target in targets}
    if lost:
        raise ValueError(f"{str(min(lost))!r} would be overwritten: give another --out")
    for target in [*targets, folder / MEASURED]:
        check_target(target)
    there = [target for target in targets if target.exists()]
    if there and not overwrite:
        raise ValueError(f"{str(there[0])!r} exists already: add --overwrite, or give another --out")
    return list(targets)


def _wh(x: Tensor) -> str:
    return f"{x.shape[-1]} x {x.shape[-2]}"


def square_side(run: Run) -> int | None:
    _, height, width = run.shape
    return height if height == width else None
