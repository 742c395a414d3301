"""One optimizer step of a network, the same for all makers."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .levers import FP32, Lever


def training_step(
    net: nn.Module, lever: Lever, x: Tensor, t: Tensor, optimizer: type = torch.optim.Adam
) -> Callable[[], Tensor]:
    """A call that makes a step and returns its loss: L1, gradients clipped at 1, Adam, moving averages.

    Without levers the optimizer is the loop that PyTorch has by default, with them it is fused.
    """
    own = lever.placed(net, x.device).train()
    averaged = copy.deepcopy(own).requires_grad_(False)
    model = torch.compile(own) if lever.compiled else own
    adam = optimizer(own.parameters(), lr=1e-4, fused=None if lever == FP32 else True)
    damaged = (0.9 * x + 0.1 * x.flip(-1)).contiguous(memory_format=lever.layout)

    def step() -> Tensor:
        with lever.autocast(x.device):
            loss = (model(damaged, t).float() - x).abs().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(own.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged.parameters()), list(own.parameters()), 0.001)
        return loss.detach()

    return step
