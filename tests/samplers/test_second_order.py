"""Heun's and the two-step form of `improved`: what they compute, and that their error falls as the step squared."""

import math
from itertools import pairwise

import pytest
import torch
from support import tiny
from support.sampling import wrong
from torch import Tensor, nn

from colddiff import SAMPLERS, GaussianBlur, Pixelate, PixelMask, PixelNoise, improved, sample, time_grid
from colddiff.models.recommended import Setting
from colddiff.samplers.sample import restorer_calls
from colddiff.testing.reporting import seeded

SECOND = ["heun", "multistep"]


@pytest.mark.parametrize(("name", "order"), [("improved", 1), ("heun", 2), ("multistep", 2)])
def test_the_error_falls_with_the_order_of_the_method(name, order, images) -> None:
    x = images(2, 1, 6, 5)
    D = GaussianBlur(sigma_max=2.0).bind(like=x)
    limit = sample(wrong, D, x, steps=2000, sampler="heun", start=0.8)
    errors = [float((sample(wrong, D, x, steps=k, sampler=name, start=0.8) - limit).abs().max()) for k in (20, 40, 80)]
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(abs(slope - order) < 0.3 for slope in slopes), slopes


def test_heun_is_the_mean_of_the_changes_at_both_ends(images) -> None:
    x = images(2, 1, 6, 5)
    D, (t, s) = GaussianBlur(sigma_max=2.0).bind(like=x), (torch.full((2,), 1.0), torch.full((2,), 0.6))
    first = D(wrong(x, t), s) - D(wrong(x, t), t)
    x_s = wrong(x + first, s)
    expected = x + (first + D(x_s, s) - D(x_s, t)) / 2
    state = next(iter(SAMPLERS["heun"](wrong, D, x, torch.tensor([1.0, 0.6, 0.0], dtype=torch.float64))))
    assert torch.allclose(state.x, expected, atol=1e-7)


def test_multistep_takes_x0_half_a_step_ahead(images) -> None:
    x = images(2, 1, 6, 5)
    D, times = GaussianBlur(sigma_max=2.0).bind(like=x), torch.tensor([1.0, 0.6, 0.4, 0.0], dtype=torch.float64)
    first, second, _ = SAMPLERS["multistep"](wrong, D, x, times)
    assert torch.equal(first.x, next(iter(improved(wrong, D, x, times))).x)
    ahead = second.x0 + 0.5 * (0.2 / 0.4) * (second.x0 - first.x0)  # 0.5 is the time in the middle of 0.6 and 0.4
    assert torch.allclose(second.x, first.x + D(ahead, 0.4) - D(ahead, 0.6), atol=1e-7)


@pytest.mark.parametrize("name", SECOND)
def test_they_are_improved_where_the_answer_does_not_change(name, images) -> None:
    x, answer = images(2, 1, 6, 5), images(2, 1, 6, 5, seed=1)
    for op in (GaussianBlur(sigma_max=2.0), PixelMask(), Pixelate()):
        D = op.bind(op.draw(x, seeded(0)), like=x)
        a, b = (sample(lambda x, t: answer, D, x, steps=5, sampler=which) for which in (name, "improved"))
        assert torch.allclose(a, b, atol=1e-12)


def test_calls_are_told_as_they_are_made(images) -> None:
    x = images(1, 1, 4, 4)
    D = GaussianBlur().bind(like=x)
    for name in ("one_shot", "naive", "improved", *SECOND):
        for steps in (1, 2, 7):
            asked: list[float] = []
            sample(lambda x, t, asked=asked: asked.append(float(t)) or x, D, x, steps=steps, sampler=name)
            assert len(asked) == restorer_calls(name, steps)
            assert min(asked) > 0, "no restorer is trained at t = 0"
    assert Setting(1.0, "heun", 6).description(None) == "heun (11 calls)"


def test_an_image_that_starts_lower_ends_as_it_would_alone(images) -> None:
    x, D = images(2, 1, 6, 5), GaussianBlur(sigma_max=2.0).bind(like=images(2, 1, 6, 5))
    start = torch.tensor([1.0, 0.3], dtype=torch.float64)
    for name in SECOND:
        together = sample(wrong, D, x, steps=6, start=start, sampler=name)
        one = GaussianBlur(sigma_max=2.0).bind(like=x[1:])
        alone = sample(wrong, one, x[1:], times=time_grid(6, 0.3), sampler=name)
        assert torch.allclose(together[1:], alone, atol=1e-12)


@pytest.mark.parametrize("name", SECOND)
def test_a_column_that_stands_still_or_ends_early_is_walked_as_alone(name, images) -> None:
    x, op = images(2, 1, 6, 5), GaussianBlur(sigma_max=2.0)
    grid = torch.tensor(
        [[1.0, 0.6], [0.8, 0.6], [0.5, 0.3], [0.3, 0.3], [0.2, 0.1], [0.1, 0.0], [0.0, 0.0]], dtype=torch.float64
    )
    together = sample(wrong, op.bind(like=x), x, times=grid, sampler=name)
    alone = sample(wrong, op.bind(like=x[1:]), x[1:], times=[0.6, 0.3, 0.1, 0.0], sampler=name)
    assert torch.allclose(together[1:], alone, atol=1e-12)


class Half(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((), 0.5))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.weight * x


@pytest.mark.parametrize("name", ["improved", *SECOND])
def test_a_restore_refuses_them_where_nobody_knows_the_params(name, images) -> None:
    run = tiny.run_of(Half(), PixelNoise())
    with pytest.raises(ValueError, match=f"^{name} needs the params .* use one_shot or naive$"):
        run.restore(images(1, 1, 8, 8, dtype=torch.float32), steps=3, sampler=name)
    run = tiny.run_of(Half(), GaussianBlur())
    assert run.restore(images(1, 1, 8, 8, dtype=torch.float32), steps=3, sampler=name).shape == (1, 1, 8, 8)
