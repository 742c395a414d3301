"""The demonstration: digits, blurred, a minute of training, and a picture of every stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser

from ..command import device_and_seed

if TYPE_CHECKING:
    from torch import Tensor

    from ....evaluation.report import Report
    from ....models.run import Run


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("--out", type=str, default="demo", help="folder for the run and the pictures")
    p.add_argument("--minutes", type=float, default=1.0, help="of training")
    device_and_seed(p)


def run(out: str, minutes: float, device: str, seed: int) -> None:
    """Train on digits, measure, and draw every stage."""
    from ....data.dataset import load_data
    from ....degradations.base import Degradation
    from ....evaluation.report import evaluate, write_card
    from ....training.config import TrainConfig
    from ....training.train import complete, trained

    folder = Path(out)
    config = TrainConfig(
        data="digits", degradation=Degradation.from_config({"type": "gaussian_blur", "sigma_max": 3.0}),
        out=str(folder / "run"), minutes=minutes, image_size=16, validate_every=200, seed=seed, device=device,
    )  # fmt: skip
    if complete(config):
        print(f"{folder / 'run'} was trained before and is used again; remove it to train anew")
    else:
        print(f"training a restorer of blurred digits for about {minutes:g} min")
    run = trained(config)
    held = load_data("digits", split="test", size=16)
    report = evaluate(run, held, start_times=(0.5, 1.0), steps=(5, 20), seed=seed)
    stored = write_card(run, report)
    print(report.to_markdown())
    print(stored)
    for text, path in _stages(run, held[:8].to(run.device), report, folder, seed):
        print(f"{text:<58} {path}")


def _stages(run: Run, x0: Tensor, report: Report, folder: Path, seed: int) -> Iterator[tuple[str, Path]]:
    from .... import viz
    from ....samplers.sample import walk
    from ....utils.rng import generator_for

    op = run.degradation
    D = op.bind(op.draw(x0, generator_for(seed, "demo")), like=x0)
    forward = [(f"t = {t:.2f}", D(x0, t)) for t in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)]
    yield "what the degradation does", viz.save(viz.labelled_rows(forward), folder / "1_degradation.png")
    x = D(x0, 1.0)
    states = [*walk(run.R, D, x, steps=10)]
    rows = [("t = 1.00", x)] + [(f"t = {float(s.t[0]):.2f}", s.x) for s in states]
    yield "restoration step by step (improved)", viz.save(viz.labelled_rows(rows), folder / "2_trajectory.png")
    frames = [viz.grid(frame, 4, zoom=6) for frame in (x, *(s.x for s in states))]
    yield "the same as an animation", viz.save([*frames, *frames[-1:] * 8], folder / "3_trajectory.gif")
    yield (
        "every method beside the clean images",
        viz.save(viz.labelled_rows(report.pictures), folder / "4_restored.png"),
    )
    generated = viz.grid(run.sample(32, seed=seed, steps=20), 8, zoom=4)
    yield "generated, from the blurs of training digits", viz.save(generated, folder / "5_generated.png")
