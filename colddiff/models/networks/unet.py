"""The one restorer that every degradation shares: a U-Net told the time in every block."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.config import Configurable, register


@dataclass(frozen=True, kw_only=True)
class RestorerConfig(Configurable):
    """What a network is made of; `build` makes it."""

    group: ClassVar[str] = "colddiff.restorers"

    def build(self) -> nn.Module:
        """A new network; one with a `fit(images)` is shown training images (N, C, H, W) uint8 before all else."""
        raise NotImplementedError


# No network is larger in any of these; one that is described in a few bytes must not fill the memory.
MOST = {"levels": 10, "widest": 8192, "blocks": 16, "channels": 2048, "patch": 64}


def check_sizes(**sizes: int) -> None:
    """Raise for a network that is larger than `MOST` in one of its sizes."""
    for name, size in sizes.items():
        if size > MOST[name]:
            told = {"widest": "features", "patch": "pixels to the side of a patch"}.get(name, name)
            raise ValueError(f"a network has at most {MOST[name]:,} {told}, this one would have {size:,}")


# Widths by the number of parameters that they come to, with three channels and the other fields as they are by default.
SIZES = {"0.3M": 16, "1M": 32, "5M": 64, "15M": 112, "35M": 176, "60M": 224}


@register("unet")
@dataclass(frozen=True, kw_only=True)
class UNetConfig(RestorerConfig):
    """The shape of a U-Net.

    Args:
        channels: of the images, in and out; None is what the data has, or 3.
        cond_channels: of an image given beside x, see `UNet.bind`.
        width: features at full resolution.
        multipliers: features of each level, in widths; each level halves the resolution.
        blocks: residual blocks per level, on the way down and again on the way up.
        attention_levels: how many of the lowest levels attend over all their pixels.
        patch: pixels per side that the first layer folds into features: 2 quarters the work of the top level.
        residual: begin as the answer x rather than grey.
        dropout: probability inside each block.
    """

    channels: int | None = None
    cond_channels: int = 0
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4)
    blocks: int = 2
    attention_levels: int = 1
    patch: int = 2
    residual: bool = True
    dropout: float = 0.0

    def check(self) -> None:
        check_sizes(
            levels=len(self.multipliers), widest=self.width * max(self.multipliers, default=1), blocks=self.blocks,
            channels=(self.channels or 3) + self.cond_channels, patch=self.patch,
        )  # fmt: skip
        if (
            min(
                1 if self.channels is None else self.channels,
                self.width,
                self.blocks,
                self.patch,
                *self.multipliers,
                len(self.multipliers),
            )
            < 1
        ):
            raise ValueError(f"channels, width, multipliers, blocks and patch must be >= 1, got {self}")
        if self.width % 8:
            raise ValueError(f"width must be a multiple of 8, the smallest normalisation group, got {self.width}")
        if not 0 <= self.dropout < 1 or self.cond_channels < 0 or self.attention_levels < 0:
            raise ValueError(f"dropout must be in [0, 1), cond_channels and attention_levels >= 0, got {self}")

    @classmethod
    def of_size(cls, size: str, **fields: Any) -> UNetConfig:
        """A network of about so many parameters: "0.3M", "1M", "5M", "15M", "35M" or "60M"."""
        if size not in SIZES:
            raise LookupError(f"no U-Net has the size {size!r}: there are {', '.join(SIZES)}")
        return cls(width=SIZES[size], **fields)

    def build(self) -> UNet:
        return UNet(self)


class UNet(nn.Module):
    """R(x, t) -> x0_hat for images of any size, padded inside and cropped back.

    Source: Ho et al. 2020, appendix B, with the scale and shift of Nichol & Dhariwal 2021 for the time.
    """

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        widths = [config.width * m for m in config.multipliers]
        time_width = 4 * config.width
        self.time = TimeEmbedding(time_width)
        folded, self.channels = config.patch**2, config.channels or 3
        self.stem = nn.Conv2d((self.channels + config.cond_channels) * folded, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (before, width) in enumerate(pairwise([widths[0], *widths])):
            attend = level >= len(widths) - config.attention_levels
            self.down.append(Stage(before, width, time_width, config.blocks, attend, config.dropout))
        self.shrink = nn.ModuleList(nn.Conv2d(w, w, 3, stride=2, padding=1) for w in widths[:-1])
        self.lift = nn.ModuleList(nn.Conv2d(below, w, 1) for below, w in pairwise(widths[::-1]))
        for width in reversed(widths[:-1]):
            self.up.append(Stage(width, width, time_width, config.blocks, False, config.dropout))
        last = nn.Conv2d(widths[0], 2 * self.channels * folded, 3, padding=1)
        self.head = nn.Sequential(norm(widths[0]), nn.SiLU(), last)
        self.keep = nn.Linear(time_width, self.channels)
        for parameter in (*last.parameters(), *self.keep.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """x0_hat (B, C, H, W) in [0, 1] from x (B, C, H, W) at times t (B,)."""
        centred = 2 * x - 1
        self._check(x, cond)
        h = centred if cond is None else torch.cat([centred, 2 * cond - 1], dim=1)
        h, height, width = self._padded(h.to(self.stem.weight.dtype))
        dtype = self.head[-1].weight.dtype
        time = self.time(t, dtype)
        h = F.pixel_unshuffle(h, self.config.patch).contiguous(memory_format=torch.channels_last)
        # Not in bf16: rounding the input there costs an ill-posed restorer three times what all other layers do.
        with nullcontext() if x.device.type == "meta" else torch.autocast(x.device.type, enabled=False):
            h = self.stem(h).to(dtype)
        skips = []
        for stage, shrink in zip(self.down, [*self.shrink, None], strict=True):
            h = stage(h, time)
            if shrink is not None:
                skips.append(h)
                h = shrink(h)
        for stage, lift in zip(self.up, self.lift, strict=True):
            # Added rather than concatenated: half the work of what reads the sum, and better at equal time.
            h = F.interpolate(lift(h), scale_factor=2.0, mode="nearest") + skips.pop()
            h = stage(h, time)
        out = cropped(F.pixel_shuffle(self.head(h), self.config.patch), height, width)
        out, gain = out.to(x.dtype).chunk(2, dim=1)
        # A gain per pixel undoes what was multiplied (a hole with a soft rim, contrast); the network need not multiply.
        gain = gain + self.keep(time).to(x.dtype)[:, :, None, None] + (1 if self.config.residual else 0)
        return (torch.addcmul(out, centred, gain) + 1) / 2

    def to_bfloat16(self) -> UNet:
        """The network with its weights in bf16, but for the first layer; in place."""
        self.to(torch.bfloat16).stem.float()
        return self

    def bind(self, cond: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """R(x, t) with a condition: an image (B, cond_channels, H, W) in [0, 1] that is seen beside x."""
        return lambda x, t: self(x, t, cond)

    def _check(self, x: Tensor, cond: Tensor | None) -> None:
        if x.shape[1] != self.channels:
            raise ValueError(f"this U-Net takes {self.channels} channels, got images {tuple(x.shape)}")
        given = 0 if cond is None else cond.shape[1]
        if given != self.config.cond_channels:
            raise ValueError(
                f"this U-Net takes a condition of {self.config.cond_channels} channels, got {given}: use net.bind(cond)"
            )

    def _padded(self, h: Tensor) -> tuple[Tensor, int, int]:
        height, width = h.shape[-2:]
        block = self.config.patch * 2 ** (len(self.config.multipliers) - 1)
        bottom, right = -height % block, -width % block
        # A graph for any size pads always, be it by nothing.
        pads = torch.compiler.is_exporting() or bottom or right
        return (F.pad(h, (0, right, 0, bottom), mode="replicate") if pads else h), height, width


class TimeEmbedding(nn.Module):
    """Sines and cosines of t at angular frequencies from 0.3 to 3000, evenly spaced in octaves, then two layers."""

    frequencies: Tensor

    def __init__(self, width: int, count: int = 64) -> None:
        super().__init__()
        octaves = torch.linspace(math.log(0.3), math.log(3000.0), count)
        self.register_buffer("frequencies", octaves.exp(), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * count, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        phase = t.float()[:, None] * self.frequencies.float()
        embedded: Tensor = self.layers(torch.cat([phase.sin(), phase.cos()], dim=1).to(dtype))
        return embedded


class Stage(nn.Module):
    """The blocks of one resolution."""

    def __init__(self, before: int, width: int, time_width: int, blocks: int, attend: bool, dropout: float) -> None:
        super().__init__()
        widths = [before] + [width] * blocks
        self.blocks = nn.ModuleList(Block(a, b, time_width, dropout) for a, b in pairwise(widths))
        self.attention = Attention(width) if attend else None

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        for block in self.blocks:
            h = block(h, time)
        return h if self.attention is None else self.attention(h)


class Block(nn.Module):
    """h + conv(silu(scale * norm(conv(silu(norm(h)))) + shift)), scale and shift given by the time."""

    def __init__(self, before: int, width: int, time_width: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(before), nn.Conv2d(before, width, 3, padding=1)
        self.time = nn.Linear(time_width, 2 * width)
        self.norm2, self.conv2 = norm(width), nn.Conv2d(width, width, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.skip = nn.Conv2d(before, width, 1) if before != width else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        out = self.conv1(F.silu(self.norm1(h)))
        out = torch.addcmul(shift, self.norm2(out), 1 + scale)
        out = self.conv2(self.dropout(F.silu(out)))
        result: Tensor = self.skip(h) + out
        return result


class Attention(nn.Module):
    """Every pixel attends to every other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(width // 32, 1)
        self.norm, self.qkv, self.out = norm(width), nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, h: Tensor) -> Tensor:
        b, c, height, width = h.shape
        qkv = self.qkv(self.norm(h)).reshape(b, 3, self.heads, c // self.heads, height * width).transpose(-1, -2)
        attended = F.scaled_dot_product_attention(*qkv.unbind(dim=1))
        out: Tensor = self.out(attended.transpose(-1, -2).reshape(b, c, height, width))
        return h + out


def cropped(h: Tensor, height: int, width: int) -> Tensor:
    """The first rows and columns of h; in a graph a copy, as strides of a view would tell sizes that were padded."""
    if torch.compiler.is_exporting():
        return F.pad(h, (0, width - h.shape[-1], 0, height - h.shape[-2]))
    return h[..., :height, :width]


def norm(width: int) -> nn.GroupNorm:
    """Groups of 32 features, or of 16 or 8: on CPUs 16 and more are six times as fast as 8."""
    return nn.GroupNorm(width // math.gcd(width, 32), width)
