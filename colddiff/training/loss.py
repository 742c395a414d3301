"""What a training lowers, and how it is measured on held-out images."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..degradations.base import Degradation
from ..samplers.algorithms import improved
from .batches import Batch, Batches
from .config import TrainConfig

VALIDATION_IMAGES = 256


def restoration_loss(R: nn.Module, degradation: Degradation, batch: Batch, config: TrainConfig) -> Tensor:
    """E |R(x_t, t) - x0|, or its square.

    x_t is D(x0, t); in the rows `walked` it is what a step of the network's own makes of D(x0, u), u the earlier time.

    A network that predicts noise or velocity is weighted so that the error is half that of its prediction.

    Source: Cold Diffusion, equation 2.
    """
    x_t = degradation(batch.x0, batch.t if batch.earlier is None else batch.earlier, batch.params)
    if batch.noise is not None:
        x_t = x_t + batch.noise
    if config.quantize_inputs:
        x_t = (x_t * 255).round() / 255
    if batch.walked is not None:
        x_t = _rolled_out(R, degradation, batch, x_t)
    beside = () if batch.condition is None else (batch.condition,)
    error: Tensor = R(x_t, batch.t, *beside).float() - batch.x0
    for wrapper in ("module", "net"):  # of several processes, of torch.compile
        R = R if hasattr(R, "loss_weight") else getattr(R, wrapper, R)
    weight = getattr(R, "loss_weight", None)
    if weight is not None:
        error = error * weight(batch.t, batch.x0)
    return error.abs().mean() if config.loss == "l1" else error.square().mean()


def adam(net: nn.Module, lr: float, fused: bool | None = None) -> torch.optim.Adam:
    """The optimizer of a training; fused where the device has it, unless said otherwise."""
    where = next(net.parameters()).device.type
    return torch.optim.Adam(
        net.parameters(), lr=lr, betas=(0.9, 0.99), fused=where in ("cpu", "cuda") if fused is None else fused
    )


def loss_on(batch: Batch, config: TrainConfig) -> Callable[[nn.Module, str], Tensor]:
    """The loss of a network on one batch in a precision, for checks."""

    def loss_of(net: nn.Module, precision: str) -> Tensor:
        with torch.autocast(batch.x0.device.type, torch.bfloat16, enabled=precision == "bf16"):
            return restoration_loss(net, config.degradation, batch, config)

    return loss_of


@torch.no_grad()
def validation_loss(
    ema: nn.Module, checks: Batches, config: TrainConfig, precision: str, device: torch.device
) -> tuple[float, float]:
    """The loss of the averaged weights on held-out images, and by what share bf16 raises it; 0 in float32."""
    losses, exact = [], []
    for batch in checks.one_pass(device, VALIDATION_IMAGES):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            losses.append(float(restoration_loss(ema, config.degradation, batch, config)))
        exact.append(
            float(restoration_loss(ema, config.degradation, batch, config)) if precision == "bf16" else losses[-1]
        )
    loss = statistics.fmean(losses)
    return loss, loss / max(statistics.fmean(exact), 1e-9) - 1


# --- helpers ---------------------------------------------------------------------------------------------------------


def _rolled_out(R: nn.Module, degradation: Degradation, batch: Batch, x: Tensor) -> Tensor:
    """Images at times t, where some came from earlier ones: by a step of `improved` that nothing is learned from."""
    assert batch.earlier is not None
    rows, condition = batch.walked, [] if batch.condition is None else [batch.condition[batch.walked]]
    D = degradation.bind({name: value[rows] for name, value in batch.params.items()}, like=x[rows])
    times = torch.stack([batch.earlier[rows], batch.t[rows]])
    (state,) = improved(lambda x, t: R(x, t, *condition).float(), D, x[rows], times)
    walked = x.clone()
    walked[rows] = state.x
    return walked
