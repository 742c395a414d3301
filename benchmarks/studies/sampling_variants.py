"""Consistency, rollout training and second-order steps, with and without.

Called by `python -m benchmarks.studies.sampling_variants -h`.

Every run is a small training by the library's own trainer; what is compared within a run sees the same images. A line
of the file is one walk of one run; `pages` writes them into the pages, as tables and figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

import colddiff as cd
from colddiff.evaluation import metrics
from colddiff.samplers.consistency import EXACT

from .walk_pages import Line, write_pages

NEVER = 10**9
IMAGES, BATCH, SIDE = 500, 100, 32
LIMIT_IMAGES, LIMIT_STEPS = 100, 200  # of the walk that second-order steps are to come near to
# What is undone, from where; of operators whose params a restore can read off the picture.
TASKS: dict[str, tuple[cd.Degradation, float]] = {
    "blur": (cd.GaussianBlur(), 0.5),
    "pixelation": (cd.Pixelate(largest=8), 2 / 3),
    "mask": (cd.PixelMask(), 0.75),
    "desaturation": (cd.Desaturate(), 1.0),
}


def main() -> None:
    args = parsed()
    if args.command == "train":
        trained(args)
    elif args.command == "measure":
        with args.out.open("a", encoding="utf-8") as out:
            for line in measured(cd.load(args.run), args.data):
                out.write(json.dumps(line) + "\n")
    else:
        lines = [json.loads(line) for line in args.lines.read_text(encoding="utf-8").splitlines()]
        write_pages(lines, args.docs)


def trained(args: argparse.Namespace) -> cd.Run:
    config = cd.TrainConfig(
        data=args.data, degradation=TASKS[args.task][0], out=args.out, steps=args.steps, unet_size="0.3M",
        seed=args.seed, image_size=SIDE, rollout=args.rollout, precision="fp32", validate_every=NEVER,
        sample_every=NEVER,
    )  # fmt: skip
    return cd.train(config, progress=False)


def measured(run: cd.Run, data: str) -> Iterator[Line]:
    """What each walk of a run does to the first test images, which come in 8 bits."""
    training = run.config["training"]
    task = next(name for name, (op, _) in TASKS.items() if op == run.degradation)
    op, start = TASKS[task]
    x0 = cd.load_data(data, split="test", size=SIDE)[:IMAGES]
    params = op.draw_each(x0, [torch.Generator().manual_seed(i) for i in range(len(x0))])
    exact = op(x0, start, params)
    x = (exact.clamp(0, 1) * 255).round() / 255
    told = {"data": Path(data).name, "task": task, "seed": training["seed"], "rollout": training["rollout"]}

    def line(idea: str, found: Tensor, **how: Any) -> Line:
        found = found.clamp(0, 1)
        return (
            told | how | {"idea": idea} | {name: _mean(getattr(metrics, name)(found, x0)) for name in ("rmse", "ssim")}
        )

    # Which pixels are missing is given: else some that are there and have the colour of a hole would be taken for it.
    hole = params["rank"] < start if "rank" in params else None
    yield line("damaged", x)
    if task == "blur":
        for calls in (5, 20, 50):
            yield line("rollout", restored(run, x, start, "improved", calls), calls=calls)
    if training["rollout"]:
        return
    for sampler, calls in (("one_shot", 1), ("naive", 20), ("improved", 20)):
        for kept in (False, True):
            found = restored(run, x, start, sampler, calls, kept, hole)
            exactly = EXACT if kept else False
            again = op(restored(run, exact[:BATCH], start, sampler, calls, exactly, hole), start, _first(params))
            off = float((again - exact[:BATCH]).abs().max())
            yield line("consistency", found, sampler=sampler, consistent=kept, off=off)
    if task in ("blur", "pixelation"):
        yield from second_order(run, x, start, line)


def second_order(run: cd.Run, x: Tensor, start: float, line: Callable[..., Line]) -> Iterator[Line]:
    """As many calls each, and how far from where ever smaller steps lead."""
    limit = restored(run, x[:LIMIT_IMAGES], start, "heun", LIMIT_STEPS)
    for steps in (3, 11, 26):
        calls = 2 * steps - 1
        for sampler, own in (("improved", calls), ("heun", steps), ("multistep", calls)):
            found = restored(run, x, start, sampler, own)
            off = _mean(metrics.rmse(found[:LIMIT_IMAGES], limit))
            yield line("order", found, sampler=sampler, calls=calls, off=off)


def restored(
    run: cd.Run,
    x: Tensor,
    start: float,
    sampler: str,
    steps: int,
    consistent: bool | float = False,
    hole: Tensor | None = None,
) -> Tensor:
    """Without clamping, in batches."""
    walks = []
    for first in range(0, len(x), BATCH):
        part = slice(first, first + BATCH)
        mask = None if hole is None else hole[: len(x)][part]
        *_, last = run.walk(x[part], start=start, steps=steps, sampler=sampler, consistent=consistent, mask=mask)
        walks.append(last.x)
    return torch.cat(walks)


def _first(params: cd.Params) -> cd.Params:
    return {name: value[:BATCH] for name, value in params.items()}


def _mean(values: Tensor) -> float:
    return fmean(values.tolist())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.sampling_variants", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train one network")
    train.add_argument("data", help="a folder of MNIST or CIFAR-10, or what else `colddiff train` reads")
    train.add_argument("task", choices=TASKS)
    train.add_argument("out", help="folder of the run")
    train.add_argument("--steps", type=int, default=600)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--rollout", action="store_true")
    measure = commands.add_parser("measure", help="walk with a run and append lines")
    measure.add_argument("run")
    measure.add_argument("data")
    measure.add_argument("--out", type=Path, default=Path("runs/walks.jsonl"))
    pages = commands.add_parser("pages", help="what the lines say, in the pages")
    pages.add_argument("lines", type=Path, nargs="?", default=Path("runs/walks.jsonl"))
    pages.add_argument("--docs", type=Path, default=Path("docs"), help="folder of the pages")
    return parser.parse_args()


if __name__ == "__main__":
    main()
