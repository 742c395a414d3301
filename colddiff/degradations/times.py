"""Times t as tensors (B,), checked."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .levels import one_if_shared


def as_times(t: Tensor | float, x: Tensor) -> Tensor:
    """t as a float tensor (B,) on the device of x; times that are still on the CPU are checked to be in [0, 1]."""
    t = float_times(t)
    if t.dim() > 1 or (t.dim() == 1 and t.shape[0] not in (1, x.shape[0])):
        raise ValueError(f"expected one time, or one per image ({x.shape[0]},), got shape {tuple(t.shape)}")
    t = t if t.dim() else t.reshape(1)
    # A look at the values of a GPU tensor would stall the device; in a traced graph it would break it.
    if t.device.type == "cpu" and not torch.compiler.is_compiling():
        values = one_if_shared(t).tolist()
        if not all(0 <= value <= 1 for value in values):
            raise ValueError(f"times must be in [0, 1], 0 clean and 1 fully degraded, got {values}")
    t = t if t.device == x.device else t.to(x.device, non_blocking=True)
    return t if t.shape[0] == x.shape[0] else t.expand(x.shape[0])


def float_times(t: Any) -> Tensor:
    """Times as a tensor of floats: of a number, of nested sequences of them, or of a tensor.

    Raises:
        TypeError: they are no numbers.
    """
    if isinstance(t, Tensor):
        if t.is_floating_point():
            return t
        if t.is_complex():
            raise TypeError(f"times must be real numbers in [0, 1], got a {t.dtype} tensor")
        return t.double()
    try:
        return torch.tensor(t, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(f"times must be numbers in [0, 1], or a tensor of them, got {_shortly(t)}") from None


def _shortly(value: Any) -> str:
    """What was given, on one line that ends."""
    text = " ".join(repr(value).split())
    return text if len(text) < 80 else f"{text[:80]}..."
