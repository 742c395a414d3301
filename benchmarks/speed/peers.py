"""Networks of three makers as restorers, at nearly equal numbers of parameters."""

from __future__ import annotations

import bisect
import contextlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import colddiff as cd

NAMES = ("ours", "lucidrains", "diffusers")
# Of the peers only what their authors publish: lucidrains' README has 64, the other is ddpm-cifar10, and both scaled.
DIM = {5: 24, 35: 64}
CHANNELS = {5: (32, 96, 96, 96), 35: (128, 256, 256, 256)}
TORCHVISION = ("torchvision", "torchvision.transforms", "torchvision.utils")


def build(name: str, millions: int) -> nn.Module:
    """A network R(x, t) -> x0_hat for 3 channels, with weights as if something had been learned."""
    torch.manual_seed(0)
    net = {"ours": _ours, "lucidrains": _lucidrains, "diffusers": _diffusers}[name](millions)
    return awake(net)


def available() -> tuple[list[str], str]:
    """The makers whose networks can be had here, and a sentence about the others."""
    packages = {"lucidrains": "denoising_diffusion_pytorch", "diffusers": "diffusers"}
    missing = [name for name, package in packages.items() if importlib.util.find_spec(package) is None]
    said = f"Not installed, and so not measured: {', '.join(missing)}." if missing else ""
    return [name for name in NAMES if name not in missing], said


def ours(millions: float) -> cd.UNetConfig:
    """The config of our U-Net, at its defaults, whose width comes nearest to so many parameters."""
    configs = [cd.UNetConfig(channels=3, width=width) for width in range(16, 400, 8)]
    above = bisect.bisect_left(configs, millions, key=size)
    return min(configs[max(above - 1, 0) : above + 1], key=lambda config: abs(math.log(size(config) / millions)))


def size(config: cd.UNetConfig) -> float:
    """Parameters in millions."""
    with torch.device("meta"):
        return parameters(config.build())


def parameters(net: nn.Module) -> float:
    """In millions."""
    return sum(p.numel() for p in net.parameters()) / 1e6


def awake(net: nn.Module) -> nn.Module:
    """Weights that were begun at zero made small instead: else whole layers could be wrong and nobody would see."""
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return net


class Peer(nn.Module):
    """(x, t) -> x0_hat from a network that was made to predict noise in [-1, 1] at steps 0 .. 999."""

    def __init__(self, net: nn.Module, ask: Callable[[Any, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.ask = net, ask

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        centred = 2 * x - 1
        return (centred + self.ask(self.net, centred, 999 * t.to(x.dtype)).to(x.dtype) + 1) / 2


def lucidrains() -> Any:
    """The package denoising_diffusion_pytorch, whether torchvision is there or not."""
    with _torchvision_or_a_stub():
        import denoising_diffusion_pytorch.denoising_diffusion_pytorch as package
    package.tqdm = lambda steps, **_: steps  # a bar would be timed with the loop
    return package


def _ours(millions: int) -> nn.Module:
    return ours(millions).build()


def _lucidrains(millions: int) -> nn.Module:
    # Its flash attention refuses float32 on a GPU; on its lowest level, which alone has it, that is all the same.
    flash = not torch.cuda.is_available()
    net = lucidrains().Unet(dim=DIM[millions], dim_mults=(1, 2, 4, 8), flash_attn=flash)
    return Peer(net, lambda net, x, t: net(x, t))


def _diffusers(millions: int) -> nn.Module:
    from diffusers import UNet2DModel

    net = UNet2DModel(
        sample_size=32, block_out_channels=CHANNELS[millions], layers_per_block=2, norm_num_groups=32, norm_eps=1e-6,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        downsample_padding=0, flip_sin_to_cos=False, freq_shift=1,
    )  # fmt: skip
    return Peer(net, lambda net, x, t: net(x, t).sample)


@contextlib.contextmanager
def _torchvision_or_a_stub() -> Iterator[None]:
    """What lucidrains' package imports of torchvision for its trainer, which is not used here.

    The stub is gone afterwards: diffusers looks whether torchvision is there, and would take it for real.
    """
    stubbed = importlib.util.find_spec("torchvision") is None
    for name in TORCHVISION if stubbed else ():
        sys.modules[name] = stub = ModuleType(name)
        stub.transforms = stub.utils = stub  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name in TORCHVISION if stubbed else ():
            del sys.modules[name]
