"""How times grow with the number of steps T, with pixels and with the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

import colddiff as cd
from colddiff.degradations.base import Degradation
from colddiff.degradations.blur_schedules import LinearSigma
from colddiff.degradations.noise_schedules import CosineBetas

from ..lib.interleaved import Call, Effort, Table, paired
from .cases import CIFAR, bound, images, random_levels
from .levers import as_we_ship, forward
from .peers import build

TITLE = "Growth with T, pixels and batch"
NETWORK = "the 5M network"

# Chains by their number of steps.
CHAINS: dict[str, Callable[[int], Degradation]] = {
    "iterated_blur": lambda T: cd.IteratedBlur(
        num_steps=T, kernel_size=11, sigmas=LinearSigma(start=0.35, slope=0.5 / T), border="reflect"
    ),
    "gaussian_mask": lambda T: cd.GaussianMask(num_steps=T, kernel_std=5 / T),
    "gaussian_noise": lambda T: cd.GaussianNoise(betas=CosineBetas(num_steps=T)),
}
OPERATORS: dict[str, Degradation] = {
    "iterated_blur": CIFAR, "gaussian_blur": cd.GaussianBlur(), "gaussian_mask": cd.GaussianMask(),
    "interpolate": cd.Interpolate(),
}  # fmt: skip


def tables(effort: Effort) -> Iterator[Table]:
    few = effort.quick
    steps, sides, batches = (
        ((10, 100, 1000), (32, 64, 128, 256), (1, 4, 16, 64)) if not few else ((10, 20), (16, 32), (1, 2))
    )
    x = images(4 if few else 32, 3, 32, 32, device=effort.device)
    yield grown("T", steps, {name: partial(_chain, make, x) for name, make in CHAINS.items()}, effort)

    def of_side(call: Callable[[Tensor], Call], n: int) -> Call:
        return call(images(4, 3, n, n, device=effort.device))

    def of_batch(call: Callable[[Tensor], Call], n: int) -> Call:
        return call(images(n, 3, 32, 32, device=effort.device))

    works = {name: partial(_operator, op) for name, op in OPERATORS.items()} | {NETWORK: _network(effort)}
    for size, sizes, by in (("pixels a side", sides, of_side), ("images", batches, of_batch)):
        yield grown(size, sizes, {name: partial(by, work) for name, work in works.items()}, effort)


def grown(size: str, sizes: Sequence[int], works: dict[str, Callable[[int], Call]], effort: Effort) -> Table:
    """Every work at every size; ratios are to its own smallest."""
    key = "{}, {}".format
    calls = {key(name, n): make(n) for name, make in works.items() for n in sizes}
    against = {key(name, n): key(name, sizes[0]) for name in works for n in sizes}
    note = {"pixels a side": "Batch 4.", "images": "32 px.", "T": "32 px, a level per image."}[size]
    return paired(f"With {size}", calls, base=next(iter(calls)), effort=effort, against=against, note=note)


def _chain(make: Callable[[int], Degradation], x: Tensor, steps: int) -> Call:
    op = make(steps)
    return partial(bound(op, x), x, random_levels(op, len(x)).double().to(x.device) / steps)


def _operator(op: Degradation, x: Tensor) -> Call:
    t = torch.full((len(x),), 0.5, dtype=torch.float64, device=x.device) if op.levels is None else None
    levels = t if t is not None else random_levels(op, len(x)).double().to(x.device) / (op.levels or 1)
    return partial(bound(op, x), x, levels)


def _network(effort: Effort) -> Callable[[Tensor], Call]:
    net, lever = build("ours", 5), as_we_ship(effort.device)
    return lambda x: forward(net, lever, x, torch.full((len(x),), 0.5, device=x.device))
