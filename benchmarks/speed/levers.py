"""What a network can be given to run faster, and whether it still answers the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colddiff.models.precision import CheckedRestorer, pick_precision
from colddiff.samplers.cuda_graph import Recorded

LARGEST_ERROR = 0.1  # of a valid lever: distance from eager float32, over what the network adds to its input


@dataclass(frozen=True)
class Lever:
    """How a network is run."""

    name: str
    precision: str = "fp32"
    channels_last: bool = False
    compiled: bool = False
    captured: bool = False  # as a CUDA graph

    def autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    @property
    def layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def placed(self, net: nn.Module, device: torch.device) -> nn.Module:
        """A copy of a network on the device, in the memory format."""
        own: nn.Module = copy.deepcopy(net).to(device, memory_format=self.layout)  # type: ignore[call-overload]
        return own


FP32 = Lever("fp32")
BF16 = Lever("bf16 channels_last", precision="bf16", channels_last=True)
COMPILED = Lever("compiled", precision="bf16", channels_last=True, compiled=True)
CAPTURED = Lever("captured", precision="bf16", channels_last=True, captured=True)


def levers(device: torch.device, compile: bool) -> list[Lever]:
    """Those to be tried; the first is how the peers ship."""
    return [FP32, BF16, *([COMPILED] if compile else []), *([CAPTURED] if device.type == "cuda" else [])]


def as_we_ship(device: torch.device) -> Lever:
    """What `load(..., precision="auto")` gives our network here."""
    return BF16 if pick_precision("auto", device) == "bf16" else Lever("fp32 channels_last", channels_last=True)


def forward(net: nn.Module, lever: Lever, x: Tensor, t: Tensor) -> Callable[[], Tensor]:
    """A call of the network without gradients, whoever made it, by the library's own way to run one."""
    R = CheckedRestorer(lever.placed(net, x.device).eval(), lever.precision, lever.compiled)
    x = x.contiguous(memory_format=lever.layout)
    return _captured(R, x, t) if lever.captured else lambda: R(x, t)


def valid(answer: Tensor, exact: Tensor, x: Tensor) -> bool:
    """Whether an answer is finite, and near the one of eager float32."""
    error = (answer.float() - exact).square().mean().sqrt() / (exact - x).square().mean().sqrt()
    return bool(error.isfinite() and error <= LARGEST_ERROR)


def _captured(R: CheckedRestorer, x: Tensor, t: Tensor) -> Callable[[], Tensor]:
    replay = Recorded(lambda x, t: (R(x, t),) * 2, x, t)
    return lambda: replay(x, t)[0]
