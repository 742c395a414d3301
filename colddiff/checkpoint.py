"""A trained model as a directory: config.json and safetensors, nothing that could be executed."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import convnext_unet as convnext_unet  # kinds of networks that a config may name
from . import diffusers_unet as diffusers_unet
from . import parametrization as parametrization
from . import resnet_unet as resnet_unet
from . import wiener_unet as wiener_unet
from .baselines import Baseline, baseline_for, baseline_from
from .degradations.base import Degradation
from .fast import pick_precision
from .files import read_json, write_json
from .priors import Fitted, Prior
from .processes import pick_device
from .run import Run
from .tensors import load_weights, read_tensors, write_tensors
from .unet import RestorerConfig

FORMAT = 2
SHIPPED = Path(__file__).parent / "shipped"
EXPECTED = ("version", "restorer", "degradation", "prior", "image", "data", "training", "precision", "step")


def shipped() -> list[str]:
    """The names of the runs that come with the library."""
    return sorted(file.parent.name for file in SHIPPED.glob("*/config.json"))


def load(
    path: str | Path, *, device: str = "auto", precision: str = "auto", compile: bool = False,
    net: nn.Module | None = None,
) -> Run:  # fmt: skip
    """The run in a directory.

    Args:
        path: what `train` wrote, or the name of one of the runs that come with the library: "digits".
        device: "auto", "cpu", "cuda", ...
        precision: "auto" (as trained, where the hardware has it), "fp32" or "bf16".
        compile: through torch.compile: minutes at the first call of each size, less time at every later one.
        net: a module for the weights, where the run was trained on one of the user's own.

    Raises:
        FileNotFoundError: not a run. ValueError, LookupError, TypeError: a config or weights that do not fit.
    """
    name, path = str(path), Path(path)
    if not (path / "config.json").is_file() and name in shipped():
        path = SHIPPED / name
    if not (path / "config.json").is_file():
        raise FileNotFoundError(
            f"{name!r} is not a run: it has no config.json; `colddiff train` makes one, and {', '.join(shipped())} "
            "comes with the library"
        )
    config = read_json(path / "config.json")
    if not isinstance(config, dict) or config.get("library") != "colddiff":
        raise ValueError(f"{str(path / 'config.json')!r} is not a colddiff run's config")
    if config.get("format") != FORMAT:
        found = config.get("format")
        cure = "upgrade colddiff" if isinstance(found, int) and found > FORMAT else "train it again"
        raise ValueError(f"{str(path)!r} has format {found}, this colddiff reads {FORMAT}: {cure}")
    missing = [key for key in EXPECTED if key not in config]
    if missing:
        raise ValueError(f"{str(path / 'config.json')!r} lacks {', '.join(missing)}: it is not as train wrote it")
    degradation = Degradation.from_config(config["degradation"])
    if net is None:
        if config["restorer"] is None:
            raise ValueError(f"{str(path)!r} was trained on a network of your own: pass it as load(path, net=...)")
        net = RestorerConfig.from_config(config["restorer"]).build()
    load_weights(net, path / "model.safetensors")
    prior = None
    if config["prior"] is not None:
        prior = Prior.from_config(config["prior"])
        if isinstance(prior, Fitted):
            prior = prior.with_tensors(read_tensors(path / "prior.safetensors"))
    where = pick_device(device)
    if precision == "auto" and config["precision"] == "fp32":
        precision = "fp32"  # trained so, or bf16 failed its gate
    chosen = pick_precision(precision, where)
    net = net.to(where, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    baseline, file = baseline_for(degradation), path / "baseline.safetensors"
    if file.is_file():
        try:
            baseline = baseline_from(degradation, read_tensors(file))
        except ValueError as error:  # no restore needs it
            warnings.warn(f"{error}: reports go without the classical restorer", stacklevel=2)
    return Run(net, degradation, prior, config, path, chosen, compile, baseline)


def save(
    run_dir: Path, weights: dict[str, Tensor], config: dict[str, Any], prior: Prior | None,
    baseline: Baseline | None = None,
) -> None:  # fmt: skip
    """Write weights, prior, baseline and config; the config last, so that what it describes is there."""
    write_tensors(run_dir / "model.safetensors", weights)
    if prior is not None and prior.tensors():
        write_tensors(run_dir / "prior.safetensors", prior.tensors())
    if baseline is not None and baseline.statistics:
        write_tensors(run_dir / "baseline.safetensors", baseline.statistics)
    header = {"library": "colddiff", "version": version("colddiff"), "format": FORMAT}
    write_json(run_dir / "config.json", header | config | {"prior": None if prior is None else prior.to_config()})
