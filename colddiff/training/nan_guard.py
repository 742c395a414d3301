"""Optimizer steps that are left out where the loss or its gradient is not finite."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class NonFiniteGuard:
    """Leaves steps out and counts them, on the device: nothing waits for it.

    Args:
        net: whose running means and the like stay as they were, too.
        device: of the losses.
        skipped: how many were left out before.
        in_a_row: how many of them just before.
    """

    def __init__(self, net: nn.Module, device: torch.device, skipped: int = 0, in_a_row: int = 0) -> None:
        self._counts = torch.tensor([skipped, in_a_row], device=device)
        self._buffers = [buffer for buffer in net.buffers() if buffer.is_floating_point()]
        self._before = [buffer.clone() for buffer in self._buffers]

    def step(self, optimizer: Any, loss: Tensor, norm: Tensor) -> None:
        """Let an optimizer step, if the loss and the norm of its gradient are finite.

        A fused optimizer is told on the device, by the flag with which scaled gradients report an overflow.
        """
        bad = ~(loss.isfinite() & norm.isfinite())
        skipped, in_a_row = self._counts
        self._counts = torch.stack([skipped + bad, (in_a_row + 1) * bad])
        bare = getattr(optimizer, "optimizer", optimizer)
        if bare.defaults.get("fused"):
            bare.grad_scale, bare.found_inf = None, bad.float()
            optimizer.step()
        elif not bad:
            optimizer.step()
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.copy_(torch.where(bad, before, buffer))
            before.copy_(buffer)

    def counts(self) -> tuple[int, int]:
        """How many steps were left out, and how many of them just now; waits for the device."""
        skipped, in_a_row = self._counts.tolist()
        return skipped, in_a_row

    def forget(self) -> None:
        """Begin to count those in a row anew, with the running means as they are now."""
        self._counts[1] = 0
        for buffer, before in zip(self._buffers, self._before, strict=True):
            before.copy_(buffer)
