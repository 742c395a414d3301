"""A small classifier of quarter turns, whose features tell images apart that no label describes."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import ImageData
from ..data.splits import held_out
from ..utils.numerics import exact_matmul
from ..utils.progress import Progress

STEPS = 300
BATCH = 32  # images, each in four turns
LR = 4e-3
DITHER = 0.03  # noise in training: what nobody sees must not tell how an image was turned
CROP = 64  # pixels: larger images are learned from by their parts
CHECKED = 1000  # images for the scale of the features, and as many held out for the accuracy, at most
FEWEST_TRAINING = 20  # images


class RotationClassifier(nn.Module):
    """Tells by how many quarter turns an image was rotated; its features are what it saw, averaged over the image.

    Source: Gidaris et al. 2018, "Unsupervised representation learning by predicting image rotations". The features
    are the spatial averages of all layers, so that fine texture counts too, in standard deviations of the training
    images' features.

    Args:
        channels: of the images.
    """

    widths = (16, 32, 64)
    num_features = sum(widths)

    accuracy: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        sizes = (channels, *self.widths)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride, 1), nn.GroupNorm(8, b), nn.ReLU())
            for a, b, stride in zip(sizes, self.widths, (1, 2, 2), strict=False)
        )
        self.head = nn.Linear(self.widths[-1], 4)
        for name, value in (("accuracy", 0.0), ("mean", 0.0), ("std", 1.0)):
            self.register_buffer(name, torch.full(() if name == "accuracy" else (self.num_features,), value))

    def forward(self, x: Tensor) -> Tensor:
        return (torch.cat(self._averages(x), dim=1) - self.mean) / self.std

    def logits(self, x: Tensor) -> Tensor:
        """One number per quarter turn: (B, 4)."""
        answer: Tensor = self.head(self._averages(x)[-1])
        return answer

    def _averages(self, x: Tensor) -> list[Tensor]:
        x, averages = 2 * x - 1, []
        for layer in self.layers:
            x = layer(x)
            averages.append(x.mean(dim=(2, 3)))
        return averages


@exact_matmul()
def train_classifier(
    training: ImageData, device: torch.device, *, seed: int = 0, progress: bool = True
) -> RotationClassifier:
    """A classifier of quarter turns from at least FEWEST_TRAINING training images: on a CPU, the same every time."""
    rows = held_out(len(training), "train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = RotationClassifier(training.images.shape[1]).to(device)
    optimizer = torch.optim.AdamW(net.parameters())
    draw = torch.Generator().manual_seed(seed)
    bar = Progress(range(STEPS), "training the feature classifier", unit="step", show=progress)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = LR * min(1, (step + 1) / 30) * (1 + math.cos(math.pi * step / STEPS)) / 2
        x, turns = _turned(_cropped(training[rows[torch.randint(len(rows), (BATCH,), generator=draw)]], draw))
        x = x + DITHER * torch.randn(x.shape, generator=draw)
        with torch.enable_grad():
            loss = F.cross_entropy(net.logits(x.to(device)), turns.to(device))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
        optimizer.step()
    _finish(net.eval().requires_grad_(False), training, rows, device)
    return net


# --- helpers ---------------------------------------------------------------------------------------------------------


def _cropped(x: Tensor, draw: torch.Generator | None = None) -> Tensor:
    """A square of at most CROP pixels of every image: somewhere, or the centre."""
    side = min(*x.shape[-2:], CROP)
    room = [full - side for full in x.shape[-2:]]
    top, left = (r // 2 if draw is None else int(torch.randint(r + 1, (), generator=draw)) for r in room)
    return x[..., top : top + side, left : left + side]


def _turned(x: Tensor) -> tuple[Tensor, Tensor]:
    """Square images in all four turns, and which."""
    return torch.cat([x.rot90(k, (2, 3)) for k in range(4)]), torch.arange(4).repeat_interleave(len(x))


def _parts(rows: Tensor) -> list[Tensor]:
    """The first CHECKED rows in batches."""
    return [rows[k : min(k + BATCH, CHECKED)] for k in range(0, min(len(rows), CHECKED), BATCH)]


@torch.no_grad()
def _finish(net: RotationClassifier, training: ImageData, rows: Tensor, device: torch.device) -> None:
    """The scale of the features, and the accuracy on the images that were held out of the training ones."""
    known = torch.cat([net(training[part].to(device)) for part in _parts(rows)])
    right = []
    for part in _parts(held_out(len(training), "test")):
        x, turns = _turned(_cropped(training[part]))
        right.append(net.logits(x.to(device)).argmax(dim=1) == turns.to(device))
    net.mean.copy_(known.mean(dim=0))
    net.std.copy_(known.std(dim=0).clamp(min=1e-6))
    net.accuracy.copy_(torch.cat(right).float().mean())
