"""Runs that go into diffusers: small ones, with weights that were never trained."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import colddiff as cd
from colddiff.degradations import GaussianBlur, GaussianMask, GaussianNoise, Interpolate, IteratedBlur, PixelMask, Snow
from colddiff.models.networks.unet import UNetConfig
from colddiff.models.run import Run

diffusers = pytest.importorskip("diffusers")

from colddiff.interop.diffusers import ColdPipeline  # noqa: E402

NET = UNetConfig(channels=1, width=8, multipliers=(1,), blocks=1, patch=1)
NOISE = GaussianNoise(betas=cd.LinearBetas(num_steps=1000))
OPERATORS = {
    "blur": GaussianBlur(sigma_max=3.0),
    "mask": GaussianMask(num_steps=5, kernel_std=0.2),
    "noise": GaussianNoise(betas=cd.LinearBetas(num_steps=50)),
    "levels": IteratedBlur(sigmas=cd.ConstantSigma(sigma=1.0), num_steps=6),
    "pixels": PixelMask(),
    "snow": Snow(),
    "endpoint": Interpolate(),
}  # fmt: skip


def run_of(op: cd.Degradation, restorer=NET, prior=None, side: int = 8) -> Run:
    """A run with weights that were never trained, but are not zero either."""
    torch.manual_seed(0)
    net = restorer.build()
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    config = {
        "version": cd.__version__, "restorer": restorer.to_config(), "degradation": op.to_config(), "step": 3,
        "image": {"channels": 1, "size": [side, side]}, "data": {"data": "digits"}, "training": {}, "precision": "fp32",
    }  # fmt: skip
    return Run(net.to(memory_format=torch.channels_last).eval(), op, prior, config, Path("run"))


def seeds(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(i) for i in range(count)]


def quiet(pipeline: ColdPipeline) -> ColdPipeline:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def damaged(run: Run, count: int = 3) -> Tensor:
    x = torch.rand(count, *run.shape, generator=torch.Generator().manual_seed(5))
    return run.degrade(x) if not run.degradation.required_params else x
