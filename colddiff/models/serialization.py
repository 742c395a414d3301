"""A trained model as a directory: config.json and safetensors, nothing that could be executed."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn

from ..data.framing import Framing
from ..degradations.base import Degradation
from ..samplers.priors import Fitted, Prior
from ..samplers.sample import supports
from ..utils.config import Configurable, untrusted_names
from ..utils.distributed import pick_device
from ..utils.files import read_json, write_json
from ..utils.safetensors_io import check_memory, check_weights, load_weights, read_tensors, write_tensors
from .baselines import Baseline, baseline_for, baseline_from
from .hub import downloaded, is_model_name
from .networks.unet import RestorerConfig
from .precision import pick_precision
from .recommended import FILE as RECOMMENDED
from .recommended import Recommended, recommended_in
from .run import Run
from .time_estimator import FILE as TIME_ESTIMATOR
from .time_estimator import read_estimator

FORMAT = 2
SHIPPED = Path(__file__).parent / "pretrained"
MOST_CHANNELS, LONGEST_SIDE = 1024, 8192  # of the images that a run may be of
EXPECTED: dict[str, tuple[type, ...]] = {
    "version": (str,), "restorer": (dict, NoneType), "degradation": (dict,), "prior": (dict, NoneType),
    "image": (dict,), "data": (dict,), "training": (dict,), "precision": (str,), "step": (int,),
}  # fmt: skip
VERSION = re.compile(r"[\w.+!-]{1,40}", re.ASCII)
COUNTS = [
    ("data", "images"),
    ("training", "total_steps"),
    ("training", "batch_size"),
    ("training", "grad_accumulation"),
]
WORDS = ["data", "split"]  # of the data, where they are told
LATER: dict[str, type[Configurable]] = {
    "degradation": Degradation,
    "condition": Degradation,
    "restorer": RestorerConfig,
    "prior": Prior,
}


def shipped() -> list[str]:
    """The names of the runs that come with the library."""
    return sorted(file.parent.name for file in SHIPPED.glob("*/config.json"))


def load(
    path: str | Path, *, device: str = "auto", precision: str = "auto", compile: bool = False,
    net: nn.Module | None = None, trust_plugins: bool = False,
) -> Run:  # fmt: skip
    """The run in a directory, which anybody may have written: nothing in it is executed, and sizes are checked first.

    Args:
        path: what `train` wrote, the name of one of the runs that come with the library ("digits"), or owner/name of
            the Hugging Face hub, or owner/name@revision.
        device: "auto", "cpu", "cuda", ...
        precision: "auto" (as trained, where the hardware has it), "fp32" or "bf16".
        compile: through torch.compile: minutes at the first call of each size, less time at every later one.
        net: a module for the weights, where the run was trained on one of the user's own.
        trust_plugins: import installed plug-ins that the run names; else only what has been imported is known.

    Raises:
        FileNotFoundError: not a run, or not to be had. ValueError, LookupError, TypeError: a config or weights that do
            not fit.
    """
    name, path = str(path), Path(path)
    if not (path / "config.json").is_file() and name in shipped():
        path = SHIPPED / name
    elif not path.exists() and is_model_name(name):
        path = downloaded(name)
    if not (path / "config.json").is_file():
        raise FileNotFoundError(
            f"{name!r} is not a run: it has no config.json; `colddiff train` makes one, and {', '.join(shipped())} "
            "comes with the library"
        )
    config = read_config(path / "config.json")
    with untrusted_names(path / "config.json", trust_plugins=trust_plugins):
        degradation = Degradation.from_config(config["degradation"])
        spec = None if config["restorer"] is None else RestorerConfig.from_config(config["restorer"])
        prior = None if config["prior"] is None else Prior.from_config(config["prior"])
        for name, family in LATER.items():  # read when they are needed; names are looked up now
            if (told := config["training"].get(name)) is not None:
                family.from_config(told)
        if framing := config["data"].get("framing"):
            Framing.from_config(framing)
    net = _network(spec, path) if net is None else net
    load_weights(net, path / "model.safetensors")
    if isinstance(prior, Fitted):
        prior = prior.with_tensors(read_tensors(path / "prior.safetensors"))
    where = pick_device(device)
    if precision == "auto" and config["precision"] == "fp32":
        precision = "fp32"  # trained so, or bf16 failed its gate
    chosen = pick_precision(precision, where)
    net = net.to(where, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    baseline, estimator = baseline_for(degradation), None
    if (file := path / "baseline.safetensors").is_file():
        try:
            baseline = baseline_from(degradation, read_tensors(file))
        except ValueError as error:  # no restore needs it
            warnings.warn(f"{error}: reports go without the classical restorer", stacklevel=2)
    if (file := path / TIME_ESTIMATOR).is_file():
        try:
            estimator = read_estimator(file, config["image"]["channels"]).to(where)
        except ValueError as error:  # nor this
            warnings.warn(f"{error}: restores begin at t = 1 where nobody says how damaged a picture is", stacklevel=2)
    run = Run(net, degradation, prior, config, path, chosen, compile, baseline, estimator=estimator)
    if run.condition is not None or degradation.required_params:
        run = replace(run, estimator=None)  # as no training leaves one there
    return replace(run, recommended=recommended_for(run))


def recommended_for(run: Run) -> Recommended | None:
    """What the folder of a run recommends by now, of what the run can be walked with; see `recommended_in`."""
    conditional = run.condition is not None
    return recommended_in(run.path, lambda sampler: supports(sampler, run.degradation, conditional))


def read_config(file: Path) -> dict[str, Any]:
    """All of a run's config.json, whose parts are there and of their kind; names and fields are not looked up.

    Raises:
        FileNotFoundError: no such file. ValueError: what is not a run's config, or not of this format.
    """
    config = read_json(file)
    if not isinstance(config, dict) or config.get("library") != "colddiff":
        raise ValueError(f"{str(file)!r} is not a colddiff run's config: name a folder that `colddiff train` wrote")
    found = config.get("format")
    if found != FORMAT:
        cure = "upgrade colddiff" if isinstance(found, int) and found > FORMAT else "train it again"
        raise ValueError(f"{str(file.parent)!r} has format {repr(found)[:40]}, this colddiff reads {FORMAT}: {cure}")
    missing = [key for key in EXPECTED if key not in config]
    if missing:
        raise ValueError(f"{str(file)!r} lacks {', '.join(missing)}, it is not as train wrote it: copy it again")
    wrong = next(_wrong(config), None)
    if wrong is not None:
        key, value = wrong
        raise ValueError(
            f"{str(file)!r} is not as train wrote it: its {key} cannot be {repr(value)[:100]}; copy it again"
        )
    return config


def save(
    run_dir: Path, weights: dict[str, Tensor], config: dict[str, Any], prior: Prior | None,
    baseline: Baseline | None = None,
) -> None:  # fmt: skip
    """Write weights, prior, baseline and config; the config last, so that what it describes is there.

    What was recommended for other weights goes.
    """
    if os.path.lexists(run_dir / RECOMMENDED) and not _holds(run_dir / "model.safetensors", weights):
        (run_dir / RECOMMENDED).unlink()
    write_tensors(run_dir / "model.safetensors", weights)
    if prior is not None and prior.tensors():
        write_tensors(run_dir / "prior.safetensors", prior.tensors())
    if baseline is not None and baseline.statistics:
        write_tensors(run_dir / "baseline.safetensors", baseline.statistics)
    header = {"library": "colddiff", "version": version("colddiff"), "format": FORMAT}
    write_json(run_dir / "config.json", header | config | {"prior": None if prior is None else prior.to_config()})


# --- helpers ---------------------------------------------------------------------------------------------------------


def _holds(file: Path, weights: dict[str, Tensor]) -> bool:
    """Whether a file holds these very weights."""
    try:
        found = read_tensors(file)
    except (OSError, ValueError):
        return False
    return found.keys() == weights.keys() and all(
        found[name].dtype == value.dtype and torch.equal(found[name], value.detach().cpu())
        for name, value in weights.items()
    )


def _wrong(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parts of a config that cannot be what train wrote: strings where others are printed or counted with."""
    for key, kinds in EXPECTED.items():
        if not isinstance(config[key], kinds):
            yield key, config[key]
            return
    if not _is_shape(config["image"]):
        yield "image", config["image"]
    if not VERSION.fullmatch(config["version"]):
        yield "version", config["version"]
    counts = {"step": config["step"]} | {key: config[part][key] for part, key in COUNTS if key in config[part]}
    yield from ((key, value) for key, value in counts.items() if type(value) is not int or value < 0)
    yield from ((key, value) for key in WORDS if not isinstance(value := config["data"].get(key, ""), str))


def _is_shape(image: dict[str, Any]) -> bool:
    """Whether it is the channels and the size of images that there could be."""
    size = image.get("size")
    if not isinstance(size, list) or len(size) != 2:
        return False
    limits = (MOST_CHANNELS, LONGEST_SIDE, LONGEST_SIDE)
    sides = zip((image.get("channels"), *size), limits, strict=True)
    return all(type(side) is int and 1 <= side <= limit for side, limit in sides)


def _network(spec: RestorerConfig | None, path: Path) -> nn.Module:
    """The network of a config, built once the header of its weights has been found to fit: a config is quickly written.

    Raises:
        ValueError: it was trained on a network of the user's, or the file holds another.
    """
    if spec is None:
        raise ValueError(f"{str(path)!r} was trained on a network of your own: pass it as load(path, net=...)")
    sketch = None
    with contextlib.suppress(NotImplementedError, RuntimeError), torch.device("meta"):
        sketch = spec.build()  # that of a plug-in may look at values, and there are none
    if sketch is not None:
        check_weights(sketch, path / "model.safetensors")
        check_memory(path / "model.safetensors", copies=2)
    return spec.build()
