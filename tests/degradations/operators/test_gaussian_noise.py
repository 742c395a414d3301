"""Gaussian noise: what it computes, against a slow twin."""

import math

import pytest
import torch
from support.comparing import distance

from colddiff import BetaTable, CosineBetas, GaussianNoise, LinearBetas, QuadraticBetas
from colddiff.degradations.operators.animorph import Animorph


@pytest.mark.parametrize("betas", [LinearBetas(), QuadraticBetas()], ids=["linear", "quadratic"])
def test_ten_thousand_stepwise_chains_have_the_mean_and_variance_of_the_closed_form(betas) -> None:
    pixels = torch.tensor([0.0, 0.3, 1.0])
    n, op = 10_000, GaussianNoise(betas=betas)
    x, generator = pixels.view(1, 1, 1, 3).expand(n, 1, 1, 3), torch.Generator().manual_seed(0)
    alpha_bar = betas.alpha_bars()
    for k in range(1, 1001):
        x = op.step(x, k, generator)
        if k in (1, 250, 1000):
            mean = 0.5 + alpha_bar[k].sqrt() * (pixels.double() - 0.5)
            variance = (1 - alpha_bar[k]) / 4
            off_mean = (x.double().mean(dim=0)[0, 0] - mean).abs() / (variance / n).sqrt()
            off_variance = (x.double().var(dim=0)[0, 0] - variance).abs() / (variance * math.sqrt(2 / (n - 1)))
            assert float(off_mean.max()) < 4 and float(off_variance.max()) < 4
            one_step = op(pixels.view(1, 1, 1, 3), k / 1000, {"noise": torch.ones(1, 1, 1, 3)})
            assert distance(one_step.double().flatten(), mean + variance.sqrt()) < 1e-6


@pytest.mark.parametrize("betas", [LinearBetas(), CosineBetas()], ids=["linear", "cosine"])
def test_noise_ends_in_a_standard_normal(betas, images) -> None:
    x, op = images(1, 1, 200, 200, dtype=torch.float32), GaussianNoise(betas=betas)
    c = 2 * op(x, 1.0, op.draw(x, torch.Generator().manual_seed(1))) - 1
    assert abs(float(c.mean())) < 4 / 200 and abs(float(c.var()) - 1) < 4 * math.sqrt(2) / 200


def test_noise_in_float32_keeps_the_first_and_the_last_steps(images) -> None:
    x, op = images(2, 1, 4, 4), GaussianNoise(betas=CosineBetas(num_steps=1000))
    noise = op.draw(x, torch.Generator().manual_seed(0))
    for k in (1, 999):
        exact, single = op(x, k / 1000, noise), op(x.float(), k / 1000, noise)
        assert distance(single.double(), exact) < 3e-7
    assert float(1 - CosineBetas(num_steps=1000).alpha_bars()[1]) > 0


def test_a_step_outside_the_chain_is_refused(images) -> None:
    op = GaussianNoise(betas=BetaTable(values=(0.1, 0.2)))
    for k in (0, 3):
        with pytest.raises(ValueError, match=r"1 \.\. 2"):
            op.step(images(1, 1, 2, 2), k)


def test_gaussian_noise_keeps_its_config_and_its_params(images) -> None:
    assert list(GaussianNoise().to_config()) == ["type", "schedule", "betas"]
    assert list(Animorph().to_config()) == ["type", "schedule", "betas"]
    x = images(1, 1, 3, 3)
    assert list(GaussianNoise().draw(x)) == ["noise"] and list(GaussianNoise().tables(x)) == [
        "coefficients",
        "amplitudes",
    ]
