"""The U-Net of diffusers as a restorer: one built from a config, or any UNet2DModel of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.config import register
from .unet import RestorerConfig, check_sizes, cropped

TIMESTEPS = 1000  # for which the sines and cosines of diffusers are made


@register("diffusers_unet")
@dataclass(frozen=True, kw_only=True)
class DiffusersUNetConfig(RestorerConfig):
    """The shape of a `diffusers.UNet2DModel`; names are those of diffusers.

    Args:
        channels: of the images, in and out; None is what the data has, or 3.
        block_out_channels: features of each level; each level halves the resolution.
        layers_per_block: residual blocks per level on the way down; one more on the way up.
        attention_levels: how many of the lowest levels attend; the middle always does.
        attention_head_dim: features per attention head.
        norm_num_groups: groups of features that are normalised together.
        dropout: probability inside each block.
        residual: predict the difference from x rather than x0 itself.
    """

    channels: int | None = None
    block_out_channels: tuple[int, ...] = (64, 128, 256)
    layers_per_block: int = 2
    attention_levels: int = 1
    attention_head_dim: int = 32
    norm_num_groups: int = 32
    dropout: float = 0.0
    residual: bool = True

    def check(self) -> None:
        check_sizes(
            levels=len(self.block_out_channels), widest=max(self.block_out_channels, default=1),
            blocks=self.layers_per_block, channels=self.channels or 3,
        )  # fmt: skip
        sizes = (self.channels or 1, self.layers_per_block, self.attention_head_dim, self.norm_num_groups)
        if min(len(self.block_out_channels), *self.block_out_channels, *sizes) < 1 or self.channels == 0:
            raise ValueError(f"channels, features, layers, heads and groups must be >= 1, got {self}")
        for name in ("norm_num_groups", "attention_head_dim"):
            if any(features % getattr(self, name) for features in self.block_out_channels):
                raise ValueError(f"block_out_channels must be multiples of {name}, {getattr(self, name)}, got {self}")
        if not 0 <= self.dropout < 1 or self.attention_levels < 0:
            raise ValueError(f"dropout must be in [0, 1), attention_levels >= 0, got {self}")

    def build(self) -> DiffusersRestorer:
        try:
            from diffusers import UNet2DModel
        except ImportError:
            raise ModuleNotFoundError('diffusers_unet needs diffusers: pip install "colddiff[diffusers]"') from None
        levels = len(self.block_out_channels)
        attend = [level >= levels - self.attention_levels for level in range(levels)]
        build: Any = UNet2DModel
        net = build(
            in_channels=self.channels or 3,
            out_channels=self.channels or 3,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attend),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attend)),
            block_out_channels=self.block_out_channels,
            layers_per_block=self.layers_per_block,
            attention_head_dim=self.attention_head_dim,
            norm_num_groups=self.norm_num_groups,
            dropout=self.dropout,
        )
        nn.init.zeros_(net.conv_out.weight)  # so that a residual one begins as the identity
        nn.init.zeros_(net.conv_out.bias)
        return DiffusersRestorer(net, residual=self.residual)


class DiffusersRestorer(nn.Module):
    """R(x, t) -> x0_hat around a `diffusers.UNet2DModel`, for images of any size.

    It sees images in [-1, 1], as models of diffusers do, and step k of 1000, which is t = k / 1000, as its timestep
    k - 1. So `train(config, net=DiffusersRestorer(UNet2DModel.from_pretrained(...)))` goes on from its weights.

    Args:
        net: the model, without classes.
        residual: what it predicts is added to x.
    """

    def __init__(self, net: Any, *, residual: bool = False) -> None:
        super().__init__()
        c = net.config
        if c.in_channels != c.out_channels or c.time_embedding_type != "positional" or net.class_embedding is not None:
            raise ValueError(
                "expected a UNet2DModel with as many channels out as in, positional time and no classes, got "
                f"{c.in_channels} in, {c.out_channels} out, {c.time_embedding_type} time, {c.class_embed_type} classes"
            )
        self.net, self.residual = net, residual

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x0_hat (B, C, H, W) in [0, 1] from x (B, C, H, W) at times t (B,)."""
        if x.shape[1] != self.net.config.in_channels:
            raise ValueError(f"this U-Net takes {self.net.config.in_channels} channels, got images {tuple(x.shape)}")
        centred = 2 * x - 1
        h = x if self.net.config.center_input_sample else centred
        height, width = x.shape[-2:]
        block = 2 ** (len(self.net.config.block_out_channels) - 1)
        h = F.pad(h.to(self.net.dtype), (0, -width % block, 0, -height % block), mode="replicate")
        timesteps = (TIMESTEPS * t.float() - 1).clamp(min=0)
        out = cropped(self.net(h, timesteps, return_dict=False)[0], height, width).to(x.dtype)
        return ((out + centred if self.residual else out) + 1) / 2
