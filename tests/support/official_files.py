"""Files as the code of the paper writes them, of small networks that were never trained."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colddiff.degradations import IteratedBlur
from colddiff.degradations.base import Degradation
from colddiff.degradations.blur_schedules import ConstantSigma
from colddiff.models.networks.convnext_unet import ConvNextUNetConfig
from colddiff.models.networks.resnet_unet import ResNetUNetConfig
from colddiff.models.networks.unet import RestorerConfig
from colddiff.samplers.priors import Constant
from colddiff.training.config import TrainConfig

STEPS, TAPS, SIGMA = 4, 3, 0.7

BLUR = IteratedBlur(num_steps=STEPS, kernel_size=TAPS, sigmas=ConstantSigma(sigma=SIGMA))


CONVNEXT = ConvNextUNetConfig(channels=3, dim=8, multipliers=(1, 2, 3), num_steps=STEPS)


RESNET = ResNetUNetConfig(channels=3, ch=32, multipliers=(1, 2), blocks=2, num_steps=STEPS)


def preset(restorer: RestorerConfig | None = CONVNEXT, degradation: Degradation = BLUR, **fields: Any) -> TrainConfig:
    told: dict[str, Any] = {"data": "celeba", "out": "elsewhere", "image_size": 16, "prior": Constant(), "lr": 2e-5}
    return TrainConfig(restorer=restorer, degradation=degradation, **told | fields)


Shapes = dict[str, tuple[int, ...]]


def layer(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def channel_norm(name: str, width: int) -> Shapes:
    return {f"{name}.g": (1, width, 1, 1), f"{name}.b": (1, width, 1, 1)}


def convnext_block(name: str, before: int, width: int, time: int | None, norm: bool = True) -> Shapes:
    shapes = layer(f"{name}.mlp.1", before, time) if time else {}
    shapes |= layer(f"{name}.ds_conv", before, 1, 7, 7)
    shapes |= channel_norm(f"{name}.net.0", before) if norm else {}
    shapes |= layer(f"{name}.net.1", 2 * width, before, 3, 3) | layer(f"{name}.net.3", width, 2 * width, 3, 3)
    return shapes | (layer(f"{name}.res_conv", width, before, 1, 1) if before != width else {})


def linear_attention(name: str, width: int) -> Shapes:
    shapes = channel_norm(f"{name}.fn.norm", width) | {f"{name}.fn.fn.to_qkv.weight": (384, width, 1, 1)}
    return shapes | layer(f"{name}.fn.fn.to_out", width, 128, 1, 1)


def convnext_shapes() -> Shapes:
    shapes = layer("time_mlp.1", 32, 8) | layer("time_mlp.3", 8, 32)
    for i, (before, width) in enumerate([(3, 8), (8, 16), (16, 24)]):
        shapes |= convnext_block(f"downs.{i}.0", before, width, 8, norm=i > 0)
        shapes |= convnext_block(f"downs.{i}.1", width, width, 8) | linear_attention(f"downs.{i}.2", width)
        shapes |= layer(f"downs.{i}.3", width, width, 4, 4) if i < 2 else {}
    for name in ("mid_block1", "mid_block2"):
        shapes |= convnext_block(name, 24, 24, 8)
    shapes |= linear_attention("mid_attn", 24)
    for i, (before, width) in enumerate([(48, 16), (32, 8)]):
        shapes |= convnext_block(f"ups.{i}.0", before, width, 8) | convnext_block(f"ups.{i}.1", width, width, 8)
        shapes |= linear_attention(f"ups.{i}.2", width) | layer(f"ups.{i}.3", width, width, 4, 4)
    return shapes | convnext_block("final_conv.0", 8, 8, None) | layer("final_conv.1", 3, 8, 1, 1)


def resnet_block(name: str, before: int, width: int) -> Shapes:
    shapes = layer(f"{name}.norm1", before) | layer(f"{name}.conv1", width, before, 3, 3)
    shapes |= layer(f"{name}.temb_proj", width, 128)
    shapes |= layer(f"{name}.norm2", width) | layer(f"{name}.conv2", width, width, 3, 3)
    return shapes | (layer(f"{name}.nin_shortcut", width, before, 1, 1) if before != width else {})


def pixel_attention(name: str, width: int) -> Shapes:
    shapes = layer(f"{name}.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        shapes |= layer(f"{name}.{part}", width, width, 1, 1)
    return shapes


def resnet_shapes() -> Shapes:
    shapes = layer("temb.dense.0", 128, 32) | layer("temb.dense.1", 128, 128) | layer("conv_in", 32, 3, 3, 3)
    shapes |= resnet_block("down.0.block.0", 32, 32) | resnet_block("down.0.block.1", 32, 32)
    shapes |= layer("down.0.downsample.conv", 32, 32, 3, 3)
    shapes |= resnet_block("down.1.block.0", 32, 64) | resnet_block("down.1.block.1", 64, 64)
    shapes |= pixel_attention("down.1.attn.0", 64) | pixel_attention("down.1.attn.1", 64)
    shapes |= resnet_block("mid.block_1", 64, 64) | pixel_attention("mid.attn_1", 64)
    shapes |= resnet_block("mid.block_2", 64, 64)
    for j, before in enumerate((128, 128, 96)):
        shapes |= resnet_block(f"up.1.block.{j}", before, 64) | pixel_attention(f"up.1.attn.{j}", 64)
    shapes |= layer("up.1.upsample.conv", 64, 64, 3, 3)
    for j, before in enumerate((96, 64, 64)):
        shapes |= resnet_block(f"up.0.block.{j}", before, 32)
    return shapes | layer("norm_out", 32) | layer("conv_out", 3, 32, 3, 3)


def drawn(shapes: Shapes, seed: int) -> dict[str, Tensor]:
    """Weights with which every layer matters."""
    g = torch.Generator().manual_seed(seed)
    scale = {name: max(1, torch.Size(shape[1:]).numel()) ** -0.5 for name, shape in shapes.items()}
    return {name: torch.randn(shape, generator=g) * scale[name] for name, shape in shapes.items()}


def kernels() -> dict[str, Tensor]:
    """Depthwise 2-D Gaussians, as many as there are steps."""
    r2 = torch.tensor([[2.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 2.0]])
    kernel = torch.exp(-r2 / (2 * SIGMA**2))
    return {f"gaussian_kernels.{i}.weight": (kernel / kernel.sum()).expand(3, 1, 3, 3) for i in range(STEPS)}


def checkpoint(shapes: Shapes, others: dict[str, Tensor] | None = None, prefix: str = "module.") -> dict[str, Any]:
    def state(seed: int) -> dict[str, Tensor]:
        weights = {f"denoise_fn.{name}": value for name, value in drawn(shapes, seed).items()}
        return {prefix + name: value for name, value in (weights | (others or {})).items()}

    return {"step": 12_000, "model": state(1), "ema": state(2)}


def blurred() -> dict[str, Any]:
    return checkpoint(convnext_shapes(), kernels() | {"betas": torch.zeros(STEPS)})


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "model.pt")
    return folder / "model.pt"
