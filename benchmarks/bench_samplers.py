"""Every sampler with a restorer that costs nothing: what the loop itself takes."""

import pytest
import torch

from colddiff import SAMPLERS, GaussianBlur, GaussianNoise, sample

STEPS = 20
# A cold operator for those that keep its params, noise for those that estimate them.
OPERATORS = {name: GaussianNoise() if name in ("estimated", "ddpm") else GaussianBlur() for name in SAMPLERS}


@pytest.mark.parametrize(("side", "batch"), [(32, 32), (128, 8)], ids=["32px-B32", "128px-B8"])
@pytest.mark.parametrize("name", SAMPLERS)
def bench_sampler(name, side, batch, device, synchronised, benchmark):
    op, generator = OPERATORS[name], torch.Generator().manual_seed(0)
    x = torch.rand(batch, 3, side, side, generator=generator).to(device)
    D = op.bind(op.draw(x, generator), like=x)
    run = synchronised(lambda: sample(lambda x, t: x, D, x, steps=STEPS, sampler=name, generator=generator))
    run()
    assert benchmark(run).shape == x.shape
    calls = 1 if name == "one_shot" else STEPS
    benchmark.extra_info["ms per step"] = round(1e3 * benchmark.stats.stats.median / calls, 3)
