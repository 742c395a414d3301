"""Every registered degradation: one call of a bound D, each image at its own time."""

import pytest
import torch

from colddiff import Degradation, GaussianBlur, Interpolate
from colddiff.registry import registered

SIZES = [(32, 32), (128, 8)]
# Interpolation needs an end: the blur's.
EXAMPLES = {"interpolate": Interpolate(to=GaussianBlur())}
NAMES = sorted(registered(Degradation.group))


@pytest.mark.parametrize(("side", "batch"), SIZES, ids=[f"{side}px-B{batch}" for side, batch in SIZES])
@pytest.mark.parametrize("name", NAMES)
def bench_degradation(name, side, batch, device, synchronised, benchmark):
    op = EXAMPLES.get(name) or Degradation.from_config(name)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(batch, 3, side, side, generator=generator)
    D = op.bind(op.draw(x, generator), like=x.to(device))
    x, t = x.to(device), torch.rand(batch, generator=generator, dtype=torch.float64).to(device)
    run = synchronised(lambda: D(x, t))
    run()
    assert benchmark(run).shape == x.shape
