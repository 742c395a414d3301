"""Restore image files with a run."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser

from ....utils.text import escape_control
from ..command import SWITCH, device_and_seed, image_size, speed, trust

if TYPE_CHECKING:
    from ....models.run import Run


MOST_LINES = 20  # of measured pictures
METRICS = ("rmse", "psnr", "ssim")
TILE = 256  # as `models.tiling.TILE`, which takes torch to import; a test holds them together


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote, or digits")
    p.add_argument("images", type=str, nargs="+", help="pictures or folders of pictures")
    p.add_argument("--out", type=str, required=True, help="folder for the restored pictures")
    p.add_argument(
        "--start", type=float | None, default=None,
        help="how damaged the pictures are, in (0, 1]; if left out, as the run tells of each, or 1 where it cannot",
    )  # fmt: skip
    p.add_argument(
        "--sampler", type=str, default=None, help="see `colddiff list`; what suits the run beside --steps alone"
    )
    p.add_argument(
        "--steps", type=int | None, default=None,
        help="restorer calls; beside --sampler alone 20, or as many as there are levels",
    )  # fmt: skip
    p.add_argument(
        "--goal", type=typing.Literal["distortion", "perception"], default="distortion",
        help="close to the truth, or real in looks: what `colddiff eval` recommends for it is taken where --sampler "
        "and --steps are both left out",
    )  # fmt: skip
    p.add_argument(
        "--consistent", action=SWITCH, default=False,
        help="keep what the picture tells for certain: known pixels, block means, grey, frequencies that are left",
    )  # fmt: skip
    p.add_argument("--mask", type=str, default=None, help="picture that is white where something is missing")
    p.add_argument(
        "--reference", type=str, default=None, help="the clean picture, or a folder of them by name: measure"
    )
    p.add_argument("--degrade", action=SWITCH, default=False, help="the pictures are clean: damage them first")
    p.add_argument(
        "--side-by-side", action=SWITCH, default=False, help="damaged and restored side by side in one picture"
    )
    p.add_argument("--overwrite", action=SWITCH, default=False, help="replace pictures that are in the way in --out")
    p.add_argument(
        "--resize-as-training",
        action=SWITCH,
        default=False,
        help="resize and crop as the pictures of the training were",
    )
    image_size(p, "side to which pictures are resized and cropped; their own size if left out")
    p.add_argument(
        "--tile", type=int, default=TILE, help="pixels per side that the network sees at once; bounds memory"
    )
    speed(p)
    device_and_seed(p)
    trust(p)


def run(
    run: str, images: list[str], out: str, start: float | None, sampler: str | None, steps: int | None, goal: str,
    mask: str | None, reference: str | None, degrade: bool, side_by_side: bool, resize_as_training: bool, image_size:
        int | None,
    tile: int, consistent: bool, overwrite: bool, precision: str, compile: bool, device: str, seed: int,
) -> None:  # fmt: skip
    """Restore pictures, one file each, and measure them where there is a reference."""
    from tqdm import tqdm

    from ....models.recommended import GOALS
    from ....models.serialization import load
    from ..restore_files import RestoreOptions, restore_files, square_side

    model = load(run, device=device, precision=precision, compile=compile)
    framing = replace(model.framing, size=image_size, fit="resize")
    if resize_as_training and (image_size is not None or model.framing.fit == "tiles"):
        other = (
            "--image-size" if image_size is not None else "a run that was trained on tiles, which are no whole pictures"
        )
        raise ValueError(f"--resize-as-training does not go with {other}: leave it out")
    if resize_as_training:
        framing = replace(model.framing, size=model.framing.size or square_side(model))
    job = RestoreOptions(
        framing, start, steps, sampler, goal, None if mask is None else Path(mask),
        None if reference is None else Path(reference), degrade, side_by_side, tile, overwrite, seed, consistent,
    )  # fmt: skip
    blind = start is None and model.can_estimate_time() and not degrade
    if sampler is None and steps is None:
        if (model.recommended or goal != GOALS[0]) and not blind:
            print(_taken(model, start or 1.0, goal))
    elif goal != GOALS[0]:
        print(f"--goal {goal} chooses nothing here: {'--sampler' if sampler else '--steps'} was given")
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) <= MOST_LINES:
            tqdm.write(line)

    count, measured = restore_files(model, images, Path(out), job, say)
    if len(said) > MOST_LINES:
        print(f"... and {len(said) - MOST_LINES} more")
    for m in measured[:MOST_LINES]:
        print(
            f"{escape_control(m.file)}: "
            + ", ".join(_change(name, [m.damaged[name]], [m.restored[name]]) for name in m.damaged)
        )
    if len(measured) > MOST_LINES:
        print(f"... and {len(measured) - MOST_LINES} more in {Path(out) / 'metrics.json'}")
    if len(measured) > 1:
        told = (_change(k, [m.damaged[k] for m in measured], [m.restored[k] for m in measured]) for k in METRICS)
        print(f"mean of {len(measured)}: {', '.join(told)}")
    if degrade:
        shown = ", clean, damaged and restored side by side,"
    else:
        shown = ", restored beside what was given," if side_by_side else ", restored,"
    pictures = "picture" if count == 1 else "pictures"
    distances = f"; distances in {Path(out) / 'metrics.json'}" if measured else ""
    known = start is not None or blind or degrade or model.condition is not None
    begun = "" if known else "; from t = 1, as no --start said otherwise"
    print(f"{count} {pictures}{shown} in {out}{distances}{begun}")


def _taken(run: Run, start: float, goal: str) -> str:
    """What restores take where neither sampler nor steps were given, and why."""
    setting, known = run.default_settings(start, goal), run.recommended
    told = setting.description(run.degradation.level_times(), start)
    if known is None or known.at(start, goal) is None:
        return f"{told}: nothing was measured for {goal} (`colddiff eval`)"
    measured = f"measured on {setting.images} images of {escape_control(known.data)}, from t = {setting.start:.2f}"
    otherwise = "--sampler or --steps choose otherwise"
    if setting.beaten_by:
        beaten = f"{setting.beaten_by}, without a network, is at least as good for {goal}"
        return f"{measured}: {beaten}; of the network {told} is best; {otherwise}"
    return f"{told}: recommended for {goal}, {measured}; {otherwise}"


def _change(name: str, before: Sequence[float], after: Sequence[float]) -> str:
    digits = 2 if name == "psnr" else 4
    return f"{name} {fmean(before):.{digits}f} -> {fmean(after):.{digits}f}"
