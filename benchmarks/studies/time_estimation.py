"""How well severity is told, and what restores make of it: `python -m benchmarks.studies.time_estimation -h`.

`tell` fits an estimator per operator and seed, and measures it on held-out images; `restore` walks with a run from the
true times, from those that it tells and from 1, and counts the calls that settling spares. A line of the file is one
of these; `draw` makes the figure of the page from them.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import colddiff as cd
from colddiff.degradations.noise_schedules import CosineBetas
from colddiff.models.time_estimator import joined
from colddiff.samplers.early_stopping import EarlyStopping
from colddiff.samplers.sample import named_sampler
from colddiff.samplers.unknown_params import default_sampler
from colddiff.samplers.unknown_params import restore as restored
from colddiff.training.batches import Batches, random_times
from colddiff.training.time_estimator import MOST, fit_estimator
from colddiff.utils.rng import generator_for
from colddiff.viz.style import COLOURS, name_axes, panels, scale

IMAGES, AT_ONCE, SETTLING, SIDE = 1000, 100, 64, 32
CPU = torch.device("cpu")
OPERATORS: dict[str, cd.Degradation] = {
    "GaussianBlur": cd.GaussianBlur(), "GaussianNoise": cd.GaussianNoise(),
    "GaussianNoise, cosine": cd.GaussianNoise(betas=CosineBetas()),
    "GaussianNoise, calibrated": cd.GaussianNoise(),  # on the training images, to PSNR
    "IteratedBlur": cd.IteratedBlur(),
    "Pixelate": cd.Pixelate(), "PixelMask": cd.PixelMask(), "Desaturate": cd.Desaturate(), "Jpeg": cd.Jpeg(),
}  # fmt: skip
Line = dict[str, Any]


def main() -> None:
    args = parsed()
    if args.command == "draw":
        lines = [json.loads(line) for line in args.lines.read_text().splitlines()]
        draw(lines, args.out)
        print("\n\n".join(tables(lines)))
        return
    args.lines.parent.mkdir(parents=True, exist_ok=True)
    with args.lines.open("a") as lines:
        for line in tell(args) if args.command == "tell" else restore(args):
            line["data"] = Path(args.data).name
            print(json.dumps(line), file=lines, flush=True)
            print({name: value for name, value in line.items() if name != "points"}, flush=True)


def tell(args: argparse.Namespace) -> Iterator[Line]:
    """The errors of an estimator per operator and seed, by what it sees and by thirds of t."""
    training, test = (cd.load_data(args.data, split=split, size=SIDE) for split in ("train", "test"))
    for name in args.operators:
        op = OPERATORS[name]
        if name.endswith("calibrated"):
            op = cd.calibrate(op, training)
        for seed in range(args.seeds):
            began = time.perf_counter()
            net = fit_estimator(Batches(training, op, 64, seed, flip=True), Batches(test, op, 64, seed), MOST, CPU)
            assert net is not None
            seconds = time.perf_counter() - began
            x0, t, x = damaged(test, op, seed, IMAGES)
            for kind, given in (("8 bits", eight_bit(x)), ("unrounded", x)):
                found = joined([net.estimate(part) for part in given.split(AT_ONCE)])
                line = {"idea": "tell", "operator": name, "seed": seed, "input": kind, "seconds": round(seconds, 1)}
                line |= errors(found.t, t) | {"coverage": mean((found.low <= t) & (t <= found.high))}
                points = torch.stack([t, found.t, found.low, found.high], dim=1)[:300]
                kept = {"points": points.tolist()} if seed == 0 and kind == "8 bits" else {}
                yield line | {"spread": mean(found.spread)} | kept
            if isinstance(op, cd.GaussianNoise) and isinstance(op.schedule, cd.Linear):
                yield {"idea": "bound", "operator": name, "seed": seed} | errors(knowing(op, x0, x.clamp(0, 1)), t)


def knowing(op: cd.GaussianNoise, x0: Tensor, x: Tensor) -> Tensor:
    """The median of t for somebody who knows the clean image: nobody who does not can be better. x is clamped."""
    levels = torch.arange(1, op.betas.num_steps + 1, 4)
    clean, seen, likely = 2 * x0.double() - 1, 2 * x.double() - 1, []
    for alpha_bar in op.betas.alpha_bars()[levels].tolist():
        z = (seen - math.sqrt(alpha_bar) * clean) / math.sqrt(1 - alpha_bar)
        inside = -z.square() / 2 - math.log(1 - alpha_bar) / 2 - math.log(2 * math.pi) / 2
        ends = torch.where(seen <= -1, torch.special.log_ndtr(z), torch.special.log_ndtr(-z))
        likely.append(torch.where(seen.abs() < 1, inside, ends).sum(dim=(1, 2, 3)))
    share = torch.stack(likely, dim=1).softmax(dim=1).cumsum(dim=1)
    return levels[(share < 0.5).sum(dim=1).clamp(max=len(levels) - 1)] / op.betas.num_steps


def restore(args: argparse.Namespace) -> Iterator[Line]:
    """What a run makes of pictures from three starts; and what settling spares of 20, 50 and 100 calls."""
    run = cd.load(args.run, device="cpu", precision="fp32")
    test, op, sampler = cd.load_data(args.data, split="test", size=run.shape[1]), run.degradation, args.sampler
    name, sampler = op.registered_name, sampler or default_sampler(op)
    x0, t, x = damaged(test, op, 0, args.images)
    x = eight_bit(x)
    told = run.estimate_time(x).t
    yield {"idea": "told", "operator": name} | errors(told, t)
    for kind, starts in (("true", t), ("told", told), ("1", torch.ones_like(t))):
        steps = [max(1, round(20 * start)) for start in starts.tolist()]
        found = x.clone()
        for count in sorted(set(steps)):
            rows = torch.tensor([k for k, own in enumerate(steps) if own == count])
            found[rows] = run.restore(x[rows], start=starts[rows], steps=count, sampler=sampler)
        squares = (found - x0).square().flatten(1).mean(dim=1)
        line = {"idea": "start", "operator": name, "start": kind, "calls": sum(steps) / len(steps)}
        yield line | {"rmse": mean(squares) ** 0.5} | {
            f"rmse {k}": mean(squares[third(t, k)]) ** 0.5 for k in range(3)
        }  # fmt: skip
    yield from settling(run, sampler, test[:SETTLING], name)


def settling(run: cd.Run, sampler: str, x0: Tensor, name: str) -> Iterator[Line]:
    op = run.degradation
    for start in (0.25, 0.5, 1.0):
        x = eight_bit(op(x0, start, op.draw_each(x0, [generator_for(0, "blind", i) for i in range(len(x0))])))
        for steps in (20, 50, 100):
            asked = 0

            def R(x: Tensor, t: Tensor) -> Tensor:
                nonlocal asked
                asked += len(x)
                return run.R(x, t)

            times = cd.time_grid(steps, start, levels=op.level_times())
            whole, settled = (
                [*restored(ask, op, x, times, sampler=named_sampler(sampler))][-1].x
                for ask in (run.R, EarlyStopping(R))
            )
            apart = (eight_bit(whole) - eight_bit(settled)).abs().mul(255).round()
            line = {"idea": "settle", "operator": name, "start": start, "steps": steps, "calls": asked / len(x0)}
            yield (
                line
                | {"levels": int(apart.max()), "pixels": mean(apart > 0)}
                | {
                    f"rmse {kind}": mean((end.clamp(0, 1) - x0).square()) ** 0.5
                    for kind, end in (("whole", whole), ("settled", settled))
                }
            )


def draw(lines: list[Line], out: Path) -> None:
    """What is told against the truth, with the 90% intervals, of the operators that the page is about."""
    chosen = ("GaussianBlur", "GaussianNoise", "GaussianNoise, cosine")
    drawn, axes = panels(1, len(chosen), "how damaged held-out pictures are told to be", (3.4, 3.4))
    for ax, name, colour in zip(axes, chosen, COLOURS, strict=False):
        line = [line for line in lines if line["idea"] == "tell" and line["operator"] == name and "points" in line][-1]
        t, told, low, high = torch.tensor(line["points"]).T
        arms = torch.stack([(told - low).clamp(min=0), (high - told).clamp(min=0)]).tolist()
        ax.plot([0, 1], [0, 1], color="#8a8a8a", lw=1)
        ax.errorbar(t.tolist(), told.tolist(), arms, ls="", marker=".", ms=3, lw=0.6, color=colour, alpha=0.6)
        for which in "xy":
            scale(ax, which, (0.0, 1.0), log=False, room=0.03)
        name_axes(ax, f"{name}: off by {line['mae']:.3f}", "true t", "told")
    drawn.savefig(out, dpi=100)


def tables(lines: list[Line]) -> Iterator[str]:
    """The tables of the page: means over seeds."""

    def rows(idea: str, **how: Any) -> list[Line]:
        return [line for line in lines if line["idea"] == idea and how.items() <= line.items()]

    def over(found: list[Line], key: str, k: int | None = None) -> float:
        values = [line[key] if k is None else line[key][k] for line in found]
        return sum(values) / len(values)

    heads = ["off by", "lowest", "middle", "highest third", "in the 90% interval", "unrounded", "fitted in"]
    table = [["operator", *heads]]
    for name in dict.fromkeys(line["operator"] for line in rows("tell")):
        told, exact = (rows("tell", operator=name, input=kind) for kind in ("8 bits", "unrounded"))
        thirds = [f"{over(told, 'thirds', k):.3f}" for k in range(3)]
        inside, seconds = f"{over(told, 'coverage'):.0%}", f"{over(told, 'seconds'):.0f} s"
        table.append([name, f"**{over(told, 'mae'):.4f}**", *thirds, inside, f"{over(exact, 'mae'):.4f}", seconds])
        if bound := rows("bound", operator=name):
            thirds = [f"{over(bound, 'thirds', k):.3f}" for k in range(3)]
            table.append(["... by one who knows the clean picture", f"{over(bound, 'mae'):.4f}", *thirds, "", "", ""])
    yield markdown(table)
    table = [["data", "degradation", "from", "RMSE", "lowest", "middle", "highest third", "calls"]]
    for line in rows("start"):
        thirds = [f"{line[f'rmse {k}']:.4f}" for k in range(3)]
        table.append(
            [line["data"], line["operator"], line["start"], f"**{line['rmse']:.4f}**", *thirds, f"{line['calls']:.1f}"]
        )
    yield markdown(table)
    table = [["data", "degradation", "t", "of 20", "of 50", "of 100", "RMSE of 20", "settled", "levels apart, at most"]]
    for data, name, start in dict.fromkeys((line["data"], line["operator"], line["start"]) for line in rows("settle")):
        own = rows("settle", data=data, operator=name, start=start)
        calls = [f"{line['calls']:.1f}" for line in own]
        ends = [f"{own[0][f'rmse {kind}']:.4f}" for kind in ("whole", "settled")]
        table.append([data, name, f"{start}", *calls, *ends, str(max(line["levels"] for line in own))])
    yield markdown(table)


def markdown(table: list[list[str]]) -> str:
    head, *rows = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([head, "|---" * len(table[0]) + "|", *rows])


def damaged(data: Any, op: cd.Degradation, seed: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Held-out images in no order, times in (0, 1], and both together."""
    draw = generator_for(seed, "benchmarks.blind")
    x0 = data[torch.randperm(len(data), generator=draw)[:count]]
    t = random_times(op, torch.rand(len(x0), generator=draw, dtype=torch.float64))
    return x0, t, op(x0, t, op.draw(x0, draw))


def errors(found: Tensor, t: Tensor) -> Line:
    off = (found - t).abs()
    return {"mae": mean(off), "thirds": [mean(off[third(t, k)]) for k in range(3)]}


def third(t: Tensor, k: int) -> Tensor:
    return (t > k / 3) & (t <= (k + 1) / 3)


def eight_bit(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round() / 255


def mean(values: Tensor) -> float:
    return float(values.double().mean())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.time_estimation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("tell", "restore", "draw"):
        command = commands.add_parser(name)
        command.add_argument("--lines", type=Path, default=Path("runs/blind.jsonl"))
        if name == "draw":
            command.add_argument("--out", type=Path, default=Path("docs/images/time-estimation.png"))
            continue
        if name == "restore":
            command.add_argument("run")
            command.add_argument("--images", type=int, default=500)
            command.add_argument("--sampler", default=None)
        command.add_argument("data", help="a folder of CIFAR-10, or what else `colddiff train` reads")
        if name == "tell":
            command.add_argument("--seeds", type=int, default=3)
            command.add_argument("--operators", nargs="+", default=[*OPERATORS])
    return parser.parse_args()


if __name__ == "__main__":
    main()
