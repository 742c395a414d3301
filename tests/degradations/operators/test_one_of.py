"""One of: what it computes, against a slow twin."""

import torch
from support import tiny

from colddiff import GaussianBlur, GaussianNoise, LinearBetas, OneOf, Pixelate, PixelMask, Power, SaltAndPepper
from colddiff.testing.reporting import seeded
from colddiff.training.train import train

NOISE = GaussianNoise(betas=LinearBetas(num_steps=10, beta_start=0.01, beta_end=0.4))


BLUR = GaussianBlur(sigma_max=2.0)


def test_each_image_is_what_its_own_option_makes_of_it(images):
    options = (GaussianBlur(sigma_max=2.0, schedule=Power(exponent=2)), NOISE, PixelMask(), Pixelate())
    x, op = images(12, 3, 8, 8), OneOf(options=options, schedule=Power(exponent=0.5))
    params = op.draw(x, seeded(0))
    y = op(x, 0.36, params)
    assert {int(choice) for choice in params["choice"]} == {0, 1, 2, 3}
    for i, choice in enumerate(params["choice"].long().tolist()):
        own = {n.removeprefix(f"{choice}."): v[i : i + 1] for n, v in params.items() if n.startswith(f"{choice}.")}
        assert torch.allclose(y[i : i + 1], options[choice](x[i : i + 1], 0.6, own), atol=1e-12)


def test_options_are_about_equally_likely_and_each_seed_has_its_choice():
    like = torch.zeros(3000, 1, 1, 1)
    choice = OneOf(options=(BLUR, Pixelate(), SaltAndPepper())).draw(like, seeded(0))["choice"]
    counts = torch.bincount(choice.long(), minlength=3)
    assert len(counts) == 3 and int((counts - 1000).abs().max()) < 100  # four standard deviations
    again = OneOf(options=(BLUR, Pixelate(), SaltAndPepper())).draw(like, seeded(0))["choice"]
    assert torch.equal(choice, again)


def test_the_choice_is_kept_for_the_whole_trajectory(images):
    x, op = images(6, 1, 8, 8), OneOf(options=(BLUR, Pixelate()))
    D = op.bind(op.draw(x, seeded(1)), like=x)
    choice = D.params["choice"]
    for t in (0.2, 0.5, 1.0):
        expected = torch.where(choice.reshape(-1, 1, 1, 1) == 0, BLUR(x, t), Pixelate()(x, t))
        assert torch.allclose(D(x, t), expected, atol=1e-12)


def test_a_choice_is_trained_on_and_generates(tmp_path):
    config = tiny.config(tmp_path / "run", degradation=OneOf(options=(BLUR, NOISE)), steps=2)
    run = train(config, progress=False)
    assert run.degradation == config.degradation and run.prior is not None
