"""Feature networks that were trained apart, and what they agree on: perception where Inception cannot be had."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data.dataset import ImageData
from ..models.run import Run
from ..utils.rng import seed_for
from ..utils.safetensors_io import load_weights, write_tensors
from .features import FEWEST, INSTALL_METRICS, Perception, inception, kid
from .metrics import Summary, summary
from .rotation_classifier import RotationClassifier, train_classifier

NUMBER = 3
INSIDE = "ensemble-{:016x}-{}.safetensors"  # in the folder that they are kept in


class FeatureEnsemble(nn.Module):
    """Several feature networks as one: the features of all, (B, sum of F), side by side."""

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.widths = [int(net.num_features) for net in nets]  # type: ignore[arg-type]
        self.num_features = sum(self.widths)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([net(x) for net in self.nets], dim=1)

    def kids(self, real: Tensor, other: Tensor) -> list[Tensor]:
        """`features.kid` of two sets of features as each network sees them: one number per image, (N,) each."""
        pairs = zip(torch.split(real, self.widths, dim=1), torch.split(other, self.widths, dim=1), strict=True)
        return [kid(a, b) for a, b in pairs]


def trained_ensemble(
    training: ImageData, folder: Path, device: torch.device, *, progress: bool = True
) -> FeatureEnsemble:
    """Three classifiers of quarter turns, trained on those images from different weights; kept in a folder.

    Each data set has its own there.
    """
    nets, key = [], seed_for("judges", str(training.protocol.get("data")), *training.images.shape)
    for i in range(NUMBER):
        file = folder / INSIDE.format(key, i)
        if file.is_file():
            net = RotationClassifier(training.images.shape[1])
            load_weights(net, file)
        else:
            net = train_classifier(training, device, seed=i, progress=progress)
            write_tensors(file, net.state_dict())
        nets.append(net.to(device).eval())
    return FeatureEnsemble(nets)


def feature_sense(features: str, run: Run, training: ImageData, out: Path, progress: bool) -> Perception:
    """Inception where it was asked for ("inception") or can be had ("auto"); else three networks ("ensemble").

    Its net is `FeatureEnsemble` either way.

    Args:
        features: which.
        run: whose images are to be seen.
        training: what three networks are trained on.
        out: the folder that they are kept in.
        progress: show a bar.
    """
    if features not in ("auto", "inception", "ensemble"):
        raise LookupError(f"features must be auto, inception or ensemble, got {features!r}")
    if features != "ensemble":
        try:
            net = FeatureEnsemble([inception(run)]).to(run.device).eval()
            return Perception("Inception of torch-fidelity, as published numbers", "Inception", net)
        except (OSError, ModuleNotFoundError) as error:
            if features == "inception":
                raise
            why = str(error).split(":")[0]
            warnings.warn(f"{why}: FID and KID see three networks trained on this data set instead", stacklevel=3)
    judged = trained_ensemble(training, out, run.device, progress=progress)
    told = (
        "not comparable with published FID: features of three small networks trained apart on this data set's training "
        "images (quarter turns); FID over all of them, KID the mean over them of the first 3,000 images, with the 95% "
        "interval over images"
    )
    return Perception(told, "three networks", judged)


def check_images(images: int | None) -> None:
    """Raise, before hours of work, where so many images cannot be judged, or nothing can.

    Raises:
        ValueError: too few. ModuleNotFoundError: torchmetrics is not installed.
    """
    if images is not None and images < FEWEST:
        raise ValueError(f"FID and KID compare sets: expected at least {FEWEST} images, got {images}")
    if find_spec("torchmetrics") is None:
        raise ModuleNotFoundError(INSTALL_METRICS)


def together(kids: Sequence[Tensor]) -> Summary:
    """One distance from those of several networks: the mean of the numbers of each image, with its 95% interval."""
    return summary(torch.stack([*kids]).mean(dim=0))


@dataclass(frozen=True)
class Direction:
    """Whether one way of restoring looks more real than another, and is further from the truth, as published.

    Args:
        perception: by each network: the KID of the first less that of the second, with its 95% interval.
        distortion: the RMSE of the first less that of the second, the mean over images with its 95% interval.
    """

    perception: tuple[Summary, ...]
    distortion: Summary

    @property
    def answer(self) -> str:
        """ "yes" where every network and the RMSE say so, "no" where all say the opposite of either half."""
        if all(d.high < 0 for d in self.perception) and self.distortion.low > 0:
            return "yes"
        if all(d.low > 0 for d in self.perception) or self.distortion.high < 0:
            return "no"
        return "inconclusive"

    def __str__(self) -> str:
        seen = ", ".join(_shown(d) for d in self.perception)
        return f"{self.answer} (KID differs by {seen}; RMSE by {_shown(self.distortion)})"


def direction(first: Sequence[Tensor], second: Sequence[Tensor], first_rmse: Tensor, second_rmse: Tensor) -> Direction:
    """The direction of two ways, by the numbers per image of `FeatureEnsemble.kids` and the RMSE (N,) of each."""
    differences = tuple(summary(a - b) for a, b in zip(first, second, strict=True))
    return Direction(differences, summary(first_rmse - second_rmse))


def _shown(value: Summary) -> str:
    return f"{value.mean:+.4f} [{value.low:+.4f}, {value.high:+.4f}]"
