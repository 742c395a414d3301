"""Animorph: what it computes, against a slow twin."""

import math

import pytest
import torch

from colddiff import Claims, CosineBetas, GaussianNoise
from colddiff.degradations.operators.animorph import Animorph
from colddiff.samplers.unknown_params import bind_observed


def test_animorphosis_is_the_mix_of_the_paper(images) -> None:
    x, target, op = images(2, 3, 6, 5), images(2, 3, 6, 5, seed=1), Animorph()
    f = [math.cos((k / 200 + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(201)]
    alpha_bar, rounding = 1.0, 200 * torch.finfo(torch.float64).eps  # of a product of 200 factors
    for k in range(1, 201):
        alpha_bar *= 1 - min(1 - f[k] / f[k - 1], 0.999)
        mix = math.sqrt(alpha_bar) * (2 * x - 1) + math.sqrt(1 - alpha_bar) * (2 * target - 1)
        assert (op(x, k / 200, {"target": target}) - (mix + 1) / 2).abs().max() < rounding, k
    assert alpha_bar == pytest.approx(6.07e-8, rel=1e-3)


def test_animorphosis_is_gaussian_noise_whose_place_an_image_has_taken(images) -> None:
    x, target, t = images(3, 1, 4, 5), images(3, 1, 4, 5, seed=1), torch.tensor([0.1, 0.523, 1.0], dtype=torch.float64)
    noise = GaussianNoise(betas=CosineBetas(num_steps=200))
    assert torch.equal(Animorph()(x, t, {"target": target}), noise(x, t, {"noise": 2 * target - 1}))


def test_a_target_is_found_at_the_end_whatever_the_restorer_answers(images) -> None:
    x, target = images(2, 3, 6, 5), images(2, 3, 6, 5, seed=1)
    x_T = Animorph()(x, 1.0, {"target": target})
    assert (x_T - target).abs().max() < 3e-4
    D = bind_observed(Animorph(), lambda x_t, t: torch.zeros_like(x_t), x_T, 1.0)
    assert (D.params["target"] - target).abs().max() < 3e-4


def test_no_claim_to_be_monotone_is_made_for_a_target_like_the_image(images) -> None:
    x = images(1, 1, 8, 8)
    D = Animorph().bind({"target": x}, like=x)
    assert (D(x, 0.5) - x).abs().mean() > 0.05 > 1e-3 > (D(x, 1.0) - x).abs().mean()
    assert Claims.MONOTONE not in Animorph().claims
