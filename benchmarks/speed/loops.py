"""The loop that users wait for: `sample` with a network, for every sampler."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

import colddiff as cd
from colddiff.models.precision import CheckedRestorer
from colddiff.samplers.base import Restorer
from colddiff.samplers.cuda_graph import captured

from ..lib.interleaved import Call, Effort, Table, paired
from ..lib.machine import wait
from .cases import bound, images
from .levers import BF16, FP32, Lever, as_we_ship
from .peers import Peer, available, build, parameters

TITLE = "The sampling loop with its network"
BASE = "ours, improved"
SIZES = [(16, 32), (4, 128)]  # batch, side
# A cold operator for those that keep its params, noise for those that estimate them.
OPERATORS = {name: cd.GaussianNoise() if name in ("estimated", "ddpm") else cd.GaussianBlur() for name in cd.SAMPLERS}

RECORDED = ("naive", "improved", "estimated")  # samplers that draw nothing on the way


def tables(effort: Effort) -> Iterator[Table]:
    for millions in (5,) if effort.quick else (5, 35):
        for batch, side in SIZES[:1] if effort.quick else SIZES:
            yield loop_table(millions, images(batch, 3, side, side, device=effort.device), effort)


def loop_table(millions: int, x: Tensor, effort: Effort) -> Table:
    """Milliseconds of a step; ours as it ships, the peer as it ships and with levers."""
    # A recording is made once a walk: too few steps would show little else.
    steps = 2 if effort.quick else 50 if x.is_cuda else 5
    shipped = as_we_ship(x.device)
    net = shipped.placed(build("ours", millions), x.device).eval()
    R = CheckedRestorer(net, shipped.precision)
    loops = {f"ours, {name}": _ours(x, name, steps) for name in cd.SAMPLERS}
    calls: dict[str, Call] = {name: (lambda loop=loop: loop(R)) for name, loop in loops.items()}
    if effort.compile:
        fast = CheckedRestorer(net, shipped.precision, compile=True)
        calls[f"{BASE}, compiled"] = lambda: loops[BASE](fast)
    if x.is_cuda:
        recorded = {f"ours, {name}, captured": _ours(x, name, steps, captured) for name in RECORDED}
        calls |= {name: (lambda loop=loop: loop(R)) for name, loop in recorded.items()}
    makers, said = available()
    sizes = f"Ours has {parameters(net):.1f}M parameters"
    if "diffusers" in makers:
        theirs = build("diffusers", millions)
        calls |= {f"diffusers, DDIM, {lever.name}": _diffusers(theirs, lever, x, steps) for lever in (FP32, BF16)}
        sizes += f", that of diffusers {parameters(theirs):.1f}M"
    factor = {name: 1.0 if name == "ours, one_shot" else 1 / steps for name in calls}
    title = f"A step with about {millions}M parameters at {x.shape[-1]} px, batch {len(x)}"
    note = f"{sizes}; ours runs as `load` has it, {shipped.name}. Mean of {steps} steps. {said}"
    table = paired(title, calls, base=BASE, effort=effort, factor=factor, note=note.strip())
    # In a pass of its own: to read the clock makes a GPU wait.
    table.add("outside the network", {name: f"{share_outside(loop, R):.2%}" for name, loop in loops.items()})
    return table.add("images/s of a step", {n: len(x) / table.seconds(n).median for n in calls})


def share_outside(loop: Callable[[Restorer], Tensor], R: Restorer, repeats: int = 3) -> float:
    """The share of a loop's time that is not spent in the restorer."""
    clocked = Clocked(R)
    wait()
    began = time.perf_counter()
    for _ in range(repeats):
        loop(clocked)
    wait()
    return 1 - clocked.seconds / (time.perf_counter() - began)


class Clocked:
    """A restorer that adds up the seconds spent in it."""

    def __init__(self, R: Restorer) -> None:
        self.R, self.seconds = R, 0.0

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        wait()
        began = time.perf_counter()
        x0 = self.R(x, t)
        wait()
        self.seconds += time.perf_counter() - began
        return x0


def _ours(
    x: Tensor, name: str, steps: int, wrapper: Callable[[cd.Sampler], cd.Sampler] = lambda sampler: sampler
) -> Callable[[Restorer], Tensor]:
    D, generator, sampler = bound(OPERATORS[name], x), torch.Generator().manual_seed(0), wrapper(cd.SAMPLERS[name])
    return lambda R: cd.sample(R, D, x, steps=steps, sampler=sampler, generator=generator)


def _diffusers(net: nn.Module, lever: Lever, x: Tensor, steps: int) -> Call:
    """The denoising loop as its pipelines write it."""
    from diffusers import DDIMScheduler

    assert isinstance(net, Peer)
    unet = lever.placed(net.net, x.device).eval()
    scheduler = DDIMScheduler(num_train_timesteps=1000)
    scheduler.set_timesteps(steps)

    @torch.no_grad()
    def loop() -> Tensor:
        y = x.contiguous(memory_format=lever.layout)
        for t in scheduler.timesteps:
            with lever.autocast(x.device):
                noise = unet(y, t).sample
            y = scheduler.step(noise.float(), t, y).prev_sample
        return y

    return loop
