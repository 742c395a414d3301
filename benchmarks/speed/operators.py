"""Degradations of a batch in which every image has its own time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

import colddiff as cd
from colddiff.degradations.base import Degradation
from colddiff.utils.config import registered

from ..lib.interleaved import Call, Effort, Table, paired
from .blurs import chain_kernels, dct_blur, effective_sigma, iterated, large_kernel_size, one_large_kernel
from .cases import COMPOSED, SETTINGS, bound, images, random_levels

TITLE = "Operators, each image of the batch at its own t"
EXACT = 2  # images whose chain is followed in float64
KEPT = ("ours", "kornia, one kernel", "DCT", "iterated, k x k")


@torch.no_grad()
def tables(effort: Effort) -> Iterator[Table]:
    for name, (op, shape) in SETTINGS.items():
        yield against_others(name, op, shape, effort)
    sizes = [(4, 3, 32, 32)] if effort.quick else [(32, 3, 32, 32), (16, 3, 128, 128)]
    for shape in sizes:
        yield every_operator(shape, effort)


def against_others(name: str, op: cd.IteratedBlur, shape: tuple[int, ...], effort: Effort) -> Table:
    """A chain of blurs as one matrix per axis, as others approximate it, and step by step."""
    x, levels = images(*shape, device=effort.device), random_levels(op, shape[0])
    most = 5 if effort.quick else op.num_steps
    sigma = effective_sigma(op)[levels].to(x)
    size, kernels = large_kernel_size(sigma, shape[-1]), chain_kernels(op, shape[1], x)
    D, t = bound(op, x), (levels.double() / op.num_steps).to(x.device)
    one = torch.ones_like(t)
    here = levels.to(x.device)
    calls: dict[str, Call] = {
        KEPT[0]: lambda: D(x, t),
        "ours, all at t = 1": lambda: D(x, one),
        "ours, all at t = 1/T": lambda: D(x, one / op.num_steps),
        "a copy of the batch": lambda: x.clone(),
        KEPT[1]: lambda: one_large_kernel(x, sigma, size, op.border),
        KEPT[2]: lambda: dct_blur(x, sigma),
        KEPT[3]: lambda: iterated(x, here, kernels, op.border, most),
    }
    table = paired(
        f"{name}: T = {op.num_steps}, {op.kernel_size} taps, {op.border}, batch {' x '.join(map(str, shape))}",
        calls, base="ours", effort=effort, against={"ours, all at t = 1": "ours, all at t = 1/T"},
        factor={KEPT[3]: op.num_steps / most}, note=_scaled(op.num_steps, most),
    )  # fmt: skip
    return table.add("largest error", errors(op, x, levels))


def errors(op: cd.IteratedBlur, x: Tensor, levels: Tensor) -> dict[str, float]:
    """Largest distance from the chain in float64, on the first images; the approximations are other operators."""
    x, levels = x[:EXACT], levels[:EXACT].to(x.device)
    sigma, t = effective_sigma(op).to(x)[levels], levels.double() / op.num_steps
    follow = partial(iterated, levels=levels, border=op.border)
    exact = follow(x.double(), kernels=chain_kernels(op, x.shape[1], x.double()))
    answers = (
        bound(op, x)(x, t),
        one_large_kernel(x, sigma, large_kernel_size(sigma, x.shape[-1]), op.border),
        dct_blur(x, sigma),
        follow(x, kernels=chain_kernels(op, x.shape[1], x)),
    )
    return {name: float((answer - exact).abs().max()) for name, answer in zip(KEPT, answers, strict=True)}


def every_operator(shape: tuple[int, ...], effort: Effort) -> Table:
    """All that are registered, as they come, beside a copy of the batch."""
    x = images(*shape, device=effort.device)
    t = torch.rand(shape[0], generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(x.device)
    calls: dict[str, Call] = {"a copy of the batch": lambda: x.clone()}
    for name in sorted(registered(Degradation.group)):
        op = COMPOSED[name] if name in COMPOSED else Degradation.from_config(name)
        own = t if op.levels is None else random_levels(op, shape[0]).double().to(x.device) / op.levels
        calls[name] = partial(bound(op, x), x, own)
    title = f"Every operator at its defaults, batch {' x '.join(map(str, shape))}"
    note = (
        "Chains at a level per image, the others at any t. `compose` and `one_of` hold `gaussian_blur` and "
        "`desaturate`; `jpeg_pillow` is a codec called image by image."
    )
    return paired(title, calls, base="a copy of the batch", effort=effort, note=note)


def _scaled(steps: int, most: int) -> str:
    said = "Errors are against the chain in float64, images in [0, 1]."
    if most < steps:
        said += f" Of the {steps} convolutions of the iterated form {most} were run, and their time scaled."
    return said
