"""The loop that users wait for: `sample` with the U-Net, and the share of its time outside the network."""

import time

import pytest
import torch

from colddiff import SAMPLERS, GaussianBlur, GaussianNoise, UNetConfig, sample
from colddiff.checkpoint import as_restorer, pick_precision

STEPS = 5
OPERATORS = {name: GaussianNoise() if name in ("estimated", "ddpm") else GaussianBlur() for name in SAMPLERS}


class Clocked:
    """A restorer that adds up the seconds spent in it."""

    def __init__(self, R, device):
        self.R, self.device, self.seconds = R, device, 0.0

    def __call__(self, x, t):
        began = self._now()
        x0 = self.R(x, t)
        self.seconds += self._now() - began
        return x0

    def _now(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


@pytest.mark.parametrize(("side", "batch"), [(32, 8), (128, 2)], ids=["32px-B8", "128px-B2"])
@pytest.mark.parametrize("name", SAMPLERS)
def bench_sample(name, side, batch, device, synchronised, benchmark):
    op, generator = OPERATORS[name], torch.Generator().manual_seed(0)
    x = torch.rand(batch, 3, side, side, generator=generator).to(device)
    D = op.bind(op.draw(x, generator), like=x)
    net = UNetConfig().build().to(device, memory_format=torch.channels_last).eval()
    R = as_restorer(net, pick_precision("auto", device))
    run = synchronised(lambda R=R: sample(R, D, x, steps=STEPS, sampler=name, generator=generator))
    benchmark.pedantic(run, rounds=7, warmup_rounds=1)
    # The share is taken in a pass of its own: reading the clock makes a GPU wait.
    clocked = Clocked(R, device)
    began = time.perf_counter()
    for _ in range(3):
        run(clocked)
    outside = 1 - clocked.seconds / (time.perf_counter() - began)
    seconds, calls = benchmark.stats.stats.median, 1 if name == "one_shot" else STEPS
    benchmark.extra_info["ms per step"] = round(1e3 * seconds / calls, 2)
    benchmark.extra_info["images per s"] = round(batch / seconds, 1)
    benchmark.extra_info["outside the network"] = f"{100 * outside:.1f}%"
