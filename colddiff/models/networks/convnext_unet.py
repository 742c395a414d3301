"""The network of the Cold Diffusion paper that most of it uses, as a restorer; its weights go by upstream's names."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.config import register
from .paper_unet import OfficialConfig, OfficialUNet, Sinusoids
from .unet import check_sizes

HEADS, HEAD_WIDTH = 4, 32  # of the linear attention


@register("convnext_unet")
@dataclass(frozen=True, kw_only=True)
class ConvNextUNetConfig(OfficialConfig):
    """The paper's network for MNIST, and for images of 64 pixels and more: 56.6 million parameters.

    Args:
        dim: features at full resolution, even.
        time_embedding: tell the network the time.
    """

    multipliers: tuple[int, ...] = (1, 2, 4, 8)
    dim: int = 64
    time_embedding: bool = True

    def check(self) -> None:
        super().check()
        check_sizes(widest=self.dim * max(self.multipliers))
        if self.dim < 4 or self.dim % 2:
            raise ValueError(f"dim must be even and >= 4, a sine and a cosine at a time, got {self.dim}")

    def build(self) -> ConvNextUNet:
        return ConvNextUNet(self)


class ConvNextUNet(OfficialUNet):
    """Two ConvNeXt blocks and linear attention per level.

    Source: Cold Diffusion, appendix; denoising-diffusion-pytorch as of February 2022, with linear attention throughout.
    """

    def __init__(self, config: ConvNextUNetConfig) -> None:
        super().__init__(config)
        dim, widths = config.dim, [config.dim * m for m in config.multipliers]
        time = dim if config.time_embedding else None
        layers = (Sinusoids(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.time_mlp = nn.Sequential(*layers) if config.time_embedding else None
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, (before, width) in enumerate(pairwise([self.channels, *widths])):
            last = level == len(widths) - 1
            shrink = nn.Identity() if last else nn.Conv2d(width, width, 4, stride=2, padding=1)
            self.downs.append(ConvNextLevel(before, width, time, shrink, norm=level > 0))
        self.mid_block1 = ConvNextBlock(widths[-1], widths[-1], time)
        self.mid_attn = LinearAttention(widths[-1])
        self.mid_block2 = ConvNextBlock(widths[-1], widths[-1], time)
        for below, width in pairwise(widths[::-1]):
            lift = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
            self.ups.append(ConvNextLevel(2 * below, width, time, lift))
        last_block = ConvNextBlock(widths[0], widths[0], None)
        self.final_conv = nn.Sequential(last_block, nn.Conv2d(widths[0], self.channels, 1))

    def predict(self, h: Tensor, label: Tensor) -> Tensor:
        time = None if self.time_mlp is None else self.time_mlp(label)
        skips = []
        for level in self.downs:
            h, features = level(h, time)
            skips.append(features)
        h = self.mid_block2(self.mid_attn(self.mid_block1(h, time)), time)
        # The skip at full resolution is left over: upstream never reads it.
        for level in self.ups:
            h, _ = level(torch.cat([h, skips.pop()], dim=1), time)
        out: Tensor = self.final_conv(h)
        return out


class ConvNextLevel(nn.ModuleList):
    """Two blocks, attention, and the way to the next resolution, which are 0 .. 3."""

    def __init__(self, before: int, width: int, time: int | None, resize: nn.Module, norm: bool = True) -> None:
        first, second = ConvNextBlock(before, width, time, norm), ConvNextBlock(width, width, time)
        super().__init__([first, second, LinearAttention(width), resize])

    def forward(self, h: Tensor, time: Tensor | None) -> tuple[Tensor, Tensor]:
        """What goes to the next level, and the features of this one."""
        first, second, attention, resize = self
        h = attention(second(first(h, time), time))
        return resize(h), h


class ConvNextBlock(nn.Module):
    """shortcut(h) + conv(gelu(conv(norm(depthwise(h) + time)))).

    Source: Liu et al. 2022, with 3 x 3 convolutions where theirs are 1 x 1.
    """

    def __init__(self, before: int, width: int, time: int | None, norm: bool = True) -> None:
        super().__init__()
        self.mlp = None if time is None else nn.Sequential(nn.GELU(), nn.Linear(time, before))
        self.ds_conv = nn.Conv2d(before, before, 7, padding=3, groups=before)
        self.net = nn.Sequential(
            ChannelNorm(before) if norm else nn.Identity(),
            nn.Conv2d(before, 2 * width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * width, width, 3, padding=1),
        )
        self.res_conv = nn.Conv2d(before, width, 1) if before != width else nn.Identity()

    def forward(self, h: Tensor, time: Tensor | None = None) -> Tensor:
        inner = self.ds_conv(h)
        if self.mlp is not None:
            inner = inner + self.mlp(time)[:, :, None, None]
        out: Tensor = self.net(inner) + self.res_conv(h)
        return out


class ChannelNorm(nn.Module):
    """g (h - mean) / sqrt(var + 1e-5) + b over the features of each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.g, self.b = nn.Parameter(torch.ones(1, width, 1, 1)), nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, h: Tensor) -> Tensor:
        normed = F.layer_norm(h.movedim(1, -1), (h.shape[1],), self.g.flatten(), self.b.flatten(), 1e-5)
        return normed.movedim(-1, 1)


class LinearAttention(nn.Module):
    """h + out(q (softmax(k)^T v)), the softmax over pixels, so that the cost is linear in their number.

    Source: Shen et al. 2021, "Efficient Attention", without their softmax of q.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.to_qkv = nn.Conv2d(width, 3 * HEADS * HEAD_WIDTH, 1, bias=False)
        self.to_out = nn.Conv2d(HEADS * HEAD_WIDTH, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        b, _, height, width = h.shape
        q, k, v = self.to_qkv(self.norm(h)).reshape(b, 3, HEADS, HEAD_WIDTH, height * width).unbind(dim=1)
        context = v @ k.softmax(dim=-1).transpose(-1, -2)
        read = context @ q * HEAD_WIDTH**-0.5
        out: Tensor = self.to_out(read.reshape(b, -1, height, width))
        return h + out
