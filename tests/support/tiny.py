"""Trainings and runs that take a second."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from colddiff.degradations import GaussianBlur
from colddiff.models.networks.unet import UNetConfig
from colddiff.models.run import Run
from colddiff.training.config import TrainConfig

NET = UNetConfig(channels=1, width=8, multipliers=(1,), blocks=1, patch=1)


def config(out: Path | str, **changes: Any) -> TrainConfig:
    """A training on digits that takes no time."""
    plain = {
        "data": "digits", "degradation": GaussianBlur(sigma_max=3.0), "out": str(out), "steps": 6, "restorer": NET,
        "batch_size": 8, "precision": "fp32", "device": "cpu", "log_every": 1, "warmup_steps": 2,
    }  # fmt: skip
    return TrainConfig(**plain | changes)


class Oracle(nn.Module):
    """A restorer that knows the answer."""

    def __init__(self, x0: Tensor) -> None:
        super().__init__()
        self.x0 = nn.Parameter(x0)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.x0[: len(x)].clone()


class Same(nn.Module):
    """A restorer that leaves pictures as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return x + 0


class Counting(nn.Module):
    """A restorer that remembers at what times it was asked, and answers with grey that changes at a pace."""

    def __init__(self, pace: float = 1.0) -> None:
        super().__init__()
        self.weight, self.pace, self.asked = nn.Parameter(torch.zeros(1)), pace, []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.asked.append(t.tolist())
        return torch.full_like(x, 0.5) + self.pace * t.to(x.dtype).reshape(-1, 1, 1, 1)


def run_of(net: nn.Module, degradation: Any, shape: tuple[int, int, int] = (1, 8, 8)) -> Run:
    """A run around any network, as if it had been trained."""
    image = {"channels": shape[0], "size": list(shape[1:])}
    return Run(net.eval(), degradation, None, {"image": image, "data": {}, "step": 0}, Path("run"))


def weights(module: nn.Module) -> Tensor:
    """All parameters in one vector."""
    return torch.cat([p.detach().flatten() for p in module.parameters()])
