"""The FLOPs and bytes of every layer that a network runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

# By the first word found in the name of an operator; what is not named here is elementwise.
KINDS = {
    "convolution": "convolution", "addmm": "linear", "bmm": "linear", "mm": "linear", "scaled_dot": "attention",
    "norm": "norm", "rsqrt": "norm", "cat": "movement", "upsample": "movement", "pad": "movement", "index": "movement",
    "pixel_": "movement", "copy": "cast or copy", "clone": "cast or copy",
    "empty": "allocation", "detach": "allocation",
}  # fmt: skip
# Not the network's own: what precision and memory format cost, and what touches no number.
FREE = ("cast or copy", "allocation")


@dataclass(frozen=True)
class Layer:
    """One operator as it ran."""

    kind: str
    flops: float
    bytes: float  # read and written, once each
    dtype: torch.dtype  # that it computed in

    def least_s(self, peaks: Mapping[tuple[str, torch.dtype], float], bandwidth: Callable[[float], float]) -> float:
        """The longer of computing at the peak (FLOP/s) and of moving the bytes at a bandwidth (bytes/s)."""
        unit = "convolution" if self.kind == "convolution" else "product"
        computing = self.flops / peaks.get((unit, self.dtype), math.inf)
        return max(computing, self.bytes / bandwidth(self.bytes))


class Counter(TorchDispatchMode):
    """Inside it, what runs is noted in `layers`; views cost nothing and are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[Layer] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
        name = func._schema.name.removeprefix("aten::")
        kind = next((kind for word, kind in KINDS.items() if word in name), "elementwise")
        if tensors and not func.is_view and kind != "allocation":
            dtype = next((a.dtype for a in args if isinstance(a, Tensor)), tensors[0].dtype)
            self.layers.append(Layer(kind, _flops(func, args, kwargs, out), sum(map(_nbytes, tensors)), dtype))
        return out

    @property
    def flops(self) -> float:
        return sum(layer.flops for layer in self.layers)


@torch.no_grad()
def count(call: Callable[[], Any]) -> Counter:
    """What a call runs."""
    with Counter() as counter:
        call()
    return counter


def _flops(func: Any, args: Any, kwargs: Any, out: Any) -> float:
    """By PyTorch's own formulas, a multiplication and an addition counted as two."""
    if "scaled_dot" in func._schema.name:  # those of a CPU have no formula
        return float(sdpa_flop_count(*(a.shape for a in args[:3])))
    formula = flop_registry.get(func.overloadpacket)
    return float(formula(*args, **(kwargs or {}), out_val=out)) if formula else 0.0


def _nbytes(tensor: Tensor) -> int:
    """Of an expanded tensor, what is there to be read."""
    return min(tensor.nbytes, tensor.untyped_storage().nbytes())
