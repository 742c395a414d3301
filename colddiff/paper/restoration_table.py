"""The paper's tables with ours beside them: what is missing is trained, then measured by the paper's protocol."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import viz
from ..data.dataset import ImageData, load_data
from ..evaluation.feature_ensemble import Direction, FeatureEnsemble, check_images, direction, feature_sense, together
from ..evaluation.features import Perception, fid
from ..evaluation.measure import PICTURED, CaseResult, eval_cases, measure
from ..evaluation.metrics import summary
from ..models.baselines import baseline_for
from ..models.networks.unet import UNetConfig
from ..models.networks.wiener_unet import FLOAT32_NOISE, WienerUNetConfig
from ..models.run import Run
from ..training.config import Size, TrainConfig
from ..training.train import complete, trained
from ..utils.files import check_target, write_text
from ..utils.progress import event
from .presets import PRESETS, Preset
from .published import RESTORATION, Numbers

BLURRED = "deblur"
NAMES = {
    "degraded": "degraded",
    "one_shot": "direct",
    "naive": "naive (Algorithm 1)",
    "improved": "improved (Algorithm 2)",
}
INPUTS = {"float32": "x_T in float32{}", "8 bits": "x_T rounded to 8 bits"}
CHAIN = ", from the paper's own chain of steps"


@dataclass(frozen=True)
class Column:
    """What one run made of one kind of input, method by method.

    Args:
        input: "float32" or "8 bits".
        run: the folder of the run.
        rows: by method: rmse (global), ssim, fid, kid with interval.
        direction: whether `improved` looks more real than `one_shot` and is further from the truth.
        pictures: (label, images) of the same images.
    """

    input: str
    run: str
    rows: dict[str, dict[str, Any]]
    direction: Direction
    pictures: list[tuple[str, Tensor]]


@dataclass(frozen=True)
class Reproduction:
    """A table of the paper, and ours.

    Args:
        table: its name.
        data: whose rows of the paper it stands beside.
        published: those rows.
        columns: ours.
        protocol: how they were measured.
    """

    table: str
    data: str
    published: dict[str, Numbers]
    columns: list[Column]
    protocol: dict[str, Any]

    def to_json(self) -> str:
        told = [
            {
                "input": c.input,
                "run": c.run,
                "rows": c.rows,
                "direction": asdict(c.direction) | {"answer": c.direction.answer},
            }
            for c in self.columns
        ]
        published = {name: asdict(numbers) for name, numbers in self.published.items()}
        value = {"table": self.table, "data": self.data, "published": published, "columns": told}
        return json.dumps(value | {"protocol": self.protocol}, indent=2, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """The table, the check of its direction and the protocol."""
        told = ["RMSE", "SSIM", "FID*", "KID* [95%]"]
        heads = ["", "published RMSE", "SSIM", "FID"] + [f"{c.input}: {t}" for c in self.columns for t in told]
        lines = [f"| {' | '.join(heads)} |", "|---|" + "--:|" * (len(heads) - 1)]
        for method in dict.fromkeys(name for c in self.columns for name in c.rows):
            paper = self.published.get(method, Numbers(None, None, None))
            cells = [NAMES.get(method, method), *(_or_dash(v) for v in (paper.rmse, paper.ssim, paper.fid))]
            for column in self.columns:
                cells += _shown(column.rows.get(method))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
        for c in self.columns:
            lines.append(
                f"- {c.input}: does `improved` look more real than the direct answer, and lie further from the truth, "
                f"as published? {c.direction}"
            )
        notes = "\n".join(f"- {key}: {value}" for key, value in self.protocol.items())
        return "\n".join(lines) + f"\n\nProtocol:\n\n{notes}\n"

    def save(self, folder: Path) -> list[Path]:
        """TABLE.md, .json and a picture of each column."""
        files = [folder / f"{self.table}.md", folder / f"{self.table}.json"]
        write_text(files[0], self.to_markdown())
        write_text(files[1], self.to_json())
        for c in self.columns:
            file = folder / f"{self.table}-{c.input.replace(' ', '')}.png"
            files.append(viz.save(viz.labelled_rows(c.pictures), file))
        return files


def reproduce(
    table: str,
    data: str,
    out: str | Path,
    *,
    minutes: float = 10.0,
    row: str | None = None,
    images: int | None = None,
    size: Size = "5M",
    features: str = "auto",
    seed: int = 0,
    batch_size: int = 100,
    device: str = "auto",
    changes: dict[str, Any] | None = None,
    progress: bool = True,
) -> Reproduction:
    """A table of the paper on one data set, with what is missing trained.

    The degradations, sizes and the L1 loss are the paper's; the network is this library's and so is its optimizer. Runs
    that are in `out` already are used as they are.

    Args:
        table: "deblur", "inpaint" or "superres".
        data: what `load_data` takes; its test split is measured.
        out: folder for runs, table and pictures.
        minutes: of training, per run.
        row: whose published numbers stand beside: mnist, cifar10 or celeba; as many channels as the data has if left
            out.
        images: of the test split, from the first; None takes all.
        size: of the network, see `TrainConfig`.
        features: "inception", "ensemble" (three networks trained on the data), or "auto": Inception if it can be had.
        seed: of training and evaluation.
        batch_size: of the evaluation.
        device: "auto", "cpu", "cuda".
        changes: other settings of the trainings, as `TrainConfig` has them.
        progress: show bars.

    Raises:
        LookupError: no such table or row. What training and reading raise.
    """
    out = Path(out)
    experiment_of(table, row or "mnist")
    check_images(images)
    channels = load_data(data, split="test", size=32).images.shape[1] if row is None else None
    row = row or ("mnist" if channels == 1 else "cifar10")
    experiment = experiment_of(table, row)
    for suffix in ("md", "json"):
        check_target(out / f"{table}.{suffix}")
    base = TrainConfig(
        data=data, out=str(out / f"{table}-{row}"), degradation=experiment.degradation, image_size=experiment.side,
        minutes=minutes, loss="l1", unet_size=size, seed=seed, device=device, estimate_time=False, flip=row != "mnist",
    )  # fmt: skip
    base = replace(base, **changes or {})
    test = load_data(data, split="test", size=experiment.side)
    training = load_data(data, split="train", size=experiment.side)
    n = min(len(test), images or len(test))
    sense: Perception | None = None
    columns, budgets = [], dict[str, str]()
    for input, config in runs_for(table, base):
        if progress and not complete(config):
            event(f"training for {input}: {config.out}")
        run = trained(config, progress=progress)
        budgets[input] = f"{run.config['training']['minutes']} minutes, {run.config['step']} steps"
        sense = sense or feature_sense(features, run, training, out, progress)
        columns.append(_column(input, run, test, sense, n, batch_size, seed, progress))
    assert sense is not None
    protocol = {
        "data": f"{data}, test split, the first {n} of {len(test)} images",
        "size": f"{experiment.side} x {experiment.side}, plain bilinear resize, no crop from a larger one",
        "RMSE": "one root mean square over all values of all images, in [0, 1]; restored images clipped, not rounded",
        "training": f"{base.loss}, network {base.restorer or size}, seed {base.seed}; "
        + "; ".join(f"{input}: {told}" for input, told in budgets.items()),
        "FID*, KID*": sense.description,
    } | {input: told.format(CHAIN if table == BLURRED else "") for input, told in INPUTS.items()}
    return Reproduction(table, row, RESTORATION[table][row], columns, protocol)


def experiment_of(table: str, row: str) -> Preset:
    """The preset of a table's row.

    Raises:
        LookupError: no such table, or no such row.
    """
    if table not in RESTORATION:
        raise LookupError(f"no table is named {table!r}; known: {', '.join(RESTORATION)}, generation")
    if row not in RESTORATION[table]:
        raise LookupError(f"table {table} has no row {row!r}; known: {', '.join(RESTORATION[table])}")
    return PRESETS[f"{table}_{row}"]


def runs_for(table: str, base: TrainConfig) -> Iterator[tuple[str, TrainConfig]]:
    """What is trained for a table, by the input that it is measured on: a network is asked what it was taught.

    Rounding decides what a blur has left and how grey a hole is, 127.5 / 255 or 128 / 255: neither network restores
    the other's pictures.
    """
    if table == BLURRED:
        net = base.restorer or UNetConfig.of_size(base.unet_size)
        if not isinstance(net, UNetConfig):
            raise ValueError(f"deblurring puts a unet behind the Wiener estimate, not {net.registered_name}")
        base = replace(base, restorer=WienerUNetConfig(net=net))
    yield "float32", replace(base, out=f"{base.out}-float32", quantize_inputs=False, input_noise=FLOAT32_NOISE)
    yield "8 bits", replace(base, out=f"{base.out}-8bit")


# --- helpers ---------------------------------------------------------------------------------------------------------


def _column(
    input: str, run: Run, test: ImageData, sense: Perception, n: int, batch_size: int, seed: int, progress: bool
) -> Column:
    own = run.baseline if run.baseline is not None else baseline_for(run.degradation)
    asked = [run.degradation.levels or 20]
    compared = [
        c for c in eval_cases(run.degradation, (1.0,), asked, None if own is None else own.name) if not c.oracle
    ]
    clean, kept = measure(
        run, test, compared, sense, baseline=own, images=n, batch_size=batch_size, seed=seed,
        quantize_inputs=input == "8 bits", iterate_chain=input == "float32", progress=progress,
    )  # fmt: skip
    judged = sense.net
    assert isinstance(judged, FeatureEnsemble)
    seen = {c.method: judged.kids(clean, torch.cat(k.features)) for c, k in zip(compared, kept, strict=True)}
    by_name = dict(zip((c.method for c in compared), kept, strict=True))
    rows = {name: _row(k, clean, seen[name]) for name, k in by_name.items()}
    rmse = {name: k.of("rmse") for name, k in by_name.items()}
    found = direction(seen["improved"], seen["one_shot"], rmse["improved"], rmse["one_shot"])
    pictures = [(c.label, torch.cat(k.pictures)) for c, k in zip(compared, kept, strict=True)]
    return Column(input, str(run.path), rows, found, [("clean", test[: min(PICTURED, n)]), *pictures])


def _row(kept: CaseResult, clean: Tensor, kids: Sequence[Tensor]) -> dict[str, Any]:
    return {
        "calls": kept.calls,
        "rmse": math.sqrt(float(kept.of("rmse").square().mean())),
        "ssim": asdict(summary(kept.of("ssim"))),
        "fid": fid(clean, torch.cat(kept.features)),
        "kid": asdict(together(kids)),
        "kids": [asdict(summary(k)) for k in kids],
    }


def _or_dash(value: float | None) -> str:
    return "—" if value is None else f"{value:g}"


def _shown(row: dict[str, Any] | None) -> list[str]:
    if row is None:
        return ["—"] * 4
    kid = row["kid"]
    return [
        f"{row['rmse']:.4f}", f"{row['ssim']['mean']:.3f}", f"{row['fid']:.2f}",
        f"{kid['mean']:.4f} [{kid['low']:.4f}, {kid['high']:.4f}]",
    ]  # fmt: skip
