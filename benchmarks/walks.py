"""Consistency, rollout training and second-order steps, with and without: `python -m benchmarks.walks -h`.

Every run is a small training by the library's own trainer; what is compared within a run sees the same images. A line
of the file is one walk of one run: `table` makes the tables of the pages from them, mean and range of the seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

import colddiff as cd
from colddiff import metrics
from colddiff.spreads import MEASURES, Spread

from .tables import rewrite

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
PAGES = {"consistency": "consistency.md", "rollout": "rollout.md", "order": "second-order.md"}
Line = dict[str, Any]


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
        for name, page in PAGES.items():
            text = TABLES[name](lines)
            print(text)
            if args.docs is not None:
                rewrite(args.docs / page, name, text)


def trained(args: argparse.Namespace) -> cd.Run:
    config = cd.TrainConfig(
        data=args.data, degradation=TASKS[args.task][0], out=args.out, steps=args.steps, size="0.3M", seed=args.seed,
        image_size=SIDE, rollout=args.rollout, precision="fp32", validate_every=NEVER, sample_every=NEVER,
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

    yield line("damaged", x)
    if task == "blur":
        for calls in (5, 20, 50):
            yield line("rollout", restored(run, x, start, "improved", calls), calls=calls)
    if training["rollout"]:
        return
    for sampler, calls in (("one_shot", 1), ("naive", 20), ("improved", 20)):
        for kept in (False, True):
            found = restored(run, x, start, sampler, calls, consistent=kept)
            again = op(restored(run, exact[:BATCH], start, sampler, calls, consistent=kept), start, _first(params))
            off = float((again - exact[:BATCH]).abs().max())
            yield line("consistency", found, sampler=sampler, consistent=kept, off=off)
    if task in ("blur", "pixelation"):
        yield from second_order(run, x, start, line)


def second_order(run: cd.Run, x: Tensor, start: float, line: Any) -> Iterator[Line]:
    """As many calls each, and how far from where ever smaller steps of `improved` lead."""
    limit = restored(run, x[:LIMIT_IMAGES], start, "improved", LIMIT_STEPS)
    for steps in (3, 11, 26):
        calls = 2 * steps - 1
        for sampler, own in (("improved", calls), ("heun", steps), ("multistep", calls)):
            found = restored(run, x, start, sampler, own)
            off = _mean(metrics.rmse(found[:LIMIT_IMAGES], limit))
            yield line("order", found, sampler=sampler, calls=calls, off=off)


def restored(run: cd.Run, x: Tensor, start: float, sampler: str, steps: int, consistent: bool = False) -> Tensor:
    """Without clamping, in batches."""
    walks = []
    for part in x.split(BATCH):
        *_, last = run.walk(part, start=start, steps=steps, sampler=sampler, consistent=consistent)
        walks.append(last.x)
    return torch.cat(walks)


# --- tables ----------------------------------------------------------------------------------------------------------


def consistency_table(lines: Sequence[Line]) -> str:
    rows = []
    for key, own in _groups(lines, "consistency", "data", "task", "sampler"):
        without, kept = ([one for one in own if one["consistent"] == flag] for flag in (False, True))
        rows.append([*key, *_compared(without, kept), f"{max(one['off'] for one in kept):.1e}"])
    heads = ["data", "damage", "sampler", "RMSE", "RMSE, consistent", "less by", "SSIM", "SSIM, consistent", "off by"]
    return _markdown(heads, rows)


def rollout_table(lines: Sequence[Line]) -> str:
    rows = []
    for key, own in _groups(lines, "rollout", "data", "task", "calls"):
        plain, rolled = ([one for one in own if one["rollout"] == flag] for flag in (False, True))
        rows.append([*key, *_compared(plain, rolled)])
    return _markdown(["data", "damage", "calls", "RMSE", "RMSE, rollout", "less by", "SSIM", "SSIM, rollout"], rows)


def order_table(lines: Sequence[Line]) -> str:
    rows = []
    for key, own in _groups(lines, "order", "data", "task", "calls", "sampler"):
        rows.append([*key, *(_spread(own, name) for name in ("rmse", "ssim", "off"))])
    return _markdown(["data", "damage", "calls", "sampler", "RMSE", "SSIM", "from the limit"], rows)


TABLES = {"consistency": consistency_table, "rollout": rollout_table, "order": order_table}


def _groups(lines: Iterable[Line], idea: str, *names: str) -> Iterator[tuple[tuple[str, ...], list[Line]]]:
    groups: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        if line["idea"] == idea:
            groups.setdefault(tuple(str(line[name]) for name in names), []).append(line)
    yield from groups.items()


def _compared(without: Sequence[Line], beside: Sequence[Line]) -> list[str]:
    by_seed = {line["seed"]: line["rmse"] for line in beside}
    gains = tuple(line["rmse"] - by_seed[line["seed"]] for line in without)
    rmse, ssim = ([_spread(own, name) for own in (without, beside)] for name in ("rmse", "ssim"))
    return [*rmse, Spread(gains).told(4), *ssim]


def _spread(lines: Sequence[Line], name: str) -> str:
    digits = MEASURES[name].digits if name in MEASURES else 4
    return Spread(tuple(line[name] for line in lines)).told(digits)


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows))


def _first(params: cd.Params) -> cd.Params:
    return {name: value[:BATCH] for name, value in params.items()}


def _mean(values: Tensor) -> float:
    return fmean(values.tolist())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.walks", description=__doc__)
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
    shown = commands.add_parser("table", help="what the lines say")
    shown.add_argument("lines", type=Path, nargs="?", default=Path("runs/walks.jsonl"))
    shown.add_argument("--docs", type=Path, help="folder of the pages to write into")
    return parser.parse_args()


if __name__ == "__main__":
    main()
