"""The model card of a run: what it is, how to use it, what was measured, and every setting."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..samplers.priors import Empirical
from ..utils.text import escape_markdown
from .recommended import FILE as RECOMMENDED
from .redaction import hub_dataset, strip_paths
from .run import Run

PAPER = "https://arxiv.org/abs/2208.09392"
METRICS = {"rmse": ("RMSE", "global"), "psnr": ("PSNR", "mean"), "ssim": ("SSIM", "mean"), "kid": ("KID", "mean")}


def model_card(
    run: Run,
    table: str | None,
    rows: Sequence[Mapping[str, Any]] = (),
    protocol: Mapping[str, Any] | None = None,
    *,
    repo: str | None = None,
    license: str | None = None,
) -> str:
    """README.md of a run, here or on the hub; no path of this machine is in it.

    Args:
        run: as it was loaded.
        table: what was measured and how, as Markdown, with report.png beside the card; None if nothing was.
        rows: the same as numbers, as in report.json.
        protocol: how they were measured, as there.
        repo: owner/name on the hub; the folder's name, if it is not there.
        license: one that the hub knows.
    """
    config, name = strip_paths(run.config), repo or run.path.name
    settings = {"training": config["training"], "data": config["data"]}
    return f"""---
{_header(run, config, rows, protocol or {}, name, license)}
---

# {escape_markdown(name.rpartition("/")[2])}: restorer of `{config["degradation"]["type"]}`

A [cold diffusion]({PAPER}) model of colddiff {config["version"]}: a network that undoes one degradation of images, and
that degradation.

{_usage(run, config, name, on_hub=repo is not None)}
## Measured

{_measured(table)}
## What to expect

{_limits(run, config)}
## The degradation, whole

{_json(config["degradation"])}
## The restorer

{_json(config["restorer"]) if config["restorer"] else "A network of its author's own: its code is not in this folder."}
## The prior, where generation starts

{_json(config["prior"]) if config["prior"] else "None: it restores, and does not generate."}
## The training

Step {config["step"]}; averaged weights.

{_json(settings)}"""


def _header(
    run: Run, config: dict[str, Any], rows: Sequence[Mapping[str, Any]], protocol: Mapping[str, Any], name: str,
    license: str | None,
) -> str:  # fmt: skip
    """The metadata that the hub reads, as YAML."""
    from huggingface_hub import ModelCardData

    dataset = hub_dataset(str(run.config["data"].get("data")))
    kind = config["degradation"]["type"]
    results = _results(rows, protocol, kind)
    data = ModelCardData(
        library_name="colddiff", pipeline_tag="image-to-image", license=license,
        datasets=[dataset] if dataset else None,
        tags=["colddiff", "cold-diffusion", "image-restoration", kind],
        model_name=name.rpartition("/")[2] if results else None, eval_results=results or None,
    )  # fmt: skip
    return str(data.to_yaml())


def _results(rows: Sequence[Mapping[str, Any]], protocol: Mapping[str, Any], kind: str) -> list[Any]:
    """What the network made of the most damaged images, for the hub's index; nothing that knew the true params."""
    from huggingface_hub import EvalResult

    told = strip_paths(dict(protocol))
    last = max((row["start"] for row in rows), default=None)
    return [
        EvalResult(
            task_type="image-to-image", task_name=f"undo {kind} from t = {last:.2f}",
            dataset_type=hub_dataset(str(protocol.get("data"))) or str(told["data"]), dataset_name=str(told["data"]),
            dataset_split=str(told["split"]) if "split" in told else None, metric_type=metric,
            metric_name=f"{title}, {row['method']}, calls: {row['calls']}", metric_value=round(row[metric][key], 6),
        )
        for row in rows if row["start"] == last and row["calls"] and not row["oracle"]
        for metric, (title, key) in METRICS.items() if row.get(metric)
    ]  # fmt: skip


def _usage(run: Run, config: dict[str, Any], name: str, *, on_hub: bool) -> str:
    given = "" if config["restorer"] else ", net=network"  # a network of its author's own
    where = "or the path of a copy" if on_hub else "the path of this folder"
    new = ["new = run.sample(16)"] if run.prior is not None and run.condition is None else []
    lines = [
        "import colddiff as cd",
        "",
        f'run = cd.load("{name}"{given})  # {where}',
        f"clean = run.restore(damaged)  # (B, {run.shape[0]}, H, W) in [0, 1]; paths, arrays, Pillow pictures, lists",
        *new,
    ]
    command = "" if given else f"\n    colddiff restore {name} damaged.png --out restored\n"
    return "```python\n" + "\n".join(lines) + f"\n```\n{command}{_recommended(run)}"


def _recommended(run: Run) -> str:
    """What a restore takes where nobody chose."""
    if run.recommended is None:
        return ""
    where = f"`{RECOMMENDED}`, measured on {escape_markdown(str(run.recommended))}"
    ways = "\n".join(f"- {line}" for line in run.recommended.lines(run.degradation.level_times()))
    return f"\nWhere neither sampler nor steps are given, `restore` takes ({where}):\n\n{ways}\n"


def _measured(table: str | None) -> str:
    if table is None:
        return "Nothing was measured of these weights.\n"
    return f"![rows of the same images, each restored in another way](report.png)\n\n{table}"


def _limits(run: Run, config: dict[str, Any]) -> str:
    """In words: what it has seen, and what it therefore cannot be expected to do."""
    data, training = config["data"], config["training"]
    channels, height, width = run.shape
    colour = {1: "one channel (grey)", 3: "three channels (colour)"}.get(channels, f"{channels} channels")
    number = f"{data['images']} images" if "images" in data else "images"
    source = escape_markdown(data.get("data", "unknown data"))
    split = f" (split {escape_markdown(data['split'])})" if "split" in data else ""
    batch = training.get("batch_size", 0) * training.get("grad_accumulation", 1)
    total = training.get("total_steps", config["step"])
    planned = f" of {total} that were planned" if total != config["step"] else ""
    batches = f", with batches of {batch} images" if batch else ""
    blind = [] if run.estimator is None else [f"How damaged a picture is it tells: {run.estimator.description}."]
    lines = [
        f"It was trained on {number} of {source}{split}, {height} x {width} pixels, "
        f"{colour}, for {config['step']} steps{planned}{batches}. It has seen nothing else: what it does with other "
        "subjects, or at another scale, nobody has measured.",
        "It undoes the degradation below and no other. A picture that was damaged in another way, or by more than that "
        "degradation does at t = 1, comes out wrong; one that is damaged less wants its `start` below 1.",
        *blind,
        "What the damage has destroyed it makes up: its output is no evidence of what was there.",
    ]
    if run.condition is not None:
        lines.append("It restores by generating beside the damaged picture: another seed gives another answer.")
    if isinstance(run.prior, Empirical):
        held = len(run.prior.tensors()["images"])
        lines.append(f"Generation starts from {held} of the training images, which are in `prior.safetensors`.")
    return "\n".join(f"- {line}" for line in lines) + "\n"


def _json(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2)}\n```\n"
