"""Weight files of the official Cold Diffusion implementation, as runs."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.framing import Framing
from ..degradations.operators.iterated_blur import IteratedBlur
from ..models.networks.paper_unet import STEPS, OfficialConfig
from ..models.run import Run
from ..models.serialization import load, save
from ..samplers.priors import Fitted, Prior
from ..training.config import TrainConfig

EXPECTED = ("step", "model", "ema")
NETWORK = "denoise_fn."  # where upstream's diffusion object keeps its network
RENAMED = {".fn": "", ".downsample.": ".resize.", ".upsample.": ".resize."}  # parts of upstream's names, and ours
KERNELS = "gaussian_kernels."
TABLES = ("betas", "alphas_cumprod")  # of T numbers, where the file has them
KERNEL_TOLERANCE = 1e-6


def import_official(file: str | Path, preset: TrainConfig, out: str | Path) -> Run:
    """Make a run of a weight file that the official implementation wrote; nothing in the file is executed.

    Its averaged weights are taken, which are what it samples with. Such a file holds no settings: what its network is,
    and what it was trained to undo, must be told, and is checked as far as the file shows it.

    Args:
        file: `{step, model, ema}`, as upstream's trainer saves it.
        preset: what the file is: degradation, restorer (`convnext_unet` or `resnet_unet`, with channels), image_size,
            prior. A prior that is to be fitted to data must have been; else the run restores, and does not generate.
        out: the run's directory, new or empty.

    Raises:
        FileNotFoundError: no such file. ValueError: a file that is not such a checkpoint or needs code to be read,
        weights or kernels that do not fit the preset, a preset that lacks something, an `out` in use.
    """
    file, out = Path(file), Path(out)
    restorer, size = _network_and_size(preset)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{str(out)!r} is there already: give a new folder for the run")
    step, tensors = _read(file)
    weights = {name: t for name, t in tensors.items() if name.startswith(NETWORK)}
    others = {name: t for name, t in tensors.items() if name not in weights}
    weights = _fitting(weights, restorer, file)
    _check_steps(others, preset, restorer.num_steps or STEPS, file)
    _check_kernels(others, preset, restorer.channels or 3, file)
    save(out, weights, _config(preset, restorer, size, step, _describe(file, step, others)), _prior(preset))
    return load(out)


# --- the file --------------------------------------------------------------------------------------------------------


def _read(file: Path) -> tuple[int, dict[str, Tensor]]:
    """Upstream's step, and the averaged tensors of its diffusion object by name."""
    if not file.is_file():
        raise FileNotFoundError(f"{str(file)!r} is {'a folder' if file.is_dir() else 'not there'}: give a .pt file")
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as packed:
                if sum(record.file_size for record in packed.infolist()) > file.stat().st_size:
                    raise ValueError("it unpacks to more than it is")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says of pickles that it refuses is said below
            saved = torch.load(file, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError:
        raise ValueError(
            f"{str(file)!r} is not read: it is no PyTorch checkpoint, or holds more than tensors and numbers, which "
            "could execute code"
        ) from None
    except Exception as error:  # whatever the reader stumbles over in a file that is cut short
        line = f"{type(error).__name__} {error}".partition("\n")[0][:100].strip()
        raise ValueError(f"{str(file)!r} is not a readable checkpoint, download it again ({line})") from None
    found = sorted(map(str, saved)) if isinstance(saved, dict) else [type(saved).__name__]
    if not isinstance(saved, dict) or any(key not in saved for key in EXPECTED):
        raise ValueError(
            f"{str(file)!r} is not of the official trainer: expected {', '.join(EXPECTED)}, got {_few(found)}"
        )
    step, ema = saved["step"], saved["ema"]
    fits = isinstance(ema, dict) and all(isinstance(k, str) and _plain(v) for k, v in ema.items())
    if type(step) is not int or step < 0 or not fits:
        raise ValueError(
            f"{str(file)!r} is not of the official trainer: its step is no number, or its ema no plain tensors"
        )
    tensors = {name.removeprefix("module."): tensor.detach() for name, tensor in ema.items()}
    if not any(name.startswith(NETWORK) for name in tensors):
        raise ValueError(f"{str(file)!r} holds no network: expected tensors {NETWORK}*, got {_few(sorted(tensors))}")
    return step, tensors


def _plain(value: object) -> bool:
    """Whether it is a tensor of real numbers that are there: neither sparse, quantized, complex nor on no device."""
    if not isinstance(value, Tensor) or value.is_quantized or value.is_complex():
        return False
    return value.layout == torch.strided and value.device.type == "cpu"


def _fitting(weights: dict[str, Tensor], restorer: OfficialConfig, file: Path) -> dict[str, Tensor]:
    """The network's weights by our names; all of them, in the shapes of the network."""
    found = {}
    for name, tensor in weights.items():
        name = name.removeprefix(NETWORK)
        for theirs, ours in RENAMED.items():
            name = name.replace(theirs, ours)
        if name in found:
            raise ValueError(f"{str(file)!r} holds two tensors for {name}: it is not of the official trainer")
        found[name] = tensor
    with torch.device("meta"):
        expected = restorer.build().state_dict()
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is unexpected" for name in found if name not in expected]
    wrong += [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    if wrong:
        kind = restorer.registered_name
        raise ValueError(f"the weights in {str(file)!r} are not those of the preset's {kind}: {_few(wrong)}")
    found = {name: tensor.float() for name, tensor in found.items()}  # of those shapes alone: another may be endless
    if not all(bool(tensor.isfinite().all()) for tensor in found.values()):
        raise ValueError(f"the weights in {str(file)!r} are not all finite: take another file")
    return found


# --- what the file shows of the degradation --------------------------------------------------------------------------


def _check_steps(others: dict[str, Tensor], preset: TrainConfig, num_steps: int, file: Path) -> None:
    """Raise where the file tells another number of steps than the preset."""
    levels = preset.degradation.levels
    if levels not in (None, num_steps):
        raise ValueError(
            f"the preset's degradation has {levels} steps, its restorer {num_steps}: they must be one number"
        )
    for name in TABLES:
        if name in others and others[name].numel() != num_steps:
            raise ValueError(f"{str(file)!r} is of {others[name].numel()} steps, the preset of {num_steps}")


def _check_kernels(others: dict[str, Tensor], preset: TrainConfig, channels: int, file: Path) -> None:
    """Raise where the file's blur kernels are not those of the preset: number, size and values."""
    found = {name: t for name, t in others.items() if name.startswith(KERNELS)}
    if not found:
        return
    if not isinstance(preset.degradation, IteratedBlur):
        name = preset.degradation.registered_name
        raise ValueError(f"{str(file)!r} holds {len(found)} blur kernels, the preset undoes {name}: take one of a blur")
    rows = preset.degradation.kernels()
    steps, size = rows.shape
    if found.keys() != {f"{KERNELS}{i}.weight" for i in range(steps)}:
        raise ValueError(f"{str(file)!r} holds {len(found)} blur kernels, the preset has {steps} steps")
    for i, row in enumerate(rows):
        kernel, shape = found[f"{KERNELS}{i}.weight"], (channels, 1, size, size)
        if kernel.shape != shape:
            raise ValueError(
                f"blur kernel {i} in {str(file)!r} is {tuple(kernel.shape)}, expected {shape} by the preset"
            )
        off = float((kernel.double() - torch.outer(row, row)).abs().max())
        if not off <= KERNEL_TOLERANCE:
            raise ValueError(f"blur kernel {i} in {str(file)!r} is {off:.2g} off the preset's: it is another blur")


# --- the run ---------------------------------------------------------------------------------------------------------


def _network_and_size(preset: TrainConfig) -> tuple[OfficialConfig, int]:
    """What a preset must tell."""
    restorer, size = preset.restorer, preset.image_size
    if not isinstance(restorer, OfficialConfig) or restorer.channels is None or size is None:
        raise ValueError(
            "a preset needs an image_size and a restorer convnext_unet or resnet_unet with channels, got "
            f"image_size={size} and {restorer}"
        )
    if restorer.num_steps is None:
        restorer = replace(restorer, num_steps=preset.degradation.levels or STEPS)
    return restorer, size


def _prior(preset: TrainConfig) -> Prior | None:
    """The preset's prior, or the degradation's own; None, with a warning, where there is none or it was not fitted."""
    own = preset.degradation.prior
    prior = preset.prior or (None if own is None else Prior.from_config(own))
    if prior is None or (isinstance(prior, Fitted) and prior.fitted is None):
        name = "no prior" if prior is None else f"a prior {prior.registered_name} that was not fitted"
        warnings.warn(
            f"the preset has {name}: the run restores, and does not generate; give it one with TYPE.fit(images)",
            stacklevel=3,
        )
        return None
    return prior


def _describe(file: Path, step: int, others: dict[str, Tensor]) -> str:
    """Where the weights are from, for the run's config."""
    kinds = Counter(name.partition(".")[0] for name in others)
    ignored = ", ".join(f"{name} ({n})" if n > 1 else name for name, n in kinds.items())
    return (
        f"imported from {file.name}; upstream's step {step}, averaged weights; not taken over: {ignored or 'nothing'}"
    )


def _config(preset: TrainConfig, restorer: OfficialConfig, size: int, step: int, told: str) -> dict[str, Any]:
    """All of config.json: pictures are read by the preset's rule, the training is the preset's."""
    channels, square = restorer.channels or 3, [size, size]
    colour = {1: "grey", 3: "rgb"}.get(channels, "auto")
    framing = Framing.from_config(
        {"type": "framing", "size": size, "fit": preset.resize_mode, "colour": colour, "background": preset.background}
    )
    data = {"data": preset.data, "split": preset.split, "size": square, "channels": channels}
    return {
        "restorer": restorer.to_config(),
        "degradation": preset.degradation.to_config(),
        "image": {"channels": channels, "size": square},
        "data": data | {"origin": told, "framing": framing.to_config()},
        "training": preset.to_config() | {"total_steps": step},
        "precision": "fp32",
        "step": step,
    }


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
