"""A U-Net around the Wiener estimate; what a training adds to what the network sees: noise, a condition."""

from dataclasses import replace

import pytest
import torch
from support.tiny import config

from colddiff import (
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    IteratedBlur,
    UNetConfig,
    evaluate,
    load,
    load_data,
    train,
)
from colddiff.models.baselines import Wiener
from colddiff.models.networks.wiener_unet import FLOAT32_NOISE, WienerUNetConfig
from colddiff.training.batches import Batches
from colddiff.training.loss import restoration_loss
from colddiff.training.setup import restorer_for

DATA = load_data("digits", split="train", size=16)
TINY = UNetConfig(width=8, multipliers=(1,), blocks=1, patch=1)
BLUR = IteratedBlur(num_steps=5, kernel_size=5)


def fitted(degradation=BLUR, **fields):
    chosen = WienerUNetConfig(net=TINY).fitted_for(degradation, 1, (16, 16), False, 0.0)
    net = replace(chosen, **fields).build()
    net.fit(DATA.images)
    return net


@pytest.mark.parametrize("blur", [BLUR, GaussianBlur(sigma_max=2.0), IteratedBlur(num_steps=5, border="reflect")])
def test_a_fresh_one_answers_with_the_wiener_estimate(blur) -> None:
    net, x0 = fitted(blur, noise=(1 / 255) / 12**0.5), DATA[:3]
    t = torch.tensor([0.2, 0.6, 1.0])
    x = blur(x0, t)
    classical = Wiener(blur, Wiener.fit(blur, DATA))
    assert torch.allclose(net(x, t), classical(x, t), atol=1e-5)


def test_it_sees_in_float32_what_the_blur_has_left_of_fine_detail() -> None:
    net, x0 = fitted(IteratedBlur(num_steps=5, kernel_size=11)), DATA[:64]
    t = torch.ones(64)
    x = net.degradation(x0, t)
    with torch.no_grad():
        found, rounded = (float((net(y, t) - x0).square().mean().sqrt()) for y in (x, (x * 255).round() / 255))
    degraded = float((x - x0).square().mean().sqrt())
    assert found < 0.75 * degraded  # float32 shows more than half of what is lost to the eye
    assert rounded > 2 * degraded  # and so it must be told of rounding


def test_noise_is_that_of_what_the_training_shows_it() -> None:
    chosen = WienerUNetConfig()
    eight_bit = chosen.fitted_for(BLUR, 1, (16, 16), True, 0.0).noise
    assert eight_bit == pytest.approx((1 / 255) / 12**0.5, rel=1e-6)
    assert chosen.fitted_for(BLUR, 1, (16, 16), False, 0.0).noise == FLOAT32_NOISE
    assert chosen.fitted_for(BLUR, 1, (16, 16), False, 0.01).noise == 0.01
    assert replace(chosen, noise=0.5).fitted_for(BLUR, 1, (16, 16), True, 0.01).noise == 0.5


def test_it_is_trained_saved_and_loaded_with_its_statistics(tmp_path) -> None:
    told = config(tmp_path / "run", degradation=BLUR, restorer=WienerUNetConfig(net=TINY), image_size=16)
    run = train(told, progress=False)
    again = load(tmp_path / "run", precision="fp32")
    assert isinstance(again.net.config, WienerUNetConfig) and again.net.config.degradation == BLUR
    assert float(again.net.mean.std()) > 0.05 and torch.equal(again.net.mean, run.net.mean)
    x = again.degrade(DATA[:2])
    assert again.restore(x).shape == x.shape
    with pytest.raises(ValueError, match="was fitted to images"):
        again.net(torch.rand(1, 1, 20, 16), torch.ones(1))


def test_it_is_refused_where_there_is_no_spectrum_or_another_training() -> None:
    with pytest.raises(ValueError, match="not for gaussian_mask: use unet"):
        WienerUNetConfig(degradation=GaussianMask())
    with pytest.raises(ValueError, match="leave degradation and size out"):
        WienerUNetConfig(degradation=GaussianBlur()).fitted_for(BLUR, 1, (16, 16), True, 0.0)
    with pytest.raises(ValueError, match="which a training fills in"):
        WienerUNetConfig().build()


def test_input_noise_is_added_to_what_the_network_sees_and_to_nothing_else(tmp_path) -> None:
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, x, t):
            seen.append(x)
            return x

    told = config(tmp_path, degradation=BLUR, quantize_inputs=False, input_noise=0.1)
    plain = Batches(DATA, BLUR, 8, seed=0).at(0, torch.device("cpu"))
    noisy = Batches(DATA, BLUR, 8, seed=0, noise=0.1).at(0, torch.device("cpu"))
    assert torch.equal(plain.x0, noisy.x0) and torch.equal(plain.t, noisy.t) and plain.noise is None
    restoration_loss(Spy(), BLUR, noisy, told)
    added = seen[0] - BLUR(noisy.x0, noisy.t)
    assert float(added.std()) == pytest.approx(0.1, rel=0.1) and torch.allclose(added, noisy.noise, atol=1e-6)
    again = Batches(DATA, BLUR, 4, seed=0, noise=0.1).at(4, torch.device("cpu"))
    assert torch.equal(again.noise, noisy.noise[4:])  # keyed by position, however batches are cut


def test_a_conditional_restorer_walks_noise_beside_the_damaged_picture(tmp_path) -> None:
    told = config(tmp_path / "run", degradation=GaussianNoise(), condition=BLUR, predict="epsilon")
    run = train(told, progress=False)
    assert run.condition == BLUR and run.net.config.net.cond_channels == 1
    y = run.degrade(DATA[:3])
    assert torch.allclose(y, BLUR(DATA[:3], 1.0).clamp(0, 1))
    one, other, same = (run.restore(y, steps=3, seed=seed) for seed in (0, 1, 0))
    assert one.shape == y.shape and not torch.equal(one, other) and torch.equal(one, same)
    report = evaluate(run, DATA, num_images=4, steps=(2,), progress=False)
    assert [row["method"] for row in report.rows] == ["degraded", "estimated", "ddpm"]
    with pytest.raises(ValueError, match="use restore"):
        run.sample(1)
    with pytest.raises(ValueError, match="leave start out"):
        run.restore(y, start=0.5)
    with pytest.raises(ValueError, match="leave mask and consistent out"):
        run.restore(y, mask=torch.ones(1, 1, *y.shape[2:]))


def test_the_condition_makes_a_difference_to_what_is_learned() -> None:
    told = config("x", degradation=GaussianNoise(), condition=BLUR)
    shape = restorer_for(told, DATA)
    assert shape.cond_channels == 1
    batch = Batches(DATA, told.degradation, 4, seed=0, condition=BLUR).at(0, torch.device("cpu"))
    assert torch.equal(batch.condition, (BLUR(batch.x0, 1.0) * 255).round() / 255)


def test_a_condition_goes_with_a_unet_and_makes_its_own_params() -> None:
    with pytest.raises(ValueError, match="condition goes with a unet"):
        restorer_for(config("x", degradation=BLUR, condition=BLUR, restorer=WienerUNetConfig(net=TINY)), DATA)
