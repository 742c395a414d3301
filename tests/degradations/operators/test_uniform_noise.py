"""Uniform noise: what it computes, against a slow twin."""

import math

import pytest
import torch
from support.comparing import distance

from colddiff import UniformNoise


def test_wrapped_uniform_noise_stays_in_range_and_ends_uniform(images) -> None:
    x = torch.full((1, 1, 100, 100), 0.9)
    op = UniformNoise()
    y = op(x, 1.0, op.draw(x, torch.Generator().manual_seed(0)))
    assert float(y.min()) >= 0 and float(y.max()) < 1
    assert torch.histc(y, 10, 0, 1).sub(1000).abs().max() < 4 * math.sqrt(900)


def test_the_draws_of_wrapped_noise_are_found_again(images) -> None:
    x, op = images(2, 1, 4, 4), UniformNoise()
    params = op.draw(x, torch.Generator().manual_seed(0))
    for t in (0.4, 1.0):
        found = op.bind({}, like=x).estimate(op(x, t, params), x, t).params["u"]
        assert distance(found, params["u"].to(found)) < 1e-12


def test_uniform_noise_wraps_only_when_told() -> None:
    x, u = torch.full((1, 1, 1, 1), 0.9), {"u": torch.full((1, 1, 1, 1), 0.4)}
    assert float(UniformNoise()(x, 0.5, u)) == pytest.approx(0.1)
    assert float(UniformNoise(wrap=False)(x, 0.5, u)) == pytest.approx(1.1)
