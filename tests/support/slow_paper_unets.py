"""The networks of the paper, one operation after another, as its code writes them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from colddiff.models.networks.convnext_unet import ConvNextUNetConfig
from colddiff.models.networks.paper_unet import OfficialConfig
from colddiff.models.networks.resnet_unet import ResNetUNetConfig


def weight(p: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return p[f"{name}.weight"], p[f"{name}.bias"]


def slow_conv(h: Tensor, w: Tensor, b: Tensor, pad: tuple[int, int, int, int], stride: int = 1) -> Tensor:
    """out[y, x] = b + sum w[dy, dx] h[stride y + dy, stride x + dx], zero outside; pad is left, right, top, bottom."""
    k = w.shape[-1]
    left, right, top, bottom = pad
    rows, columns = ((h.shape[d] + a + z - k) // stride + 1 for d, a, z in ((2, top, bottom), (3, left, right)))
    wide = h.new_zeros(*h.shape[:2], h.shape[2] + top + bottom, h.shape[3] + left + right)
    wide[:, :, top : top + h.shape[2], left : left + h.shape[3]] = h
    out = b.reshape(1, -1, 1, 1).repeat(len(h), 1, rows, columns)
    for dy in range(k):
        for dx in range(k):
            seen = wide[:, :, dy : dy + stride * rows : stride, dx : dx + stride * columns : stride]
            if w.shape[1] == 1 and h.shape[1] > 1:  # depthwise
                out += seen * w[:, 0, dy, dx].reshape(1, -1, 1, 1)
            else:
                out += torch.einsum("oi,biyx->boyx", w[:, :, dy, dx], seen)
    return out


def slow_gelu(h: Tensor) -> Tensor:
    return h * (1 + torch.erf(h / math.sqrt(2))) / 2


def slow_silu(h: Tensor) -> Tensor:
    return h / (1 + torch.exp(-h))


def slow_channel_norm(h: Tensor, p: dict[str, Tensor], name: str) -> Tensor:
    mean = h.mean(dim=1, keepdim=True)
    var = ((h - mean) ** 2).mean(dim=1, keepdim=True)
    return (h - mean) / (var + 1e-5).sqrt() * p[f"{name}.g"] + p[f"{name}.b"]


def slow_group_norm(h: Tensor, p: dict[str, Tensor], name: str) -> Tensor:
    groups = h.reshape(len(h), 32, -1)
    mean = groups.mean(dim=2, keepdim=True)
    var = ((groups - mean) ** 2).mean(dim=2, keepdim=True)
    scale, shift = (v.reshape(1, -1, 1, 1) for v in weight(p, name))
    return ((groups - mean) / (var + 1e-6).sqrt()).reshape(h.shape) * scale + shift


def slow_linear(v: Tensor, p: dict[str, Tensor], name: str) -> Tensor:
    w, b = weight(p, name)
    return torch.einsum("oi,bi->bo", w, v) + b


def slow_1x1(h: Tensor, p: dict[str, Tensor], name: str) -> Tensor:
    return slow_conv(h, *weight(p, name), (0, 0, 0, 0))


def slow_3x3(h: Tensor, p: dict[str, Tensor], name: str) -> Tensor:
    return slow_conv(h, *weight(p, name), (1, 1, 1, 1))


def slow_sinusoids(label: Tensor, width: int) -> Tensor:
    half = width // 2
    w = [math.exp(-math.log(10000) * k / (half - 1)) for k in range(half)]
    rows = [[math.sin(i * f) for f in w] + [math.cos(i * f) for f in w] for i in label.tolist()]
    return torch.tensor(rows, dtype=torch.float64)


def slow_convnext_block(h: Tensor, time: Tensor | None, p: dict[str, Tensor], name: str) -> Tensor:
    inner = slow_conv(h, *weight(p, f"{name}ds_conv"), (3, 3, 3, 3))
    if time is not None:
        inner = inner + slow_linear(slow_gelu(time), p, f"{name}mlp.1")[:, :, None, None]
    if f"{name}net.0.g" in p:
        inner = slow_channel_norm(inner, p, f"{name}net.0")
    inner = slow_3x3(slow_gelu(slow_3x3(inner, p, f"{name}net.1")), p, f"{name}net.3")
    return inner + (slow_1x1(h, p, f"{name}res_conv") if f"{name}res_conv.weight" in p else h)


def slow_linear_attention(h: Tensor, p: dict[str, Tensor], name: str) -> Tensor:
    b, _, height, width = h.shape
    normed = slow_channel_norm(h, p, f"{name}norm").flatten(2)
    q, k, v = torch.einsum("oi,bin->bon", p[f"{name}to_qkv.weight"][:, :, 0, 0], normed).chunk(3, dim=1)
    read = torch.zeros_like(q)
    for head in range(4):
        rows = slice(32 * head, 32 * head + 32)
        share = torch.exp(k[:, rows]) / torch.exp(k[:, rows]).sum(dim=2, keepdim=True)
        for pixel in range(height * width):
            # sum over pixels m of (q_n . share_m) v_m / sqrt(32)
            similar = (q[:, rows, pixel, None] * share).sum(dim=1) / math.sqrt(32)
            read[:, rows, pixel] = (similar[:, None] * v[:, rows]).sum(dim=2)
    return h + slow_1x1(read.reshape(b, 128, height, width), p, f"{name}to_out")


def slow_resnet_block(h: Tensor, time: Tensor, p: dict[str, Tensor], name: str) -> Tensor:
    inner = slow_3x3(slow_silu(slow_group_norm(h, p, f"{name}norm1")), p, f"{name}conv1")
    inner = inner + slow_linear(slow_silu(time), p, f"{name}temb_proj")[:, :, None, None]
    inner = slow_3x3(slow_silu(slow_group_norm(inner, p, f"{name}norm2")), p, f"{name}conv2")
    return inner + (slow_1x1(h, p, f"{name}nin_shortcut") if f"{name}nin_shortcut.weight" in p else h)


def slow_pixel_attention(h: Tensor, p: dict[str, Tensor], name: str) -> Tensor:
    normed = slow_group_norm(h, p, f"{name}norm")
    q, k, v = (slow_1x1(normed, p, name + part).flatten(2) for part in ("q", "k", "v"))
    read = torch.zeros_like(q)
    for pixel in range(q.shape[2]):
        score = torch.exp((q[:, :, pixel, None] * k).sum(dim=1) / math.sqrt(q.shape[1]))
        share = score / score.sum(dim=1, keepdim=True)
        read[:, :, pixel] = (share[:, None] * v).sum(dim=2)
    return h + slow_1x1(read.reshape(h.shape), p, f"{name}proj_out")


def slow_convnext(h: Tensor, label: Tensor, p: dict[str, Tensor], config: ConvNextUNetConfig) -> Tensor:
    """The network on images in [-1, 1], by our names of its weights."""
    time, skips, levels = None, [], len(config.multipliers)
    if config.time_embedding:
        time = slow_linear(slow_sinusoids(label, config.dim), p, "time_mlp.1")
        time = slow_linear(slow_gelu(time), p, "time_mlp.3")
    for i in range(levels):
        h = slow_convnext_block(slow_convnext_block(h, time, p, f"downs.{i}.0."), time, p, f"downs.{i}.1.")
        h = slow_linear_attention(h, p, f"downs.{i}.2.")
        skips.append(h)
        if i < levels - 1:
            h = slow_conv(h, *weight(p, f"downs.{i}.3"), (1, 1, 1, 1), stride=2)
    h = slow_linear_attention(slow_convnext_block(h, time, p, "mid_block1."), p, "mid_attn.")
    h = slow_convnext_block(h, time, p, "mid_block2.")
    for i in range(levels - 1):
        h = torch.cat([h, skips[levels - 1 - i]], dim=1)
        h = slow_convnext_block(slow_convnext_block(h, time, p, f"ups.{i}.0."), time, p, f"ups.{i}.1.")
        h = slow_linear_attention(h, p, f"ups.{i}.2.")
        h = F.conv_transpose2d(h, *weight(p, f"ups.{i}.3"), stride=2, padding=1)
    return slow_1x1(slow_convnext_block(h, None, p, "final_conv.0."), p, "final_conv.1")


def slow_resnet(h: Tensor, label: Tensor, p: dict[str, Tensor], config: ResNetUNetConfig) -> Tensor:
    """The network on images in [-1, 1], by our names of its weights."""
    time = slow_linear(slow_sinusoids(label, config.ch), p, "temb.dense.0")
    time = slow_linear(slow_silu(time), p, "temb.dense.1")
    h = slow_3x3(h, p, "conv_in")
    skips, lowest = [h], len(config.multipliers) - 1
    for i in range(lowest + 1):
        for j in range(config.blocks):
            h = slow_resnet_block(h, time, p, f"down.{i}.block.{j}.")
            h = slow_pixel_attention(h, p, f"down.{i}.attn.{j}.") if i in config.attend_at else h
            skips.append(h)
        if i < lowest:
            h = slow_conv(h, *weight(p, f"down.{i}.resize.conv"), (0, 1, 0, 1), stride=2)
            skips.append(h)
    h = slow_pixel_attention(slow_resnet_block(h, time, p, "mid.block_1."), p, "mid.attn_1.")
    h = slow_resnet_block(h, time, p, "mid.block_2.")
    for i in range(lowest, -1, -1):
        for j in range(config.blocks + 1):
            h = slow_resnet_block(torch.cat([h, skips.pop()], dim=1), time, p, f"up.{i}.block.{j}.")
            h = slow_pixel_attention(h, p, f"up.{i}.attn.{j}.") if i in config.attend_at else h
        if i > 0:
            h = slow_3x3(h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), p, f"up.{i}.resize.conv")
    assert not skips
    return slow_3x3(slow_silu(slow_group_norm(h, p, "norm_out")), p, "conv_out")


def slow(config: OfficialConfig, h: Tensor, label: Tensor, p: dict[str, Tensor]) -> Tensor:
    if isinstance(config, ConvNextUNetConfig):
        return slow_convnext(h, label, p, config)
    assert isinstance(config, ResNetUNetConfig)
    return slow_resnet(h, label, p, config)
