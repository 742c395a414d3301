"""How real images look: feature networks, and distances between sets of images as they see them."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from ..data.dataset import ImageData
from ..models.hub import is_cached
from ..models.run import Run
from ..models.serialization import SHIPPED
from ..utils.config import suggestion
from ..utils.numerics import exact_matmul
from ..utils.safetensors_io import load_weights, write_tensors
from .rotation_classifier import FEWEST_TRAINING, RotationClassifier, train_classifier

NAMES = ("auto", "classifier", "inception", "lpips")
FILE = "features.safetensors"  # in a run's folder: the classifier that its evaluations share
INSTALL_METRICS = 'FID and KID need torchmetrics, which is not installed: pip install "colddiff[metrics]"'

FEWEST = 4  # images in a set
LARGEST_KERNEL = 3000  # images that KID compares, at most
SMALLEST_SIDE = 32  # pixels that LPIPS needs


@dataclass(frozen=True)
class Perception:
    """How perception is measured.

    Args:
        told: what it is, or why it is left out, for the protocol.
        features: the feature network in a few words.
        net: (B, C, H, W) in [0, 1] -> (B, F) for FID and KID, or None.
        lpips: (B, C, H, W) twice -> (B,), or None.
    """

    description: str
    features: str = ""
    net: nn.Module | None = None
    lpips: Callable[[Tensor, Tensor], Tensor] | None = None

    @property
    def measure(self) -> str | None:
        return "KID" if self.net is not None else "LPIPS" if self.lpips is not None else None


def choose_features(
    run: Run, asked: str | nn.Module, *, training: ImageData | None = None, images: int, progress: bool = True
) -> Perception:
    """What measures the perception of a run's images.

    Args:
        run: what is measured; a trained classifier is saved with it.
        asked: "auto" (the saved classifier, else a new one), "classifier", "inception", "lpips", or a module of your
            own (B, C, H, W) -> (B, num_features).
        training: images to train the classifier on.
        images: how many will be measured.
        progress: show a bar.

    Raises:
        LookupError: no such name. ModuleNotFoundError: what was asked for by name is not installed. ValueError: too
        few images, or none to train on; "auto" says so in `told` instead. OSError: no weights.
    """
    if isinstance(asked, str) and asked not in NAMES:
        raise LookupError(f"no perception is named {asked!r}{suggestion(asked, NAMES)}; known: {', '.join(NAMES)}")
    if asked == "lpips":
        return Perception("LPIPS (AlexNet) per image, 95% normal interval", lpips=_lpips(run))
    if asked != "auto":
        return _with_features(run, asked, training, images, progress)
    try:
        return _with_features(run, "classifier", training, images, progress)
    except (ModuleNotFoundError, _Unmeasurable) as error:
        return Perception(f"left out: {error}")


def wants_training(run: Run, asked: str | None) -> bool:
    """Whether `choose` would train a classifier if it had images."""
    return asked in ("auto", "classifier") and not _saved(run) and find_spec("torchmetrics") is not None


def not_ours_to_write(run: Run) -> str:
    """Why nothing is written into the folder of a run, which is the library's or the hub's cache; or nothing."""
    if run.path.resolve().is_relative_to(SHIPPED.resolve()):
        return "the run comes with the library"
    return "the run comes from the hub" if is_cached(run.path) else ""


def why_not_saved(run: Run) -> str:
    """Why what an evaluation found cannot be kept with a run; or nothing."""
    there = (run.path / "config.json").is_file() and os.access(run.path, os.W_OK)
    return not_ours_to_write(run) or ("" if there else "the run has no folder that can be written")


@torch.no_grad()
@exact_matmul()
def features_of(net: nn.Module, images: Tensor) -> Tensor:
    """Features (B, F) of images (B, C, H, W), on the CPU in float64; computed in full float32 on every device."""
    found: Tensor = net(images)
    return found.double().cpu()


def fid(real: Tensor, other: Tensor) -> float:
    """Frechet distance between Gaussians fitted to two sets of features, (N, F) and (M, F).

    Source: Heusel et al. 2017. It is biased upwards where images are few: compare sets of one size only.
    """
    metric = _quietly(
        lambda: import_module("torchmetrics.image.fid").FrechetInceptionDistance(
            _Given(real.shape[1]),
            sync_on_compute=False,  # every process has all features
        )
    )
    metric.update(real, real=True)
    metric.update(other, real=False)
    return max(0.0, float(metric.compute()))


def kid(real: Tensor, other: Tensor) -> Tensor:
    """Kernel distance between two sets of features, (N, F) and (M, F), as one number per image: (min(N, M),), float64.

    Their mean is the unbiased estimate and its standard error that of a mean, so that methods are compared image by
    image. No image is compared with the one of the same position, which may have been made from it: that would make
    the distance too small.

    Source: Binkowski et al. 2018 for the kernel; Gretton et al. 2012, equation 4, for the estimate; the numbers are
    the pseudo-values of its jackknife.
    """
    n = min(len(real), len(other), LARGEST_KERNEL)
    x, y = real[:n], other[:n]
    kernel = _quietly(lambda: import_module("torchmetrics.image.kid")).poly_kernel
    across = kernel(x, y)
    h: Tensor = (kernel(x, x) + kernel(y, y) - across - across.mT).fill_diagonal_(0)
    rows = h.sum(dim=1)
    total = rows.sum()
    without = (total - 2 * rows) / ((n - 1) * (n - 2))
    return total / (n - 1) - (n - 1) * without


def with_error(values: Tensor) -> dict[str, float]:
    """The mean of `kid`'s numbers, and its standard error as "std"."""
    return {"mean": float(values.mean()), "std": float(values.std()) / len(values) ** 0.5}


# --- helpers ---------------------------------------------------------------------------------------------------------


class _Unmeasurable(ValueError):
    """Why "auto" leaves perception out."""


class _Given(nn.Module):
    """The feature network of features that are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


class _Inception(nn.Module):
    """torchmetrics' Inception of FID as everybody reports it: 8-bit colour images, scaled to 299 x 299."""

    num_features = 2048

    def __init__(self) -> None:
        super().__init__()
        self.net = _quietly(lambda: import_module("torchmetrics.image.fid").FrechetInceptionDistance(2048).inception)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.net((_coloured(x) * 255).round().to(torch.uint8))
        return found


def _with_features(
    run: Run, asked: str | nn.Module, training: ImageData | None, images: int, progress: bool
) -> Perception:
    if find_spec("torchmetrics") is None:
        raise ModuleNotFoundError(INSTALL_METRICS)
    if images < FEWEST:
        raise _Unmeasurable(f"FID and KID compare sets: expected at least {FEWEST} images, got {images}")
    if isinstance(asked, nn.Module):
        if not isinstance(getattr(asked, "num_features", None), int):
            raise TypeError(f"a feature network says its num_features, {type(asked).__name__} does not")
        name, net, more = f"your own {type(asked).__name__}", copy.deepcopy(asked), ""
    elif asked == "inception":
        name, net, more = "Inception of torch-fidelity", inception(run), ""
    else:
        net, saved = _classifier(run, training, progress)
        name = "a small classifier trained on this data set"
        more = (
            f"; it tells quarter turns of held-out images with accuracy {float(net.accuracy):.0%}, chance 25%, {saved}"
        )
    first = f" of the first {LARGEST_KERNEL} images" if images > LARGEST_KERNEL else ""
    told = f"FID (depends on the number of images) and KID{first} (unbiased, with standard error); features: {name}"
    return Perception(told + more, features=name, net=net.to(run.device).eval())


def _classifier(run: Run, training: ImageData | None, progress: bool) -> tuple[RotationClassifier, str]:
    """The classifier saved with a run, else a new one, saved; and where it is."""
    file = run.path / FILE
    if _saved(run):
        net = RotationClassifier(run.shape[0])
        load_weights(net, file)
        return net, f"saved as {FILE} of the run"
    if training is None:
        raise _Unmeasurable("no classifier is saved with the run, and there are no training images to train one on")
    if len(training) < FEWEST_TRAINING:
        raise _Unmeasurable(f"a classifier needs at least {FEWEST_TRAINING} training images, got {len(training)}")
    net = train_classifier(training, run.device, progress=progress)
    if why := why_not_saved(run):
        return net, f"not saved, as {why}"
    write_tensors(file, net.state_dict())
    return net, f"saved as {FILE} of the run"


def _saved(run: Run) -> bool:
    return (run.path / FILE).is_file()


def inception(run: Run) -> nn.Module:
    """Inception as FID is reported with: (B, 1 or 3, H, W) -> (B, 2048).

    Raises:
        ModuleNotFoundError: torch-fidelity is not installed. OSError: its weights cannot be had.
    """
    _check_colours(run, "inception")
    try:
        return _Inception()
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'perception "inception" needs torch-fidelity, which is not installed: pip install "colddiff[perceptual]", '
            'or take "classifier"'
        ) from None
    except (OSError, RuntimeError) as error:
        raise OSError(
            f'perception "inception" needs its weights, which are downloaded once: {error}; connect, or take '
            '"classifier"'
        ) from None


def _lpips(run: Run) -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS of pairs of images."""
    _check_colours(run, "lpips")
    try:
        net = _quietly(lambda: import_module("lpips").LPIPS(net="alex", verbose=False)).to(run.device).eval()
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'perception "lpips" needs lpips, which is not installed: pip install "colddiff[perceptual]", '
            'or take "classifier"'
        ) from None
    except (OSError, RuntimeError) as error:
        raise OSError(
            f'perception "lpips" needs AlexNet, which is downloaded once: {error}; connect, or take "classifier"'
        ) from None

    @torch.no_grad()
    @exact_matmul()
    def distance(a: Tensor, b: Tensor) -> Tensor:
        zoom = -(-SMALLEST_SIDE // min(a.shape[-2:]))
        a, b = (_coloured(x).repeat_interleave(zoom, -1).repeat_interleave(zoom, -2) for x in (a, b))
        found: Tensor = net(a, b, normalize=True)
        return found.flatten().double()

    return distance


def _quietly(make: Callable[[], Any]) -> Any:
    """What `make` makes, without the warnings that other libraries have for their developers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def _check_colours(run: Run, name: str) -> None:
    if run.shape[0] not in (1, 3):
        raise ValueError(f'perception "{name}" takes 1 or 3 channels, got {run.shape[0]}: take "classifier"')


def _coloured(x: Tensor) -> Tensor:
    return x.expand(-1, 3, -1, -1)
