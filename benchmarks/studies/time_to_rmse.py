"""How long networks train until their error on test images is as small: `python -m benchmarks.studies.time_to_rmse -h`.

Every network is trained by the library's own trainer (bf16, channels_last, fused optimizer, averaged weights), each run
with a schedule of learning rates of its own length: only its end counts, and so a line of the file is one run.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import colddiff as cd
from colddiff.degradations.base import Degradation

from ..lib.interleaved import Table
from ..lib.machine import cpu_name
from ..lib.tables import markdown, rewrite
from ..speed.cases import CIFAR
from ..speed.peers import NAMES, build, ours, parameters

TASKS: dict[str, Degradation] = {"deblurring": CIFAR, "inpainting": cd.GaussianMask()}
MILLIONS = 5
TEST_IMAGES = 1000
BATCH = 100  # of the test
NEVER = 10**9
ERRORS = {"t = 1": "rmse_t1", "all t": "rmse_all_t"}


def main() -> None:
    args = parsed()
    if args.command == "table":
        text = markdown(table([json.loads(line) for line in args.lines.read_text(encoding="utf-8").splitlines()]))
        print(text)
        if args.page is not None:
            rewrite(args.page, "rmse", text)
        return
    line = trained(args)
    print(line)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")


def trained(args: argparse.Namespace) -> dict[str, Any]:
    """A training from scratch, and what came of it."""
    op = TASKS[args.task]
    net = None if args.net == "ours" else build(args.net, MILLIONS)
    with tempfile.TemporaryDirectory() as folder:
        config = cd.TrainConfig(
            data=args.data, degradation=op, out=f"{folder}/run", minutes=args.minutes, steps=args.steps,
            restorer=ours(MILLIONS) if net is None else None, batch_size=args.batch, lr=args.lr, seed=args.seed,
            flip=True, precision="bf16", compile=args.compile, validate_every=NEVER, sample_every=NEVER,
            checkpoint_every=NEVER,
        )  # fmt: skip
        run = cd.train(config, net=net, progress=False)
        log = [json.loads(entry) for entry in (run.path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        last = next(entry for entry in reversed(log) if "seconds" in entry)
        errors = test_errors(run.R, op, cd.load_data(args.data, split="test")[:TEST_IMAGES].to(run.device))
    settings = {name: getattr(args, name) for name in ("net", "task", "minutes", "batch", "lr", "seed", "compile")}
    done = {"steps": last["step"], "seconds": last["seconds"], "parameters": parameters(run.net)}
    where = {"cpu": cpu_name(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    return settings | done | errors | where


def test_errors(R: cd.Restorer, op: Degradation, x0: Tensor) -> dict[str, float]:
    """Root mean square errors of restored 8-bit images: at t = 1, and over t spread evenly."""
    params = op.draw_each(x0, [torch.Generator().manual_seed(i) for i in range(len(x0))])
    levels = op.levels or 50
    times = {"t1": torch.ones(len(x0)), "all_t": (1 + torch.arange(len(x0)) % levels) / levels}

    def rmse(t: Tensor) -> float:
        t = t.double().to(x0.device)
        x = (op(x0, t, params) * 255).round() / 255
        restored = torch.cat([R(x[i : i + BATCH], t[i : i + BATCH]) for i in range(0, len(x), BATCH)])
        return math.sqrt(float((restored.clamp(0, 1) - x0).square().mean()))

    return {f"rmse_{name}": rmse(t) for name, t in times.items()}


def table(lines: Sequence[dict[str, Any]]) -> Table:
    """For every run of a peer, the shortest of ours that came as far, over the peer's time."""
    rows = []
    for line in sorted(lines, key=lambda line: (line["task"], NAMES.index(line["net"]), line["seconds"])):
        row = {"name": f"{line['task']}, {line['net']}, seed {line['seed']}"}
        row |= {"M parameters": line["parameters"] / 1e6, "s": line["seconds"], "steps": line["steps"]}
        row |= {f"RMSE, {said}": line[key] for said, key in ERRORS.items()}
        if line["net"] != "ours":
            row |= {f"ours takes, {said}": share(lines, line, key) for said, key in ERRORS.items()}
        rows.append(row)
    note = (
        f"{TEST_IMAGES} test images, inputs rounded to 8 bits. `ours takes` is the time of the shortest run of ours "
        "that ended with an error no larger than the peer's, over the peer's time."
    )
    return Table("Training time to the same test error", rows, note)


def share(lines: Sequence[dict[str, Any]], peer: dict[str, Any], error: str) -> str:
    """The time of our shortest run that is as good, over that of a peer's."""
    same = [line for line in lines if line["net"] == "ours" and all(line[k] == peer[k] for k in ("task", "seed"))]
    enough = [line["seconds"] for line in same if line[error] <= peer[error]]
    return f"{min(enough) / peer['seconds']:.2f}" if enough else "not reached"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.time_to_rmse", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train one network and append a line")
    train.add_argument("net", choices=NAMES)
    train.add_argument("task", choices=TASKS)
    train.add_argument("data", help="the folder of CIFAR-10, or what else `colddiff train` reads")
    length = train.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float)
    length.add_argument("--steps", type=int)
    train.add_argument("--batch", type=int, default=32)
    train.add_argument("--lr", type=float, default=1e-3)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--compile", action="store_true")
    train.add_argument("--out", type=Path, default=Path("runs/rmse.jsonl"))
    shown = commands.add_parser("table", help="what the lines say")
    shown.add_argument("lines", type=Path, nargs="?", default=Path("runs/rmse.jsonl"))
    shown.add_argument("--page", type=Path, help="Markdown with marks to write between")
    return parser.parse_args()


if __name__ == "__main__":
    main()
