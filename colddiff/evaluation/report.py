"""The measured table of a run, and how it was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import viz
from ..data.dataset import ImageData
from ..models.baselines import Baseline, baseline_for, kind_for
from ..models.card import model_card
from ..models.recommended import LONGEST_NAME, Recommended
from ..models.redaction import strip_paths
from ..models.run import Run
from ..utils.distributed import broadcast_weights, main_process_first
from ..utils.files import write_text
from . import metrics, plots
from .conclusion import Outcome, conclude, recommend
from .features import Perception, choose_features, fid, kid, with_error
from .measure import PICTURED, CaseResult, EvalCase, eval_cases, measure
from .memorization import MemorizationReport, check_generation
from .recommend import known_by_now, save_recommendation

STEPS = (2, 5, 10, 20)  # that samplers take: enough for a curve


@dataclass(frozen=True)
class Report:
    """Rows with their protocol and what they say, and the same images restored in each way.

    Args:
        protocol: how it was measured.
        rows: method, start, steps, calls, params, and rmse, psnr, ssim with intervals; fid, kid or lpips if measured.
        pictures: (label, images (8, C, H, W)) at the last start.
        conclusion: what to do, in sentences.
        generation: whether generated images are new, if that was asked for.
        recommended: per goal and start the best choice of the network; None if one image was measured.
    """

    protocol: dict[str, Any]
    rows: list[dict[str, Any]]
    pictures: list[tuple[str, Tensor]]
    conclusion: list[str]
    generation: MemorizationReport | None = None
    recommended: Recommended | None = None

    def to_json(self) -> str:
        value = {"conclusion": self.conclusion, "protocol": self.protocol, "n_images": self.protocol["images"]}
        value |= {"rows": self.rows} | ({"generation": self.generation.values} if self.generation else {})
        return json.dumps(value, indent=2, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """The conclusion, the table, and the protocol below it."""
        perceptual = [name for name in ("fid", "kid", "lpips") if name in self.rows[0]]
        heads = {"fid": "FID", "kid": "KID ± error", "lpips": "LPIPS [95%]"}
        titles = ["start", "method", "calls", "RMSE (global)", "RMSE (mean) [95%]", "PSNR dB [95%]", "SSIM [95%]"]
        titles += [heads[name] for name in perceptual]
        lines = [f"- {sentence}" for sentence in self.conclusion]
        lines += ["", f"| {' | '.join(titles)} |", f"|--:|---|{'--:|' * (len(titles) - 2)}"]
        for row in self.rows:
            cells = [f"{row['start']:.2f}", row["method"], str(row["calls"]), f"{row['rmse']['global']:.4f}"]
            cells += [_shown(row[name], digits) for name, digits in (("rmse", 4), ("psnr", 2), ("ssim", 3))]
            cells += [_shown(row[name], 2 if name == "fid" else 4) for name in perceptual]
            lines.append("| " + " | ".join(cells) + " |")
        notes = "\n".join(f"- {key}: {_words(value, key)}" for key, value in self.protocol.items())
        generated = f"{self.generation.to_markdown()}\n" if self.generation else ""
        return "\n".join(lines) + f"\n\n{generated}Protocol:\n\n{notes}\n"

    def save(self, folder: Path, stem: str = "report") -> list[Path]:
        """What `report_files` names, but the plot where matplotlib is not installed; and what was written."""
        files = report_files(folder, stem, generated=self.generation is not None)
        write_text(files[0], self.to_markdown())
        write_text(files[1], self.to_json())
        viz.save(viz.labelled_rows(self.pictures), files[2])
        if self.generation:
            viz.save(viz.labelled_rows(self.generation.pictures), files[-1])
        if plots.drawable() and any(row["calls"] and not row["oracle"] for row in self.rows):
            viz.save(plots.plot(self.rows, self.recommended), files[3])
            return files
        files[3].unlink(missing_ok=True)  # of an earlier report
        return [file for file in files if file is not files[3]]


def report_files(folder: Path, stem: str = "report", *, generated: bool = False) -> list[Path]:
    """`stem`.md, .json, .png (the same images in every way), the plot plots.png, and neighbours.png, if generated."""
    names = [*(f"{stem}.{suffix}" for suffix in ("md", "json", "png")), plots.FILE]
    return [folder / name for name in (*names, *(["neighbours.png"] if generated else []))]


def evaluate(
    run: Run,
    data: ImageData,
    *,
    start_times: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    steps: Sequence[int] = STEPS,
    num_images: int | None = None,
    batch_size: int = 128,
    seed: int = 0,
    quantize_inputs: bool = True,
    iterate_chain: bool = False,
    features: str | nn.Module | None = None,
    train_data: ImageData | None = None,
    num_generated: int = 0,
    progress: bool = True,
) -> Report:
    """Measure a run on images; under torchrun every process calls it, does its share, and gets the whole report.

    Samplers get only what a restore would have: params are read off the damaged picture, estimated after a first
    restorer call, or drawn anew; rows that use the true ones are labelled oracle. Where a classical restorer is known
    for the degradation (`baselines`), it has a row at each start.

    Args:
        run: what is measured.
        data: clean images.
        start_times: times in (0, 1] to which they are degraded.
        steps: numbers of steps for the samplers that take several.
        num_images: how many, from the first; None takes all.
        batch_size: of the evaluation.
        seed: of the degradations' draws; image i gets its own stream.
        quantize_inputs: round the damaged images to 8-bit levels (not clipped), as pictures come.
        iterate_chain: damage the images by the steps of the chain, one after another, as code without a closed form
            does.
        features: "auto", "classifier", "inception", "lpips" or a feature network, as `features.choose_features` takes
            it; None leaves it out.
        train_data: images that the run was trained on, for the classifier, the check of what is generated, and the
            baseline of a run that came without one.
        num_generated: how many images to generate, and to compare with the training images.
        progress: show a bar.
    """
    _check(run, data, start_times, steps, num_images, num_generated, train_data)
    if batch_size < 1 or not len(data):
        raise ValueError(f"expected images, and at least one at a time, got {len(data)} and batch_size {batch_size}")
    n = min(len(data), num_images or len(data))
    baseline, told = _baseline(run, data, train_data)
    named = None if baseline is None else baseline.name
    compared = list(eval_cases(run.degradation, start_times, steps, named, conditional=run.condition is not None))
    sense = Perception("not measured")
    if features is not None:
        asked = features
        sense = main_process_first(
            lambda: choose_features(run, asked, training=train_data, images=n, progress=progress)
        )
        if sense.net is not None:
            broadcast_weights(sense.net)
    options: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "progress": progress}
    clean, kept = measure(
        run,
        data,
        compared,
        sense,
        baseline=baseline,
        images=n,
        quantize_inputs=quantize_inputs,
        iterate_chain=iterate_chain,
        **options,
    )
    sound = [bool(k.of("rmse").isfinite().all()) for k in kept]
    seen = [torch.cat(k.features) if sense.net and ok else None for k, ok in zip(kept, sound, strict=True)]
    kids = [None if features is None else kid(clean, features) for features in seen]
    fids = [None if features is None else fid(clean, features) for features in seen]
    generation = None
    if num_generated and run.prior is not None and train_data is not None:
        generation = check_generation(run, num_generated, train_data, data[:n], sense, **options)
    tried = _tried(compared, kept, kids)
    named = str(strip_paths(data.protocol).get("data", "images"))[: LONGEST_NAME // 2]
    if (split := data.protocol.get("split")) in ("train", "all"):
        named += f" ({split})"
    table = [told for told, ok in zip(zip(compared, kept, fids, kids, strict=True), sound, strict=True) if ok]
    lost = [f"{c.label} at t = {c.start:.2f}" for c, ok in zip(compared, sound, strict=True) if not ok]
    settings = recommend(tried, sense.measure)
    return Report(
        protocol=protocol_of(run, data, n, quantize_inputs, iterate_chain, seed)
        | told
        | ({"not finite": lost} if lost else {})
        | ({} if features is None else {"perception": sense.description})
        | ({"generation": "left out: the run has no prior"} if num_generated and run.prior is None else {}),
        rows=[_row(*told) for told in table],
        pictures=[
            ("clean", data[: min(PICTURED, n)]),
            *((c.label, torch.cat(k.pictures)) for c, k, *_ in table if c.start == compared[-1].start),
        ],
        conclusion=conclude(tried, sense.measure, sense.features),
        generation=generation,
        recommended=Recommended(settings, named) if settings else None,
    )


def _baseline(run: Run, data: ImageData, training: ImageData | None) -> tuple[Baseline | None, dict[str, str]]:
    """The classical restorer for these images, and what the protocol says of it; nothing where there is none."""
    kind, shape = kind_for(run.degradation), tuple(data.images.shape[1:])
    if kind is None or run.condition is not None:
        return None, {}
    own = run.baseline or baseline_for(run.degradation)
    if own is not None and own.fits(shape):
        return own, {"baseline": own.description}
    if training is not None and tuple(training.images.shape[1:]) == shape:
        return baseline_for(run.degradation, training), {"baseline": kind.description}
    why = "the run came without statistics, name its training images (--train-data)"
    if own is not None:
        why = f"it was fitted to images of another size than {shape[1]} x {shape[2]}"
    return None, {"baseline": f"{kind.name} left out: {why}"}


def _check(
    run: Run,
    data: ImageData,
    starts: Sequence[float],
    steps: Sequence[int],
    images: int | None,
    generated: int,
    training: ImageData | None,
) -> None:
    if images is not None and images < 1:
        raise ValueError(f"expected at least one image (--images), got {images}")
    if not starts:
        raise ValueError("expected at least one start (--start), got none")
    if not steps:
        raise ValueError("expected at least one number of steps (--steps), got none")
    if data.images.shape[1] != run.shape[0]:
        raise ValueError(f"the run takes {run.shape[0]} channels, the images have {data.images.shape[1]}")
    if generated < 0:
        raise ValueError(f"the number of images to generate (--num-generated) must be >= 0, got {generated}")
    if generated and run.prior is not None and training is None:
        raise ValueError(
            f"checking {generated} generated images needs the training images: name them with training (--train-data)"
        )


def _tried(compared: list[EvalCase], kept: list[CaseResult], kids: list[Tensor | None]) -> list[Outcome]:
    """What a user could do: nothing that knows the true params."""
    return [
        Outcome(
            c.method, c.start, k.calls, k.of("rmse"), k.of("lpips") if "lpips" in k.distances[0] else values, c.steps
        )
        for c, k, values in zip(compared, kept, kids, strict=True)
        if not c.oracle
    ]


def _row(cell: EvalCase, kept: CaseResult, fid: float | None, kid: Tensor | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "method": cell.method,
        "start": round(cell.start, 6),
        "steps": cell.steps,
        "calls": kept.calls,
        "oracle": cell.oracle,
    }
    row |= {name: asdict(metrics.summary(kept.of(name))) for name in kept.distances[0]}
    row["rmse"] = {"global": math.sqrt(float(kept.of("rmse").square().mean()))} | row["rmse"]
    if kid is not None:
        row |= {"fid": fid, "kid": with_error(kid)}
    return row


def _shown(value: Any, digits: int) -> str:
    """A number, one with its interval, or one with its standard error."""
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    if "std" in value:
        return f"{value['mean']:.{digits}f} ± {value['std']:.{digits}f}"
    return f"{value['mean']:.{digits}f} [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"


def _words(value: Any, key: str) -> str:
    """A value of the protocol as a person would write it."""
    if isinstance(value, dict):
        fields = {name: v for name, v in value.items() if name != "type" and v is not None}
        return ", ".join(f"{name} {' '.join(map(str, v)) if isinstance(v, list) else v}" for name, v in fields.items())
    if isinstance(value, list | tuple):
        return (" x " if key == "size" else ", ").join(map(str, value))
    return str(value)


def write_card(run: Run, report: Report) -> str:
    """What a measured training leaves in its folder: the files of `Report.save`, the default of its restores, its card.

    The card is RUN/README.md, with the table. Returns what `save_recommendation` says.
    """
    report.save(run.path, "report")
    stored = save_recommendation(run, report.recommended, report.protocol)
    shared = replace(report, protocol=strip_paths(report.protocol))
    told = replace(run, recommended=known_by_now(run))
    write_text(run.path / "README.md", model_card(told, shared.to_markdown(), report.rows, shared.protocol))
    return stored


def protocol_of(
    run: Run, data: ImageData, n: int, quantize_inputs: bool, iterate_chain: bool, seed: int
) -> dict[str, Any]:
    """Data, sizes, rounding, averages, params, network and seed; see `report.evaluate`."""
    return data.protocol | {
        "images": n,
        "input": ("rounded to 8-bit levels, not clipped" if quantize_inputs else "float32")
        + (", by the steps of the chain" if iterate_chain else ""),
        "output": "clipped to [0, 1], not rounded",
        "averaging": "global: one root mean square over all values; mean: per image, 95% normal interval",
        "ssim": f"Gaussian, sigma 1.5, {metrics.ssim_window(min(data.images.shape[2:]))} taps, borders left out",
        "params": _params(run),
        "network": run.R.used,
        "weights": f"averaged, step {run.config['step']}",
        "seed": seed,
    }


def _params(run: Run) -> str:
    degradation = run.degradation
    if run.condition is not None:
        return f"the restorer sees the picture, damaged by {run.condition.registered_name}, and starts from noise"
    if degradation.deterministic:
        return "none: the degradation is deterministic"
    if degradation.observable:
        return "read off the damaged picture; oracle rows use the true ones"
    if degradation.estimable:
        return "estimated from the first restorer call; oracle rows use the true ones"
    return "unknown: drawn anew for naive, improved is left out; oracle rows use the true ones"
