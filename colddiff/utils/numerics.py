"""Exact float32 arithmetic, computing dtypes, numbers of threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

# A table entry below this is rounding, and as a denormal it would cost 4x to 16x on a CPU.
NEGLIGIBLE = 1e-15


# Numbers in a batch of images up to which an operator stays on one CPU thread.
SMALL = 2**18


def flush_negligible(table: Tensor) -> Tensor:
    """The table with entries that are only rounding set to zero."""
    return torch.where(table.abs() < NEGLIGIBLE, 0, table)


def computing_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32 or better: the difference of two degradations is a small number."""
    return torch.promote_types(dtype, torch.float32)


def moved(value: Tensor, like: Tensor) -> Tensor:
    """A CPU tensor on the device of `like`, in its computing dtype, without waiting for the device."""
    return value.to(like.device, computing_dtype(like.dtype), non_blocking=True)


# Settings of products and convolutions in float32, by the device that they are for.
_KNOBS: dict[str, tuple[Any, ...]] = {
    "cpu": (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv),  # type: ignore[attr-defined]
    "cuda": (torch.backends.cuda.matmul, torch.backends.cudnn.conv),  # type: ignore[attr-defined]
}


@contextlib.contextmanager
def exact_matmul() -> Iterator[None]:
    """Matrix products and convolutions in full float32: neither TF32 on a GPU nor bf16 on a CPU."""
    knobs = [knob for of_device in _KNOBS.values() for knob in of_device]
    before = [knob.fp32_precision for knob in knobs]
    for knob in knobs:
        knob.fp32_precision = "ieee"
    try:
        yield
    finally:
        for knob, precision in zip(knobs, before, strict=True):
            knob.fp32_precision = precision


def few_threads(x: Tensor) -> AbstractContextManager[object]:
    """One CPU thread for small tensors: to wake a second one costs more than it brings."""
    if torch.compiler.is_compiling() or x.device.type != "cpu" or x.numel() > SMALL or torch.get_num_threads() == 1:
        return contextlib.nullcontext()
    return _OneThread()


class _OneThread:
    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *raised: object) -> None:
        torch.set_num_threads(self.before)


def exact_float32(device: torch.device) -> AbstractContextManager[object]:
    """`exact_matmul` outside autocast: D(x, s) - D(x, t) is a small difference of large numbers."""
    autocasts = device.type != "meta" and torch.is_autocast_enabled(device.type)
    exact = torch.compiler.is_compiling() or _is_exact(device.type)
    if exact and not autocasts:
        return contextlib.nullcontext()
    settings = contextlib.ExitStack()
    if autocasts:
        settings.enter_context(torch.autocast(device.type, enabled=False))
    if not exact:
        settings.enter_context(exact_matmul())
    return settings


def _is_exact(device: str) -> bool:
    """Whether products are exact there already, as they mostly are: to look costs less than to set."""
    if device != "cpu":
        return all(knob.fp32_precision == "ieee" for knob in _KNOBS.get(device, ()))
    # What is not set follows the setting of its library, and that the setting of all.
    above = (torch.backends.mkldnn, torch.backends)
    return all(knob.fp32_precision in ("none", "ieee") for knob in (*_KNOBS["cpu"], *above))


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """So many CPU threads, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
