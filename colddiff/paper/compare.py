"""Methods beside each other: one network, data set, budget and set of seeds for all of them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.dataset import ImageData, load_data
from ..degradations.base import Degradation
from ..degradations.operators.gaussian_blur import GaussianBlur
from ..degradations.operators.iterated_blur import IteratedBlur
from ..degradations.schedules import Exponential
from ..evaluation import metrics
from ..evaluation.feature_ensemble import FeatureEnsemble, together, trained_ensemble
from ..evaluation.features import FEWEST, INSTALL_METRICS, features_of, fid
from ..evaluation.measure import PICTURED
from ..evaluation.memorization import nearest
from ..evaluation.rotation_classifier import FEWEST_TRAINING
from ..models.networks.unet import RestorerConfig
from ..models.run import Run
from ..models.serialization import load
from ..samplers.base import State
from ..samplers.generation import initial_state
from ..samplers.priors import LowresGMM
from ..samplers.sample import walk
from ..training.config import Size, TrainConfig
from ..training.setup import data_for, held_out_for, in_memory
from ..training.train import complete, trained
from ..utils.config import suggestion
from ..utils.distributed import pick_device
from ..utils.files import read_json
from ..utils.progress import Progress, event
from ..utils.rng import generator_for
from ..utils.statistics import MethodRow, SeedStats
from . import operators
from .comparison_table import Comparison, files_of
from .methods import GENERATING, RESTORING, Method

TAKES = 3  # of the first batch, of which the fastest tells the seconds: a machine is rarely disturbed three times


@dataclass(frozen=True)
class EvalSet:
    """What every method is measured on: the first test images (N, C, H, W), the same at t = 1 in 8 bits, the training
    images; the networks that see them and where, and of the clean ones the features and the mean distance from the
    nearest training image."""

    clean: Tensor
    damaged: Tensor
    training: ImageData
    net: FeatureEnsemble
    device: torch.device
    features: Tensor
    new: float


Walk = Iterator[State]


@dataclass(frozen=True)
class Task:
    """What methods are compared at.

    Args:
        methods: by name.
        goals: measures of the conclusion and the curves.
        steps: numbers of steps if nobody chose.
        degradation: from (C, H, W), if nobody chose.
        changes: settings of all its trainings with that degradation.
        walk: from run, sampler, steps, damaged images and generators.
        values: from images, their features and what they are measured on.
        before: what else is measured, with no call: (label, images).
        told: of the measures, for the protocol.
        from_prior: whether walks start from a prior, for the protocol.
    """

    methods: dict[str, Method]
    goals: tuple[str, ...]
    steps: tuple[int, ...]
    degradation: Callable[[tuple[int, ...]], Degradation]
    changes: dict[str, Any]
    walk: Callable[[Run, str, int, Tensor, list[torch.Generator]], Walk]
    values: Callable[[Tensor, Tensor, EvalSet], dict[str, float]]
    before: Callable[[EvalSet], tuple[str, Tensor]]
    description: dict[str, str]
    from_prior: bool = False


def _restored(run: Run, sampler: str, steps: int, y: Tensor, generators: list[torch.Generator]) -> Walk:
    return run.walk(y, start=1.0, steps=steps, sampler=sampler, generator=generators)


def _generated(run: Run, sampler: str, steps: int, y: Tensor, generators: list[torch.Generator]) -> Walk:
    assert run.prior is not None
    D, x = initial_state(run.degradation, run.prior, run.shape, generators, run.device)
    return walk(run.R, D, x, steps=steps, sampler=sampler, generator=generators)


def _distortion(images: Tensor, features: Tensor, on: EvalSet) -> dict[str, float]:
    rmse, ssim = metrics.rmse(images, on.clean), metrics.ssim(images, on.clean)
    kid = together(on.net.kids(on.features, features)).mean
    return {"rmse": float(rmse.square().mean().sqrt()), "ssim": float(ssim.mean()), "kid": kid}


def _likeness(images: Tensor, features: Tensor, on: EvalSet) -> dict[str, float]:
    kid = together(on.net.kids(on.features, features)).mean
    near = float(nearest(images, on.training, on.device).distance.mean())
    return {"kid": kid, "fid": fid(on.features, features), "nearest": near / max(on.new, 1e-9)}


def _paper_blur(shape: tuple[int, ...]) -> Degradation:
    return IteratedBlur() if shape[0] == 1 else operators.blur("Special_6_routine", 50, 11, 0.1)


def _wide_blur(shape: tuple[int, ...]) -> Degradation:
    """Heat, in widths that grow by equal ratios up to half the side."""
    return GaussianBlur(sigma_max=min(shape[1:]) / 2, border="symmetric", schedule=Exponential())


def _training_images(on: EvalSet) -> tuple[str, Tensor]:
    rows = torch.randperm(len(on.training), generator=generator_for("compared", "training"))[: len(on.clean)]
    return "training images", on.training[rows]


SEEN = "by three small networks trained on the training images (quarter turns); comparable within this table only"
# fmt: off
TASKS = {
    "deblur": Task(
        methods=RESTORING, goals=("rmse", "kid"), steps=(1, 2, 5, 10, 20), degradation=_paper_blur, changes={},
        walk=_restored, values=_distortion, before=lambda on: ("degraded", on.damaged.clamp(0, 1)),
        description={
            "RMSE": "one root mean square over all values of all images, in [0, 1]", "KID*": f"as seen {SEEN}",
        },
    ),
    "generate": Task(
        methods=GENERATING, goals=("kid", "fid"), steps=(5, 20, 50), degradation=_wide_blur,
        changes={"prior": LowresGMM()}, walk=_generated, values=_likeness, before=_training_images, from_prior=True,
        description={"KID*, FID*": f"from the test images, as seen {SEEN}",
              "nearest": "mean distance from the nearest training image, in that of the test images; 0 is a copy"},
    ),
}
# fmt: on


def compare(
    data: str, out: str | Path, *, task: str = "deblur", minutes: float = 10.0, seeds: Sequence[int] = (0, 1, 2),
    methods: Sequence[str] | None = None, steps: Sequence[int] | None = None, images: int = 500,
    image_size: int | None = None, size: Size = "5M", degradation: Degradation | None = None, batch_size: int = 100,
    device: str = "auto", progress: bool = True, restorer: RestorerConfig | None = None,
    training_steps: int | None = None,
) -> Comparison:  # fmt: skip
    """Train every method alike, and measure all on the same test images.

    A run per training and seed is left in `out`; those that are there are used, or gone on with, so that the same call
    continues what was interrupted.

    Args:
        data: what `load_data` takes; its test split is measured.
        out: folder for the runs.
        task: "deblur", which restores from any degradation, or "generate".
        minutes: of training, per run.
        seeds: of the trainings.
        methods: names in the task's methods; None takes all that suit the degradation.
        steps: numbers of restorer calls; None takes the task's.
        images: of the test split, from the first.
        image_size: side in pixels; None keeps the images as they are.
        size: of the network, see `TrainConfig`.
        degradation: what is undone; None takes the paper's blur, and for generation a wide one.
        batch_size: of sampling.
        device: "auto", "cpu", "cuda".
        progress: a line per run, and bars.
        restorer: a network instead of the U-Net of that size.
        training_steps: of each training, instead of minutes.

    Raises:
        LookupError: no such task or method. ValueError: numbers that make no comparison, or runs in `out` of other
        trainings. ModuleNotFoundError: torchmetrics is missing. What training and reading raise.
    """
    if task not in TASKS:
        raise LookupError(f"no task is named {task!r}{suggestion(task, TASKS)}; known: {', '.join(TASKS)}")
    of, out = TASKS[task], Path(out)
    counts = sorted({*(of.steps if steps is None else steps)})
    numbers = {"images": images, "minutes": minutes, "batch_size": batch_size, "steps": min(counts, default=0)}
    _check(of, methods, seeds, numbers)
    files_of(task, out)
    budget: dict[str, Any] = {"minutes": minutes} if training_steps is None else {"steps": training_steps}
    base = TrainConfig(
        data=data, out=str(out), degradation=IteratedBlur(), image_size=image_size, unet_size=size, restorer=restorer,
        device=device, estimate_time=False, **budget, **(of.changes if degradation is None else {}),
    )  # fmt: skip
    training = in_memory(data_for(base))
    test = load_data(data, split="test", size=image_size, colour=training.framing.colour)
    n, shape = min(images, len(test)), tuple(test.images.shape[1:])
    if n < FEWEST or len(training) < FEWEST_TRAINING:
        raise ValueError(f"KID needs {FEWEST} test and {FEWEST_TRAINING} training images, got {n} and {len(training)}")
    D = degradation or of.degradation(shape)
    chosen = _suited(of, methods, D)
    configs = {
        (m.training, seed): _config(base, m, D, min(shape[1:]), out / f"{task}-{m.training}-seed{seed}", seed)
        for seed in seeds for m in chosen.values()
    }  # fmt: skip
    told = _trained(configs, training, progress)
    on = _subject(D, test, training, n, out, pick_device(device), progress)
    rows, pictures = _measured(of, chosen, seeds, counts, configs, on, batch_size, progress)
    protocol = {
        "data": f"{data}, test split, the first {n} of {len(test)} images, {' x '.join(map(str, shape))}",
        "degradation": str(D),
        "training": f"{_worded(budget)} per run, {restorer or f'U-Net {size}'}, L1 unless said",
        "seeds": ", ".join(map(str, seeds)),
        "steps trained": ", ".join(f"{name} {' / '.join(map(str, found))}" for name, found in told.items()),
        "time": f"of {min(batch_size, n)} images at once on {pick_device(device)} in float32, the fastest of {TAKES}",
        "[lowest, highest]": f"of the seeds; chance alone sets two of them apart in {_chance(len(seeds)):.0%} of cases",
    }  # fmt: skip
    protocol |= of.description | _abouts(of, chosen, {m: configs[m, seeds[0]] for m in told})
    return Comparison(task, of.goals, rows, protocol, pictures)


# --- trainings -------------------------------------------------------------------------------------------------------


def _check(of: Task, methods: Sequence[str] | None, seeds: Sequence[int], numbers: dict[str, float]) -> None:
    for name in methods or ():
        if name not in of.methods:
            known = ", ".join(of.methods)
            raise LookupError(f"no method is named {name!r}{suggestion(name, of.methods)}; known: {known}")
    for name, value in numbers.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} must be > 0, got {value}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"expected different seeds, at least one, got {list(seeds)}")
    if find_spec("torchmetrics") is None:
        raise ModuleNotFoundError(INSTALL_METRICS)


def _suited(of: Task, methods: Sequence[str] | None, D: Degradation) -> dict[str, Method]:
    """The methods asked for, or all that can go with the degradation."""
    if D.required_params:
        raise ValueError(f"compare damages images itself, and {D.registered_name} needs {', '.join(D.required_params)}")
    known = D.deterministic or D.observable or D.estimable
    if not known and "improved" in (methods or ()):
        raise ValueError(
            f"improved needs params that cannot be read off a picture of {D.registered_name}: leave it out"
        )
    names = methods or [name for name in of.methods if known or name != "improved"]
    return {name: of.methods[name] for name in names}


def _config(base: TrainConfig, method: Method, D: Degradation, side: int, folder: Path, seed: int) -> TrainConfig:
    changes = method.changes | ({"condition": D} if method.beside else {})
    return replace(base, degradation=method.degradation(D, side), out=str(folder), seed=seed, **changes)


def _trained(configs: dict[tuple[str, int], TrainConfig], data: ImageData, progress: bool) -> dict[str, list[int]]:
    """Every run as it is found, gone on with, or made; and how many steps those of each training have.

    Raises:
        ValueError: a run of another training is there.
    """
    steps: dict[str, list[int]] = {}
    for config in configs.values():  # all, before hours of work
        complete(config)
    held_out = held_out_for(config, data.framing)
    for k, ((training, _), config) in enumerate(configs.items(), 1):
        if progress and not complete(config):
            event(f"training {k} of {len(configs)}: {Path(config.out).name}")
        steps.setdefault(training, []).append(trained(config, data, held_out, progress=progress).config["step"])
    return steps


# --- measurements ----------------------------------------------------------------------------------------------------


def _subject(
    D: Degradation, test: ImageData, training: ImageData, n: int, out: Path, device: torch.device, progress: bool
) -> EvalSet:
    clean = test[:n]
    net = trained_ensemble(training, out, device, progress=progress)
    y = D(clean, 1.0, D.draw_each(clean, [generator_for("compared", "damage", i) for i in range(n)]))
    new = float(nearest(clean, training, device).distance.mean())
    return EvalSet(clean, (y * 255).round() / 255, training, net, device, _seen(net, clean, device), new)


def _measured(
    of: Task, methods: dict[str, Method], seeds: Sequence[int], counts: Sequence[int],
    configs: dict[tuple[str, int], TrainConfig], on: EvalSet, batch_size: int, progress: bool,
) -> tuple[list[MethodRow], list[tuple[str, Tensor]]]:  # fmt: skip
    """The rows, and what the first seed made of the same images with most calls."""
    label, images = of.before(on)
    found = of.values(images, _seen(on.net, images, on.device), on)
    rows = [MethodRow(label, 0, 0.0, {name: SeedStats((value,)) for name, value in found.items()})]
    shown = {"clean": ("clean", on.clean), label: (label, images)}
    total = len(methods) * len(seeds)
    bar = Progress[None]((), "measuring", total, unit="runs", show=progress)
    for name, method in methods.items():
        cells: dict[int, list[tuple[float, dict[str, float]]]] = {}
        for seed in seeds:
            run = load(configs[method.training, seed].out, device=str(on.device), precision="fp32")
            levels = run.degradation.levels or max(counts)
            for steps in [1] if method.sampler == "one_shot" else sorted({min(k, levels) for k in counts}):
                images, calls, seconds = _made(of, run, method, steps, on, batch_size, seed)
                cells.setdefault(calls, []).append((seconds, of.values(images, _seen(on.net, images, on.device), on)))
                if seed == seeds[0]:
                    shown[name] = f"{name}, {calls}", images
            bar.update()
        for calls, each in cells.items():
            values = {key: SeedStats(tuple(found[key] for _, found in each)) for key in each[0][1]}
            rows.append(MethodRow(name, calls, statistics.median(seconds for seconds, _ in each), values))
    bar.close()
    return rows, [(label, images[:PICTURED]) for label, images in shown.values()]


def _made(
    of: Task, run: Run, method: Method, steps: int, on: EvalSet, batch_size: int, seed: int
) -> tuple[Tensor, int, float]:
    """What a run makes of all images, restorer calls, and seconds per image of the first batch."""
    made, seconds, n = list[Tensor](), list[float](), len(on.clean)
    for first in [0] * (TAKES - 1) + [*range(0, n, batch_size)]:
        part = range(first, min(first + batch_size, n))
        y = on.damaged[part.start : part.stop].to(run.device)
        generators = [generator_for(seed, "compared", i) for i in part]
        began, calls = time.perf_counter(), 0
        for state in of.walk(run, method.sampler, steps, y, generators):
            x, calls = state.x, calls + 1
        x = x.clamp(0, 1).cpu()  # waits for the device
        if first == 0:
            seconds.append((time.perf_counter() - began) / len(part))
            made = []
        made.append(x)
    return torch.cat(made), calls, min(seconds)


def _seen(net: FeatureEnsemble, images: Tensor, device: torch.device) -> Tensor:
    return torch.cat([features_of(net, part.to(device)) for part in torch.split(images, 500)])


def _abouts(of: Task, methods: dict[str, Method], configs: dict[str, TrainConfig]) -> dict[str, str]:
    """What each method is, and where it starts if it starts from a prior."""
    told = {name: m.about + ("; sees the damaged picture beside" if m.beside else "") for name, m in methods.items()}
    if not of.from_prior:
        return told
    priors = {name: read_json(Path(config.out) / "config.json")["prior"]["type"] for name, config in configs.items()}
    return {name: f"{about}; from {priors[methods[name].training]}" for name, about in told.items()}


def _chance(seeds: int) -> float:
    """That the ranges of so many draws from one distribution, twice, do not overlap."""
    return 2 / math.comb(2 * seeds, seeds) if seeds > 1 else 1.0


def _worded(budget: dict[str, Any]) -> str:
    return " ".join(f"{value:g} {name}" for name, value in budget.items())
