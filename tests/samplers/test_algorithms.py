"""The identities that make one sampler core cover the field, and what a walk accepts."""

import math
import warnings

import pytest
import torch
from support.comparing import distance
from support.sampling import wrong
from torch import Tensor

from colddiff import (
    SAMPLERS,
    BetaTable,
    GaussianBlur,
    GaussianNoise,
    Interpolate,
    LinearBetas,
    PixelMask,
    UniformNoise,
    estimated,
    improved,
    naive,
    one_shot,
    sample,
    walk,
)
from colddiff.testing import Line
from colddiff.testing.reporting import last, seeded
from colddiff.utils.rng import draw_noise

NOISE = GaussianNoise(betas=LinearBetas(num_steps=50, beta_start=0.001, beta_end=0.2))


def grid(*levels: float, of: float = 1) -> Tensor:
    return torch.tensor(levels, dtype=torch.float64) / of


def centred(x: Tensor) -> Tensor:
    return 2 * x - 1


def test_naive_is_algorithm_1(images) -> None:
    x, op = images(2, 1, 6, 5), GaussianBlur(sigma_max=2)
    D, y = op.bind(like=x), x
    for t, s in ((1.0, 0.5), (0.5, 0.2), (0.2, 0.0)):
        y = D(wrong(y, torch.full((2,), t)), s)
    assert distance(sample(wrong, D, x, times=[1.0, 0.5, 0.2, 0.0], sampler=naive), y) < 1e-7


def test_improved_is_algorithm_2(images) -> None:
    x, op = images(2, 1, 6, 5), GaussianBlur(sigma_max=2)
    D, y = op.bind(like=x), x
    for t, s in ((1.0, 0.5), (0.5, 0.2), (0.2, 0.0)):
        x0 = wrong(y, torch.full((2,), t))
        y = y - D(x0, t) + D(x0, s)
    assert distance(sample(wrong, D, x, times=[1.0, 0.5, 0.2, 0.0], sampler=improved), y) < 1e-7


def test_improved_forgives_any_restorer_on_a_line_and_naive_does_not(images) -> None:
    x0 = images(2, 3, 4, 5)
    D = Line().bind(Line().draw(x0, seeded(0)), like=x0)
    assert distance(sample(wrong, D, D(x0, 1.0), steps=7, sampler=improved), x0) < 1e-12
    assert distance(sample(wrong, D, D(x0, 1.0), steps=7, sampler=naive), x0) > 0.1


def test_estimated_on_gaussian_noise_is_ddim(images) -> None:
    x_t, alpha_bar = images(3, 2, 4, 5), NOISE.betas.alpha_bars()
    D = NOISE.bind({}, like=x_t)
    for k, j in ((50, 30), (30, 7), (7, 0)):
        x0 = wrong(x_t, torch.full((3,), k / 50, dtype=torch.float64))
        found = last(estimated()(wrong, D, x_t, grid(k, j, of=50))).x
        epsilon = (centred(x_t) - alpha_bar[k].sqrt() * centred(x0)) / (1 - alpha_bar[k]).sqrt()
        expected = alpha_bar[j].sqrt() * centred(x0) + (1 - alpha_bar[j]).sqrt() * epsilon
        assert distance(centred(found), expected) < 1e-12


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_estimated_with_eta_is_ddim_with_that_much_noise(eta, images) -> None:
    x_t, alpha_bar = images(3, 2, 4, 5), NOISE.betas.alpha_bars()
    D = NOISE.bind({}, like=x_t)
    for k, j in ((50, 49), (30, 7), (7, 0)):
        x0 = wrong(x_t, torch.full((3,), k / 50, dtype=torch.float64))
        found = last(estimated(eta)(wrong, D, x_t, grid(k, j, of=50), generator=seeded(4))).x
        w, a_t, a_s = draw_noise(x_t, seeded(4)), alpha_bar[k], alpha_bar[j]
        sigma = eta * ((1 - a_s) / (1 - a_t)).sqrt() * (1 - a_t / a_s).sqrt()
        epsilon = (centred(x_t) - a_t.sqrt() * centred(x0)) / (1 - a_t).sqrt()
        expected = a_s.sqrt() * centred(x0) + (1 - a_s - sigma**2).clamp(min=0).sqrt() * epsilon + sigma * w
        assert distance(centred(found), expected) < 1e-12


def test_at_eta_one_consecutive_steps_are_ddpm(images) -> None:
    x_t, betas = images(2, 1, 4, 5), NOISE.betas.betas()
    alpha_bar, D = NOISE.betas.alpha_bars(), NOISE.bind({}, like=x_t)
    for k in (50, 25, 2, 1):
        x0 = wrong(x_t, torch.full((2,), k / 50, dtype=torch.float64))
        found = last(SAMPLERS["ddpm"](wrong, D, x_t, grid(k, k - 1, of=50), generator=seeded(4))).x
        beta, a_t, a_s = betas[k - 1], alpha_bar[k], alpha_bar[k - 1]
        # Ho et al. 2020, equation 7
        mean = (a_s.sqrt() * beta * centred(x0) + (1 - beta).sqrt() * (1 - a_s) * centred(x_t)) / (1 - a_t)
        variance = (1 - a_s) / (1 - a_t) * beta
        assert distance(centred(found), mean + variance.sqrt() * draw_noise(x_t, seeded(4))) < 1e-10


@pytest.mark.parametrize("op", [NOISE, Interpolate(), UniformNoise(wrap=False)], ids=str)
def test_both_algorithms_coincide_under_estimated_params(op, images) -> None:
    x_t, other = images(2, 3, 4, 5), images(2, 3, 4, 5, seed=1)
    params = {"endpoint": other} if op.required_params else op.draw(x_t, seeded(0))
    x0 = wrong(x_t, torch.ones(2))
    D = op.bind(params, like=x_t).estimate(x_t, x0, 0.8)
    assert distance(x_t + (D(x0, 0.4) - D(x0, 0.8)), D(x0, 0.4)) < 1e-12


def test_estimated_on_an_interpolation_is_indi(images) -> None:
    x_t = images(2, 3, 4, 5)
    D = Interpolate().bind({"endpoint": x_t}, like=x_t)
    for t, s in ((1.0, 0.6), (0.6, 0.1), (0.1, 0.0)):
        x0 = wrong(x_t, torch.full((2,), t, dtype=torch.float64))
        found = last(estimated()(wrong, D, x_t, grid(t, s))).x
        assert distance(found, s / t * x_t + (1 - s / t) * x0) < 1e-12
        velocity = (x_t - x0) / t  # rectified flow, with time running from the image to its endpoint
        assert distance(found, x_t + (s - t) * velocity) < 1e-12


def test_improved_with_a_known_endpoint_moves_along_the_restored_line(images) -> None:
    x_t, y = images(2, 3, 4, 5), images(2, 3, 4, 5, seed=1)
    D = Interpolate().bind({"endpoint": y}, like=x_t)
    for t, s in ((1.0, 0.6), (0.6, 0.1), (0.1, 0.0)):
        x0 = wrong(x_t, torch.full((2,), t, dtype=torch.float64))
        assert distance(last(improved(wrong, D, x_t, grid(t, s))).x, x_t + (t - s) * (x0 - y)) < 1e-12


def test_improved_never_changes_an_observed_pixel_of_a_nested_mask(images) -> None:
    x0, op = images(2, 3, 6, 5, dtype=torch.float32), PixelMask()
    params = op.draw(x0, seeded(0))
    D = op.bind(params, like=x0)
    seen = (params["rank"] >= 0.7).expand_as(x0)
    start = D(x0, 0.7)
    for sampler, kept in ((improved, True), (naive, False)):
        for state in walk(wrong, D, start, times=[0.7, 0.5, 0.3, 0.1, 0.0], sampler=sampler):
            assert torch.equal(state.x[seen], x0[seen]) == kept


def test_one_shot_is_the_first_answer(images) -> None:
    x = images(2, 1, 4, 4)
    D = GaussianBlur().bind(like=x)
    (state,) = one_shot(wrong, D, x, grid(1.0, 0.5, 0.0))
    assert torch.equal(state.x, wrong(x, torch.ones(2))) and torch.equal(state.x, state.x0)


@pytest.mark.parametrize(("name", "scheduler"), [("estimated", "DDIMScheduler"), ("ddpm", "DDPMScheduler")])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_steps_are_those_of_diffusers(name, scheduler, schedule, images) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diffusers = pytest.importorskip("diffusers")
        theirs = getattr(diffusers, scheduler)(
            num_train_timesteps=50,
            beta_start=0.001,
            beta_end=0.2,
            beta_schedule=schedule,
            clip_sample=False,
            prediction_type="sample",
            **({"set_alpha_to_one": True} if name == "estimated" else {}),
        )
    op = GaussianNoise(betas=BetaTable(values=tuple(theirs.betas.double().tolist())))
    theirs.alphas_cumprod = op.betas.alpha_bars()[1:]  # their float32 table loses the digits of the last steps
    theirs.set_timesteps(50)  # every step, so that their previous timestep is the one below
    x_t = images(2, 3, 4, 5, dtype=torch.float32)
    D = op.bind({}, like=x_t)
    for k in (50, 30, 2, 1):
        x0 = wrong(x_t, torch.full((2,), k / 50))
        ours = last(SAMPLERS[name](wrong, D, x_t, grid(k, k - 1, of=50), generator=seeded(4))).x
        # Level k of ours is timestep k - 1 of theirs; both draw the same normals from the same seed.
        step = theirs.step(centred(x0), k - 1, centred(x_t), generator=seeded(4))
        assert distance(centred(ours), step.prev_sample) < 1e-5


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan])
def test_eta_is_a_share(eta) -> None:
    with pytest.raises(ValueError, match="eta"):
        estimated(eta)
