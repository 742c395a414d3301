"""How much of what the machine could do our network gets: its own roofline, with the peaks of the same minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..lib.interleaved import Call, Effort, Table, paired
from .cases import images
from .flops import FREE, Layer, count
from .levers import BF16, FP32, forward, levers
from .peers import build

TITLE = "Share of the network's own roofline"
MIB = 2**20
COPIES = (1, 4, 16, 64, 256)  # MiB
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
CONVOLUTION, PRODUCT = "convolution 3 x 3", "matrix product"
NOTE = (
    "The roofline is the sum over the network's layers (convolutions, linear, attention, norms, elementwise, "
    "concatenation and upsampling; no casts, no changes of memory format) of the longer of FLOPs over the peak and "
    "bytes over the bandwidth, each layer as eager PyTorch runs it, at the fastest tenth of the peaks in this table. "
    "`share` takes the bandwidth of main memory; `share, cached` that of a copy of the layer's own size, which a cache "
    "makes faster, and the roofline lower."
)


def tables(effort: Effort) -> Iterator[Table]:
    millions, batch = (5, 4) if effort.quick else (35, 32)
    x, t = images(batch, 3, 32, 32, device=effort.device), images(batch, device=effort.device)
    net = build("ours", millions)
    tried = levers(effort.device, effort.compile)
    runs = {f"ours {millions}M, {lever.name}": forward(net, lever, x, t) for lever in tried}
    work = probes(effort)
    calls = {name: call for name, (call, _) in work.items()} | runs
    base = f"ours {millions}M, {BF16.name}"
    table = paired(f"Peaks, and a forward pass of batch {batch} at 32 px", calls, base=base, effort=effort, note=NOTE)
    rates = {name: amount / table.seconds(name).low for name, (_, amount) in work.items()}
    table.add("TFLOP/s", {name: rate / 1e12 for name, rate in rates.items() if not name.startswith("copy")})
    table.add("GB/s", {name: rate / 1e9 for name, rate in rates.items() if name.startswith("copy")})
    layers = {lever.precision: own_layers(runs[f"ours {millions}M, {lever.name}"]) for lever in (FP32, BF16)}
    for lever in tried:
        name = f"ours {millions}M, {lever.name}"
        for column, bandwidth in (("share", _main_memory(rates)), ("share, cached", _own_size(rates))):
            least = sum(layer.least_s(_peaks(rates), bandwidth) for layer in layers[lever.precision])
            table.add(column, {name: f"{least / table.seconds(name).median:.0%}"})
    yield table
    yield by_kind(layers["bf16"], rates)


def probes(effort: Effort) -> dict[str, tuple[Call, float]]:
    """What the machine can do: a call, and the FLOPs or bytes of it."""
    device, large = effort.device, effort.device.type == "cuda"
    batch, side = (512, 8192) if large else (4, 256) if effort.quick else (32, 2048)
    found: dict[str, tuple[Call, float]] = {}
    for name, dtype in DTYPES.items():
        x = images(batch, 256, 16, 16, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        w = images(256, 256, 3, 3, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        a = images(side, side, device=device, dtype=dtype)
        found[f"{CONVOLUTION}, {name}"] = partial(F.conv2d, x, w, padding=1), 2.0 * batch * 256**2 * 256 * 9
        found[f"{PRODUCT}, {name}"] = partial(torch.mm, a, a), 2.0 * side**3
    for mib in COPIES:
        source = torch.zeros(mib * MIB // 8, device=device)
        # Half of it read, half of it written.
        found[f"copy, {mib} MiB"] = partial(torch.empty_like(source).copy_, source), float(mib * MIB)
    return found


def own_layers(eager: Callable[[], Tensor]) -> list[Layer]:
    """The layers of a forward pass that was made before: the first one is checked against another."""
    return [layer for layer in count(eager).layers if layer.kind not in FREE]


def by_kind(layers: list[Layer], rates: dict[str, float]) -> Table:
    """Where the roofline of the bf16 network comes from."""
    rows = []
    for kind in (*sorted({layer.kind for layer in layers}), "all"):
        some = [layer for layer in layers if kind in (layer.kind, "all")]
        rows.append({
            "name": kind, "layers": len(some), "GFLOP": sum(layer.flops for layer in some) / 1e9,
            "MiB": sum(layer.bytes for layer in some) / MIB,
            "least ms": 1e3 * sum(layer.least_s(_peaks(rates), _main_memory(rates)) for layer in some),
            "least ms, cached": 1e3 * sum(layer.least_s(_peaks(rates), _own_size(rates)) for layer in some),
        })  # fmt: skip
    return Table("Its layers in bf16, by kind", rows)


def _peaks(rates: dict[str, float]) -> dict[tuple[str, torch.dtype], float]:
    units = {"convolution": CONVOLUTION, "product": PRODUCT}
    return {(unit, dtype): rates[f"{name}, {d}"] for unit, name in units.items() for d, dtype in DTYPES.items()}


def _main_memory(rates: dict[str, float]) -> Callable[[float], float]:
    return lambda nbytes: rates[f"copy, {COPIES[-1]} MiB"]


def _own_size(rates: dict[str, float]) -> Callable[[float], float]:
    return lambda nbytes: rates[f"copy, {min(COPIES, key=lambda mib: abs(mib * MIB - nbytes))} MiB"]
