"""A forward pass and a training step of three networks, as they ship and given the same levers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ..lib.interleaved import Effort, Table, paired
from .cases import images
from .flops import count
from .levers import CAPTURED, FP32, Lever, as_we_ship, forward, levers, valid
from .memory import LEVERS, peak_mib
from .peers import available, build, parameters
from .training_step import training_step

TITLE = "Networks: forward pass and training step"
SHIPPED = (
    "As they ship, the peers are the rows `fp32` (PyTorch's default memory format, eager), and ours `{}`, which is "
    "what `load` and `train` choose here. Ratios are to ours as it ships for the rows `fp32`, else to ours with the "
    "same levers."
)


def tables(effort: Effort) -> Iterator[Table]:
    for millions in (5,) if effort.quick else (5, 35):
        makers, said = available()
        nets = {name: build(name, millions) for name in makers}
        batch = 4 if effort.quick else 32
        x, t = images(batch, 3, 32, 32, device=effort.device), images(batch, device=effort.device)
        flops = {name: count(forward(net, FP32, x, t)).flops / batch for name, net in nets.items()}
        yield forward_table(millions, nets, x, t, effort, flops, said)
        yield training_table(millions, nets, x, t, effort, flops, said)


def forward_table(
    millions: int, nets: dict[str, nn.Module], x: Tensor, t: Tensor, effort: Effort, flops: dict[str, float], said: str
) -> Table:
    """Images per second without gradients."""
    exact = {name: forward(net, FP32, x, t)() for name, net in nets.items()}
    calls, left_out = _tried(
        nets, _levers(effort), lambda name, lever: forward(nets[name], lever, x, t),
        lambda name, call: valid(call(), exact[name], x),
    )  # fmt: skip
    title = f"Forward pass at about {millions}M parameters, 32 px, batch {len(x)}"
    return _table(title, calls, nets, effort, len(x), flops, " ".join([*left_out, said]))


def training_table(
    millions: int, nets: dict[str, nn.Module], x: Tensor, t: Tensor, effort: Effort, flops: dict[str, float], said: str
) -> Table:
    """Images per second of optimizer steps, and the peak of the memory in a process of its own."""
    exact = {name: float(training_step(net, FP32, x, t)()) for name, net in nets.items()}

    def same(name: str, step: Callable[[], Tensor]) -> bool:
        return abs(float(step()) / exact[name] - 1) <= 0.1 and bool(step().isfinite())

    def begun(name: str, lever: Lever) -> Callable[[], Tensor]:
        adamw = name == "diffusers" and lever == FP32  # as its example of a training has it
        return training_step(nets[name], lever, x, t, torch.optim.AdamW if adamw else torch.optim.Adam)

    tried = [lever for lever in _levers(effort) if lever != CAPTURED]
    calls, left_out = _tried(nets, tried, begun, same)
    title = f"Training step at about {millions}M parameters, 32 px, batch {len(x)}"
    # Backward is twice the forward.
    thrice = {name: 3 * value for name, value in flops.items()}
    table = _table(title, calls, nets, effort, len(x), thrice, " ".join([*left_out, said]))
    measured = [key for key in calls if key.split(", ")[1] in LEVERS]
    peaks = {key: peak_mib(key.split(", ")[0], millions, key.split(", ")[1], len(x)) for key in measured}
    for column in ("peak", "above the built network"):
        table.add(f"MiB, {column}", {key: peak[column] for key, peak in peaks.items()})
    return table


def _levers(effort: Effort) -> list[Lever]:
    tried = levers(effort.device, effort.compile)
    shipped = as_we_ship(effort.device)
    return tried if shipped in tried else [*tried, shipped]


def _tried(
    nets: dict[str, nn.Module],
    tried: list[Lever],
    make: Callable[[str, Lever], Callable[[], Tensor]],
    holds: Callable[[str, Callable[[], Tensor]], bool],
) -> tuple[dict[str, Callable[[], Tensor]], list[str]]:
    """The calls that do what eager float32 does, and a sentence about each that does not."""
    calls, left_out = {}, []
    for name in nets:
        for lever in tried:
            key = f"{name}, {lever.name}"
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("error", message="the network in")  # that something else is run instead
                    call = make(name, lever)
                    sound = holds(name, call)
            except (RuntimeError, UserWarning) as error:  # of the compiler, or of an operator without that precision
                left_out.append(f"Left out: {key} ({str(error).splitlines()[0]}).")
                continue
            if sound:
                calls[key] = call
            else:
                left_out.append(f"Left out: {key}, whose answer is not that of eager float32.")
    return calls, left_out


def _table(
    title: str, calls: dict[str, Callable[[], Tensor]], nets: dict[str, nn.Module], effort: Effort,
    batch: int, flops: dict[str, float], said: str,
) -> Table:  # fmt: skip
    shipped = as_we_ship(effort.device).name
    base = f"ours, {shipped}"
    same = {key: f"ours, {key.split(', ')[1]}" for key in calls if not key.startswith("ours") and "fp32" not in key}
    against = {key: ours for key, ours in same.items() if ours in calls}
    note = f"{SHIPPED.format(shipped)} {said}".strip()
    table = paired(title, calls, base=base, effort=effort, against=against, note=note)
    maker = {key: key.split(", ")[0] for key in calls}
    table.add("M parameters", {key: parameters(nets[name]) for key, name in maker.items()})
    table.add("GFLOP/image", {key: flops[name] / 1e9 for key, name in maker.items()})
    table.add("images/s", {key: batch / table.seconds(key).median for key in calls})
    return table.add(
        "TFLOP/s", {key: batch * flops[name] / table.seconds(key).median / 1e12 for key, name in maker.items()}
    )
