"""Measure a run on images."""

from __future__ import annotations

import typing
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser

from ....utils.text import number, numbers
from ..command import device_and_seed, speed, trust

if TYPE_CHECKING:
    from ....data.dataset import ImageData
    from ....models.run import Run


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote")
    p.add_argument("data", type=str, help="digits, photos, a folder of images, a parquet or array file")
    p.add_argument("--split", type=str, default="test", help="of the data: test, train or all")
    p.add_argument(
        "--paired-data", type=str, default=None, help="the same pictures damaged, for a run that was trained on pairs"
    )
    # torchrun takes --start for its own --start-method, wherever it stands.
    p.add_argument("--start", "--starts", type=str, default=".25,.5,.75,1", help="start times in (0, 1]")
    p.add_argument("--steps", type=str, default="2,5,10,20", help="numbers of steps")
    p.add_argument("--images", type=str, default="500", help="how many, from the first; `all` for all")
    p.add_argument(
        "--input",
        type=typing.Literal["8bit", "float32", "chain"],
        default="8bit",
        help="what is restored: pictures of 8 bits, float32, or float32 as the paper's chain of steps makes it",
    )
    p.add_argument(
        "--perception", type=typing.Literal["auto", "none", "classifier", "inception", "lpips"], default="auto",
        help="what tells how real pictures look: FID and KID by features of a small classifier, which is trained on "
        "the training data once and kept with the run, or of Inception; or LPIPS",
    )  # fmt: skip
    p.add_argument(
        "--num-generated", type=int, default=0, help="how many images to generate and compare with training ones"
    )
    p.add_argument("--train-data", type=str, default=None, help="the training data, if they are not DATA")
    p.add_argument("--json", type=str, default=None, help="write the report there as JSON")
    p.add_argument(
        "--out", type=str, default=None,
        help="folder of report.md, .json, .png and the plot worth.png; RUN/report, or ./report for digits, if left out",
    )  # fmt: skip
    p.add_argument(
        "--save-settings", type=typing.Literal["auto", "always", "never"], default="auto",
        help="make it what restores of the run take by themselves: auto, where 32 images or more of 8 bits were "
        "measured that its training held out, beside what is there from more images or other starts; always, in place "
        "of all that is there",
    )  # fmt: skip
    p.add_argument("--batch-size", "--batch_size", type=int, default=128, help="images at a time")
    speed(p)
    device_and_seed(p)
    trust(p)


def run(
    run: str, data: str, split: str, paired_data: str | None, start: str, steps: str, images: str, input: str,
    perception: str, num_generated: int, train_data: str | None, json: str | None, out: str | None, save_settings: str,
    batch_size: int, precision: str, compile: bool, device: str, seed: int,
) -> None:  # fmt: skip
    """Measure a run, write what follows and the table as Markdown, JSON and a picture, and print it."""
    from ....evaluation import plots
    from ....evaluation.features import not_ours_to_write, wants_training
    from ....evaluation.recommend import save_recommendation
    from ....evaluation.report import evaluate, report_files
    from ....models.serialization import load
    from ....utils.distributed import is_first
    from ....utils.files import check_target, same_place, write_text

    model = load(run, device=device, precision=precision, compile=compile)
    own = Path("report") if not_ours_to_write(model) else model.path / "report"
    if not out and not own.resolve().is_relative_to(own.parent.resolve()):
        raise ValueError(f"{str(own)!r} is a link that leaves the run: give another folder with --out")
    folder = Path(out) if out else own
    for file in (*report_files(folder, generated=num_generated > 0), *([Path(json)] if json else [])):
        check_target(file)
    trained_on = model.config["data"]
    if same_place(data, trained_on.get("data")):
        paired_data = paired_data or _beside_named(trained_on.get("paired_data"))
    asked = None if perception == "none" else perception
    known = (
        _training_images(model, train_data, data)
        if train_data or num_generated or wants_training(model, asked)
        else None
    )
    report = evaluate(
        model, _read_for(model, data, split, paired_data),
        start_times=numbers(start, float, "--start"), steps=numbers(steps, int, "--steps"),
        num_images=None if images == "all" else number(images, "--images"),
        batch_size=batch_size, seed=seed, quantize_inputs=input == "8bit", iterate_chain=input == "chain",
        features=asked, train_data=known, num_generated=num_generated,
    )  # fmt: skip
    if not is_first():
        return
    written = report.save(folder)
    if json:
        write_text(Path(json), report.to_json())
    stored = save_recommendation(model, report.recommended, report.protocol, save_settings)
    print(report.to_markdown())
    print(f"written to {', '.join(map(str, written))}" + (f" and {json}" if json else ""))
    if not plots.drawable():
        print(plots.MISSING)
    print(stored)


def _training_images(run: Run, named: str | None, data: str) -> ImageData | None:
    """What a run was trained on: as named, the library's own, or what is measured; no place that a file alone names."""
    from ....data.builtin import EMBEDDED
    from ....utils.files import same_place

    told = run.config["data"]
    place, split = told.get("data"), told.get("split", "train")
    if named is not None:
        return _read_for(run, named, split if same_place(named, place) else "train")
    if place in EMBEDDED or same_place(data, place):
        return _read_for(run, place, split)
    warnings.warn(
        f"the run says that it was trained on {place!r}, which is not opened because a file says so: name it with "
        "--train-data",
        stacklevel=2,
    )
    return None


def _read_for(run: Run, data: str, split: str, damaged: str | None = None) -> ImageData:
    """Images read as those of the run's training were; what cannot be read is left out, and the report says so."""
    from ....data.dataset import load_data, with_targets
    from ..restore_files import square_side

    framing = run.framing

    def read(source: str, damaged: str | None = None) -> ImageData:
        return load_data(
            source, split=split, size=framing.size or square_side(run), resize_mode=framing.fit, colour=framing.colour,
            background=framing.background, paired_data=damaged, max_unreadable=1.0,
        )  # fmt: skip

    others = run.config.get("training", {}).get("target_data")
    return read(data, damaged) if others is None else with_targets(read(data), read(_beside_named(others) or ""))


def _beside_named(place: str | None) -> str | None:
    """Where a run's file says that what goes with the named images is: on this machine, or the library's own."""
    from ....data.builtin import EMBEDDED

    if place is None or place in EMBEDDED or Path(place).exists():
        return place
    raise ValueError(
        f"the run names {place!r} beside its images, which is not on this machine, and nothing is downloaded because a "
        "file says so: put it there, or name it (--paired-data)"
    )
