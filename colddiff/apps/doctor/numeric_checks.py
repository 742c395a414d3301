"""Every fast path of the library against float32 eager, on this machine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...degradations.base import Degradation, Images
from ...models.precision import DARK, SLOPE, TOLERANCE, CheckedRestorer, wrong_slope
from ...samplers.algorithms import improved
from ...samplers.cuda_graph import TOLERANCE as REPLAYED
from ...samplers.cuda_graph import WORTH_IT, captured
from ...samplers.time_grid import time_grid
from ...testing.reporting import ROUNDING
from ...training.loop import GATE
from ...training.loss import adam, loss_on, validation_loss
from ...utils.config import registered
from ...utils.numerics import exact_matmul
from ...utils.rng import generator_for
from .finding import Finding
from .probe_batch import ProbeBatch

USUAL = 0.99  # share of values that float32 has to be right in
LEFT_OUT = "nothing to do: the library looks too, and goes on in eager float32 where this happens"
REPORT = "please report it with this output"


def off(found: Tensor, exact: Tensor) -> float:
    """The error of an answer relative to the exact one, both as root mean squares, as `precision` measures it."""
    scale = exact.double().square().mean().sqrt().clamp(min=DARK)
    return float((found.double() - exact.double()).square().mean().sqrt() / scale)


def compared(name: str, found: Tensor, exact: Tensor, limit: float, cure: str = REPORT) -> Finding:
    """Whether an answer is the exact one, within a limit."""
    error = off(found, exact)
    measured = f"{error:.1e} off, limit {limit:.0e}" if found.isfinite().all() else "numbers that are not finite"
    right = error <= limit
    return Finding(name, "ok" if right else "problem", measured, "" if right else cure)


def network_paths(case: ProbeBatch, compile: bool) -> Iterator[Finding]:
    """Every way to compute a network's answer, against contiguous float32 eager."""
    net, seen = case.run.net, case.seen
    with torch.no_grad(), exact_matmul():
        plain: Any = copy.deepcopy(net).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        exact = plain(*(part.contiguous() for part in seen))
        answer = net(*seen)
    if not exact.isfinite().all():
        yield Finding("float32", "problem", "the network gives numbers that are not finite", "look at its weights")
        return
    yield compared("channels_last", answer, exact, TOLERANCE["fp32"])
    ways = CheckedRestorer(net, "bf16", compile).ways[:-1]
    if compile:
        ways += CheckedRestorer(net, "fp32", compile).ways[:-1]
    for way in ways:
        with torch.no_grad():
            one = compared(way.name, way.call(*seen), exact, way.tolerance)
        lost = replace(one, verdict="warning", cure=LEFT_OUT)
        yield one if one.verdict == "ok" else lost
    if not compile:
        yield Finding("compiled", "skipped", "takes up to minutes", "add --compile")
        yield Finding("compiled training", "skipped", "takes up to minutes", "add --compile")
    else:
        yield _compiled_training(case)
    yield _bf16_training(case)
    yield _graph(case)


def _bf16_training(case: ProbeBatch) -> Finding:
    """The loss in bf16, by the gate that a training asks."""
    _, drift = validation_loss(case.run.net, case.batches, case.config, "bf16", case.run.device)
    measured = f"changes the loss by {drift:+.2%}, limit {GATE:+.0%}"
    if drift <= GATE:
        return Finding("bf16 training", "ok", measured)
    return Finding("bf16 training", "warning", measured, LEFT_OUT)


def _compiled_training(case: ProbeBatch) -> Finding:
    """Loss and gradient of the compiled network."""
    net = copy.deepcopy(case.run.net).train().requires_grad_(True)
    fast: Any = torch.compile(net)
    complaint = wrong_slope(fast, net, loss_on(case.batch, case.config), "fp32")
    limits = f"limits {TOLERANCE['fp32']:.0e} and {SLOPE * TOLERANCE['fp32']:.0e}"
    if complaint:
        return Finding("compiled training", "warning", f"{complaint}; {limits}", LEFT_OUT)
    return Finding("compiled training", "ok", f"loss and gradient as in eager float32, {limits}")


def _graph(case: ProbeBatch) -> Finding:
    """Steps of a sampler as one CUDA graph."""
    if case.run.device.type != "cuda":
        return Finding("CUDA graphs", "skipped", f"the network is on {case.run.device}")
    if case.batch.condition is not None:
        return Finding("CUDA graphs", "skipped", "not for conditional restorers")
    op, x = case.run.degradation, case.seen[0]
    D = op.bind(case.batch.params, like=x)
    steps = min(op.levels or WORTH_IT + 1, WORTH_IT + 1)
    times = time_grid(steps, levels=op.level_times())
    R = CheckedRestorer(case.run.net)
    *_, exact = improved(R, D, x, times)
    *_, replayed = captured(improved)(R, D, x, times)
    return compared("CUDA graphs", replayed.x, exact.x, REPLAYED)


def optimizer_paths(case: ProbeBatch) -> Iterator[Finding]:
    """A step of fused Adam against one of plain Adam."""
    if case.run.device.type not in ("cpu", "cuda"):
        yield Finding("fused Adam", "skipped", f"not on {case.run.device}")
        return
    steps = []
    for fused in (True, False):
        net = copy.deepcopy(case.run.net).requires_grad_(True)
        before = _vector(net)
        optimizer = adam(net, case.config.lr, fused)
        loss_on(case.batch, case.config)(net, "fp32").backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        steps.append((_vector(net) - before) / case.config.lr)
    fused_step, plain_step = steps
    yield compared("fused Adam", fused_step, plain_step, TOLERANCE["fp32"])


def operator_paths() -> Iterator[Finding]:
    """What operators have for less, against what it stands for; each line names the operator that is farthest off."""
    operators = list(_operators())
    x = F.interpolate(
        torch.rand(4, 3, 4, 4, generator=generator_for("operators"), dtype=torch.float64), (16, 16), mode="bilinear"
    )
    own_chain = [op for op in operators if type(op).chain is not Degradation.chain]
    limit = TOLERANCE["fp32"]
    yield _worst("change in one pass", operators, _change, x, limit)
    yield _worst("float32", operators, _single, x, limit)
    yield _worst("closed forms of chains", own_chain, _chain, x, limit)
    yield _worst("draws of a batch", operators, _draws, x, ROUNDING)


def _worst(
    name: str, operators: list[Degradation], error: Callable[[Degradation, Images], float], x: Images, limit: float
) -> Finding:
    errors = {str(op.registered_name): error(op, x) for op in operators}
    wrong = [f"{one} {e:.1e}" for one, e in errors.items() if not e <= limit]
    told = f"{len(errors)} operator{'s' * (len(errors) != 1)}, limit {limit:.0e}"
    if wrong:
        return Finding(name, "problem", f"off: {', '.join(wrong)}; {told}", REPORT)
    worst = max(errors, key=errors.__getitem__, default="none")
    return Finding(name, "ok", f"at most {errors.get(worst, 0):.1e} off ({worst}); {told}")


def _operators() -> Iterator[Degradation]:
    """Every registered operator that can be had without more words or params from data."""
    for cls in registered(Degradation.group).values():
        try:
            op: Any = cls()
        except (TypeError, ValueError):  # made of others that have to be named
            continue
        if not op.required_params:
            yield op


TIMES = torch.tensor([1.0, 0.7, 0.45, 0.2], dtype=torch.float64)
LATER = torch.tensor([0.8, 0.35, 0.2, 0.0], dtype=torch.float64)


def _change(op: Degradation, x: Images) -> float:
    D = op.bind(op.draw(x, generator_for("draw")), like=x.float())
    return off(D.change(x.float(), TIMES, LATER), D(x.float(), LATER) - D(x.float(), TIMES))


def _single(op: Degradation, x: Images) -> float:
    params = op.draw(x, generator_for("draw"))
    single, double = op.bind(params, like=x.float())(x.float(), TIMES), op.bind(params, like=x)(x, TIMES)
    # Operators that round to 8 bits take some values to the next level.
    distance = (single - double).abs()
    usual = distance <= distance.quantile(USUAL)
    return off(single[usual], double[usual])


def _chain(op: Degradation, x: Images) -> float:
    D, times = op.bind(op.draw(x, generator_for("draw")), like=x), op.level_times()
    assert times is not None
    return max(off(D.chain(x, float(t)), D(x, t)) for t in times[[1, len(times) // 2, -1]])


def _draws(op: Degradation, x: Images) -> float:
    together = op.draw_each(x, [generator_for("image", i) for i in range(len(x))])
    alone = [op.draw(x[i : i + 1], generator_for("image", i)) for i in range(len(x))]
    pairs = [(value[i : i + 1], alone[i][name]) for name, value in together.items() for i in range(len(x))]
    return max((float((a.double() - b.double()).abs().max()) for a, b in pairs), default=0.0)


def _vector(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in net.parameters()])
