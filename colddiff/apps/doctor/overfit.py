"""Whether a network of a run's kind learns one batch by heart: what learns at all can do that."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ...models.networks.unet import RestorerConfig
from ...training.config import TrainConfig
from ...training.loop import learning_rate
from ...training.loss import adam, restoration_loss
from ...utils.rng import seed_for
from .finding import Finding
from .probe_batch import ProbeBatch

STEPS = 80
LEARNED = 0.8  # share of its first loss that a network must come below; healthy ones came to 0.03 .. 0.79
MOVED = 0.95  # share above which it has learned nothing
SECONDS = 20.0  # after which it is given up


def overfit(case: ProbeBatch) -> Iterator[Finding]:
    """A fresh network of the run's kind must learn one batch, by the library's loss, learning rate and optimizer."""
    spec, device, precision = case.run.config["restorer"], case.run.device, case.run.precision
    if spec is None:
        yield Finding("overfit", "skipped", "the network is not one of the library's")
        return
    # A rate that is meant for many more steps would learn nothing in so few.
    config = replace(case.config, lr=max(case.config.lr, TrainConfig.lr), cosine_decay=False)
    cuda = [device] if device.type == "cuda" else []
    # The worst damage: a network begins as near to mild damage as it would come in many steps.
    batch = replace(case.batch, t=torch.ones_like(case.batch.t))
    losses: list[float] = []
    began = time.perf_counter()
    with torch.random.fork_rng(cuda):
        torch.manual_seed(seed_for(config.seed, "weights"))
        net: Any = RestorerConfig.from_config(spec).build()
        net = net.to(device, memory_format=torch.channels_last).train()
        if hasattr(net, "fit"):
            net.fit(case.data.images)
        optimizer = adam(net, config.lr)
        while len(losses) < STEPS and time.perf_counter() - began < SECONDS:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(len(losses), STEPS, config)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = restoration_loss(net, config.degradation, batch, config)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), config.grad_clip)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
    yield learned(losses, time.perf_counter() - began, f"{precision}, lr {config.lr:g}, {case.images}")


def learned(losses: list[float], seconds: float, how: str) -> Finding:
    """What a course of losses says."""
    first, last = losses[0], sum(losses[-3:]) / len(losses[-3:])
    limit = LEARNED * first
    told = f"loss {first:.4f} -> {last:.4f} in {len(losses)} steps and {seconds:.1f} s, limit {limit:.4f} ({how})"
    if bad := [k for k, loss in enumerate(losses, start=1) if not math.isfinite(loss)]:
        return Finding("overfit", "problem", f"not finite at step {bad[0]}: {told}", "a smaller --lr, --precision fp32")
    if last <= limit:
        return Finding("overfit", "ok", told)
    if len(losses) < STEPS:
        return Finding(
            "overfit", "warning", f"stopped by the clock: {told}", "a smaller --unet-size, or a faster device"
        )
    if last <= MOVED * first:
        return Finding("overfit", "warning", f"learns slowly: {told}", "a larger --lr, unless the damage is mild")
    return Finding("overfit", "problem", told, "loss, optimizer or degradation are wrong, or --lr is too large")
