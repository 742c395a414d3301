"""The network that the Cold Diffusion paper uses for CIFAR-10, as a restorer; its weights go by upstream's names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.config import register
from .paper_unet import OfficialConfig, OfficialUNet, Sinusoids
from .unet import check_sizes

GROUPS = 32  # of features that are normalised together


@register("resnet_unet")
@dataclass(frozen=True, kw_only=True)
class ResNetUNetConfig(OfficialConfig):
    """The paper's network for CIFAR-10: 35.7 million parameters.

    Args:
        ch: features at full resolution, a multiple of 32.
        blocks: per level on the way down; one more on the way up.
        attend_at: levels whose pixels attend to each other, 0 at full resolution; the middle always does.
        dropout: probability inside each block.
    """

    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    ch: int = 128
    blocks: int = 2
    attend_at: tuple[int, ...] = (1,)
    dropout: float = 0.1

    def check(self) -> None:
        super().check()
        check_sizes(widest=self.ch * max(self.multipliers), blocks=self.blocks, levels=len(self.attend_at))
        if self.ch < GROUPS or self.ch % GROUPS:
            raise ValueError(f"ch must be a multiple of {GROUPS}, the groups that are normalised, got {self.ch}")
        if self.blocks < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"blocks must be >= 1, dropout in [0, 1), got {self.blocks} and {self.dropout}")
        if not set(self.attend_at) <= set(range(len(self.multipliers))):
            raise ValueError(f"attend_at must name levels 0 .. {len(self.multipliers) - 1}, got {self.attend_at}")

    def build(self) -> ResNetUNet:
        return ResNetUNet(self)


class ResNetUNet(OfficialUNet):
    """Residual blocks, and the features after every one of them a skip.

    Source: Ho et al. 2020, appendix B, as ported in ermongroup/ddim.
    """

    def __init__(self, config: ResNetUNetConfig) -> None:
        super().__init__(config)
        ch, widths, dropout = config.ch, [config.ch * m for m in config.multipliers], config.dropout
        layers = {
            "sinusoids": Sinusoids(ch),
            "0": nn.Linear(ch, 4 * ch),
            "silu": nn.SiLU(),
            "1": nn.Linear(4 * ch, 4 * ch),
        }
        self.temb = nn.ModuleDict({"dense": nn.Sequential(OrderedDict(layers))})
        self.conv_in = nn.Conv2d(self.channels, ch, 3, padding=1)
        self.down, skips = nn.ModuleList(), [ch]
        for i, (before, width) in enumerate(pairwise([ch, *widths])):
            last = i == len(widths) - 1
            inputs = [before] + [width] * (config.blocks - 1)
            self.down.append(ResNetLevel(inputs, width, config, i, None if last else shrink(width)))
            skips += [width] * (config.blocks if last else config.blocks + 1)
        first, second = (ResNetBlock(width, width, 4 * ch, dropout) for _ in range(2))
        self.mid = nn.ModuleDict({"block_1": first, "attn_1": PixelAttention(width), "block_2": second})
        self.up = nn.ModuleList()
        for i, (below, width) in reversed(list(enumerate(zip([*widths[1:], widths[-1]], widths, strict=True)))):
            inputs = [before + skips.pop() for before in [below] + [width] * config.blocks]
            self.up.insert(0, ResNetLevel(inputs, width, config, i, enlarge(width) if i else None))
        self.norm_out, self.conv_out = group_norm(width), nn.Conv2d(width, self.channels, 3, padding=1)

    def predict(self, h: Tensor, label: Tensor) -> Tensor:
        time = self.temb["dense"](label)
        skips = [self.conv_in(h)]
        for level in self.down:
            skips += level(skips[-1], time)
        h = self.mid["block_1"](skips[-1], time)
        h = self.mid["block_2"](self.mid["attn_1"](h), time)
        for level in reversed(self.up):
            h = level(h, time, skips)[-1]
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out


class ResNetLevel(nn.Module):
    """The blocks of one resolution, attention after each if this level attends, and the way to the next resolution."""

    def __init__(
        self, inputs: Sequence[int], width: int, config: ResNetUNetConfig, level: int, resize: nn.Module | None
    ) -> None:
        super().__init__()
        attends = level in config.attend_at
        self.block = nn.ModuleList(ResNetBlock(before, width, 4 * config.ch, config.dropout) for before in inputs)
        self.attn = nn.ModuleList(PixelAttention(width) if attends else nn.Identity() for _ in inputs)
        self.resize = resize

    def forward(self, h: Tensor, time: Tensor, skips: list[Tensor] | None = None) -> list[Tensor]:
        """The features after each block, which takes the last skip if there are some; then those that are resized."""
        features = []
        for block, attention in zip(self.block, self.attn, strict=True):
            h = attention(block(h if skips is None else torch.cat([h, skips.pop()], dim=1), time))
            features.append(h)
        return features if self.resize is None else [*features, self.resize(h)]


class ResNetBlock(nn.Module):
    """shortcut(h) + conv(dropout(silu(norm(conv(silu(norm(h))) + time))))."""

    def __init__(self, before: int, width: int, time: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.conv1 = group_norm(before), nn.Conv2d(before, width, 3, padding=1)
        self.temb_proj = nn.Linear(time, width)
        self.norm2, self.conv2 = group_norm(width), nn.Conv2d(width, width, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.nin_shortcut = nn.Conv2d(before, width, 1) if before != width else nn.Identity()

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(h))) + self.temb_proj(F.silu(time))[:, :, None, None]
        out: Tensor = self.conv2(self.dropout(F.silu(self.norm2(inner)))) + self.nin_shortcut(h)
        return out


class PixelAttention(nn.Module):
    """h + out(softmax(q k^T / sqrt(width)) v): every pixel attends to every other, in one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = group_norm(width)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, h: Tensor) -> Tensor:
        normed = self.norm(h)
        q, k, v = (conv(normed).flatten(2).transpose(1, 2)[:, None] for conv in (self.q, self.k, self.v))
        read = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).reshape(h.shape)
        out: Tensor = self.proj_out(read)
        return h + out


def group_norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, width, eps=1e-6)


def shrink(width: int) -> nn.Module:
    """To half the sides: one row and column of zeros are added below and to the right only, as TensorFlow pads."""
    conv = nn.Conv2d(width, width, 3, stride=2)
    return nn.Sequential(OrderedDict(pad=nn.ZeroPad2d((0, 1, 0, 1)), conv=conv))


def enlarge(width: int) -> nn.Module:
    """To twice the sides."""
    conv = nn.Conv2d(width, width, 3, padding=1)
    return nn.Sequential(OrderedDict(repeat=nn.Upsample(scale_factor=2), conv=conv))
