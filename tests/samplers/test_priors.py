"""Where generation starts."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import mixture
from support.tiny import config
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from colddiff import (
    ChannelGaussian,
    ChannelGMM,
    Constant,
    CosineBetas,
    Empirical,
    GaussianBlur,
    GaussianNoise,
    LowresGMM,
    PixelMask,
    Prior,
    StandardNormal,
    Uniform,
    generate,
    train,
)
from colddiff.samplers.priors import Fitted, GaussianMixture
from colddiff.testing.reporting import seeded
from colddiff.utils.config import registered
from colddiff.utils.safetensors_io import read_tensors


def photos(n: int = 50) -> Tensor:
    mixing = torch.tensor([[0.1, 0.06, 0.0], [0.0, 0.05, -0.04], [0.0, 0.0, 0.02]])
    colours = torch.tensor([0.4, 0.5, 0.6]) + torch.randn(n, 3, generator=seeded(0)) @ mixing
    return (colours[:, :, None, None] + 0.01 * torch.randn(n, 3, 4, 5, generator=seeded(1))).clamp(0, 1)


PRIORS = [
    StandardNormal(),
    Uniform(sigma=0.1),
    Constant(),
    ChannelGaussian.fit(photos()),
    ChannelGMM.fit(photos(), components=2),
    LowresGMM.fit(photos(), components=2, side=2),
    Empirical.fit(photos(), sigma=0.001),
]
MIXTURES = [ChannelGaussian(), ChannelGMM(components=3), LowresGMM(components=3, side=2)]


def test_every_prior_is_tested_here() -> None:
    assert {type(p) for p in PRIORS} == {
        c for c in registered("colddiff.priors").values() if "test" not in c.__module__
    }


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: type(p).__name__)
def test_a_prior_makes_images_of_the_shape_asked_for(prior: Prior) -> None:
    u = prior.sample(7, (3, 4, 5), seeded(0))
    assert u.shape == (7, 3, 4, 5) and u.dtype == torch.float32 and u.is_contiguous()
    assert bool(u.isfinite().all())


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: type(p).__name__)
def test_the_same_seed_makes_the_same_images(prior: Prior) -> None:
    first, again, other = (prior.sample(5, (3, 4, 5), seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: type(p).__name__)
def test_a_prior_survives_a_round_trip_with_its_tensors(prior: Prior) -> None:
    again = Prior.from_config(prior.to_config()).with_tensors(prior.tensors())
    assert again == prior
    assert torch.equal(again.sample(3, (3, 4, 5), seeded(0)), prior.sample(3, (3, 4, 5), seeded(0)))


def test_standard_normal_is_so_in_centred_units() -> None:
    c = 2 * StandardNormal().sample(100, (1, 20, 20), seeded(0)) - 1
    assert abs(float(c.mean())) < 0.02 and abs(float(c.std()) - 1) < 0.02


def test_constant_and_fitted_colours_are_flat() -> None:
    for prior in (Constant(), ChannelGaussian.fit(photos()), ChannelGMM.fit(photos())):
        assert prior.flat
        u = prior.sample(5, (3, 4, 5), seeded(0))
        assert torch.equal(u, u[:, :, :1, :1].expand_as(u))
    u = Constant(low=0.3, high=0.3).sample(2, (1, 2, 2))
    assert torch.equal(u, torch.full((2, 1, 2, 2), 0.3))


def test_channel_gaussian_has_the_mean_and_covariance_of_the_colours() -> None:
    colours = photos(2000).mean(dim=(2, 3))
    drawn = ChannelGaussian.fit(photos(2000)).sample(20_000, (3, 1, 1), seeded(0)).flatten(1)
    assert torch.allclose(drawn.mean(0), colours.mean(0), atol=3e-3)
    assert torch.allclose(drawn.T.cov(), colours.T.cov(), atol=3e-4)


def two_colours(n: int = 4000) -> Tensor:
    """Images about two colours, a quarter of them about the second; brighter at the top of a rectangle."""
    second = torch.arange(n)[:, None] % 4 == 0
    colours = torch.where(second, torch.tensor([0.8, 0.3, 0.2]), torch.tensor([0.2, 0.5, 0.6]))
    colours = colours + 0.03 * torch.randn(n, 3, generator=seeded(0))
    ramp = torch.linspace(0.1, -0.1, 6)[:, None] * torch.rand(n, 1, 1, 1, generator=seeded(1))
    return (colours[:, :, None, None] + ramp).expand(n, 3, 6, 4)


@pytest.mark.parametrize("prior", MIXTURES, ids=lambda p: type(p).__name__)
def test_what_a_mixture_draws_has_the_moments_of_the_images_averaged_to_its_side(prior: GaussianMixture) -> None:
    images = two_colours()
    size = (prior.side, prior.side)
    seen = F.adaptive_avg_pool2d(images, size).flatten(1)
    drawn = prior.fitted_to(images).sample(200_000, (3, *size), seeded(0)).flatten(1)
    assert torch.allclose(drawn.mean(0), seen.mean(0), atol=5e-3)
    assert torch.allclose(drawn.T.cov(), seen.T.cov(), atol=1e-3)


@pytest.mark.parametrize("prior", MIXTURES, ids=lambda p: type(p).__name__)
def test_the_tensors_of_a_mixture_have_the_likelihood_that_scikit_learn_finds(prior: GaussianMixture) -> None:
    points = F.adaptive_avg_pool2d(two_colours(400).double(), prior.side).flatten(1)
    weights, means, factors = (t.double() for t in prior.fitted_to(two_colours(400)).tensors().values())
    gaussians = MultivariateNormal(means.flatten(1), scale_tril=factors)
    ours = MixtureSameFamily(Categorical(weights), gaussians).log_prob(points)
    theirs = mixture.GaussianMixture(prior.components, random_state=0).fit(points.numpy())
    assert torch.allclose(ours, torch.from_numpy(theirs.score_samples(points.numpy())), atol=2e-2)


def test_a_mixture_finds_the_colours_that_one_gaussian_blurs_together() -> None:
    two = ChannelGMM.fit(two_colours(), components=2).tensors()
    order = two["weights"].argsort()
    assert torch.allclose(two["weights"][order], torch.tensor([0.25, 0.75]), atol=0.01)
    expected = torch.tensor([[0.8, 0.3, 0.2], [0.2, 0.5, 0.6]])
    assert torch.allclose(two["means"][order, :, 0, 0], expected, atol=0.01)


def test_a_low_resolution_mixture_draws_smooth_images_that_are_not_flat() -> None:
    prior = LowresGMM.fit(two_colours(), side=2)
    u = prior.sample(200, (3, 30, 20), seeded(0))
    assert not prior.flat and float((u[:, :, 0] - u[:, :, -1]).mean()) > 0.03
    assert float(u.diff(dim=2).abs().max()) < 0.05
    # What it was fitted to, whatever size it is asked for.
    assert torch.allclose(u.mean((0, 2, 3)), two_colours().mean((0, 2, 3)), atol=0.03)


@pytest.mark.parametrize("prior", MIXTURES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("images", [photos(1), photos(2), photos(50)[:, :1], torch.full((5, 3, 2, 2), 0.5)])
def test_a_mixture_fits_few_grey_or_flat_pictures(prior: GaussianMixture, images: Tensor) -> None:
    fitted = prior.fitted_to(images)
    u = fitted.sample(40, (images.shape[1], 3, 3), seeded(0))
    assert len(fitted.tensors()["weights"]) <= len(images)
    assert float((u.mean((0, 2, 3)) - images.mean((0, 2, 3))).abs().max()) < 0.05


@pytest.mark.parametrize("prior", MIXTURES, ids=lambda p: type(p).__name__)
def test_a_mixture_is_fitted_by_nothing_but_the_images(prior: GaussianMixture) -> None:
    np.random.seed(0)
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = prior.fitted_to(photos())
    assert np.array_equal(np.random.get_state()[1], before[0]) and torch.equal(torch.get_rng_state(), before[1])
    np.random.seed(1)
    assert prior.fitted_to(photos()) == first


def test_a_mixture_needs_images_of_its_side() -> None:
    with pytest.raises(ValueError, match="smaller than the side of 8"):
        LowresGMM.fit(photos(), side=8)
    for build in (lambda: LowresGMM(side=0), lambda: ChannelGMM(components=0)):
        with pytest.raises(ValueError, match="components and side must be >= 1"):
            build()


@pytest.mark.parametrize("prior", MIXTURES, ids=lambda p: type(p).__name__)
def test_a_run_generates_the_same_from_a_mixture_in_a_fresh_process(prior: GaussianMixture, tmp_path: Path) -> None:
    run = train(config(tmp_path / "run", steps=1, prior=prior), progress=False)
    assert {"weights", "means", "factors"} == read_tensors(tmp_path / "run" / "prior.safetensors").keys()
    code = f"import colddiff, torch; torch.save(colddiff.load({str(tmp_path / 'run')!r}).sample(3), 'made.pt')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    made = torch.load(tmp_path / "made.pt", weights_only=True)
    assert torch.allclose(made, run.sample(3), atol=1e-5) and float(made.std(0).max()) > 0


def test_empirical_draws_training_images_at_eight_bits() -> None:
    kept = (photos(5) * 255).round() / 255
    for u in Empirical.fit(photos(5)).sample(20, (3, 4, 5), seeded(0)):
        assert min(float((u - k).abs().max()) for k in kept) < 1e-6


def test_a_prior_that_was_not_fitted_says_how() -> None:
    for kind in (ChannelGaussian, ChannelGMM, LowresGMM, Empirical):
        with pytest.raises(
            ValueError, match=rf"{kind.__name__} has not been fitted: use {kind.__name__}.fit\(images\)"
        ):
            kind().sample(1, (3, 4, 5))
        with pytest.raises(ValueError, match="needs the tensors"):
            kind().with_tensors({})


def test_what_a_prior_was_fitted_to_is_part_of_its_value() -> None:
    for kind in (ChannelGaussian, ChannelGMM, LowresGMM, Empirical):
        one, same, other = (kind.fit(photos(n)) for n in (5, 5, 6))
        assert one == same and hash(one) == hash(same) and one != other and one != kind()
        noisy = replace(one, sigma=0.5)
        assert noisy.sigma == 0.5 and noisy.tensors().keys() == one.tensors().keys()


def test_what_a_prior_was_fitted_to_is_no_part_of_its_config() -> None:
    assert Empirical.fit(photos(3)).to_config() == {"type": "empirical", "sigma": 0.0}
    with pytest.raises(TypeError, match="no field 'fitted'"):
        Prior.from_config({"type": "empirical", "fitted": {}})


def test_a_fitted_prior_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="fitted to 3 channels, asked for 1"):
        LowresGMM.fit(photos(), side=2).sample(1, (1, 4, 5))
    with pytest.raises(ValueError, match="holds images of shape"):
        Empirical.fit(photos()).sample(1, (3, 5, 5))


def test_fitting_again_leaves_the_first_prior_alone() -> None:
    first = Empirical.fit(photos(3))
    other = first.with_tensors({"images": torch.zeros(1, 3, 4, 5, dtype=torch.uint8)})
    assert len(first.tensors()["images"]) == 3 and len(other.tensors()["images"]) == 1
    assert isinstance(first, Fitted)


@pytest.mark.parametrize(
    "build", [lambda: Uniform(sigma=-1), lambda: Uniform(sigma=10), lambda: Constant(low=1, high=0)]
)
def test_a_value_out_of_range_is_refused(build) -> None:
    with pytest.raises(ValueError, match=r"sigma must be|low must not"):
        build()


@pytest.mark.parametrize(
    ("op", "prior", "sampler"),
    [
        (GaussianBlur(sigma_max=3), ChannelGaussian.fit(photos(), sigma=0.01), "improved"),
        (PixelMask(), Constant(sigma=0.01), "naive"),
        (GaussianNoise(betas=CosineBetas(num_steps=20)), StandardNormal(), "ddpm"),
    ],
    ids=["blur", "mask", "noise"],
)
def test_a_generated_image_depends_on_its_own_seed_and_not_on_the_batch(op, prior, sampler) -> None:
    def R(x: Tensor, t: Tensor) -> Tensor:
        return x.sigmoid() * (1 - t / 2).to(x.dtype).reshape(-1, 1, 1, 1)

    def made(*seeds: int) -> Tensor:
        return generate(R, op, prior, (3, 6, 5), [seeded(s) for s in seeds], steps=4, sampler=sampler)

    together = made(0, 1, 2)
    assert together.shape == (3, 3, 6, 5) and not torch.equal(together[0], together[1])
    assert torch.allclose(made(2), together[2:], atol=1e-6)


def test_generation_starts_at_the_degraded_surrogate_and_its_noise() -> None:
    seen = []
    prior, op = Constant(sigma=0.002), GaussianBlur(sigma_max=3)
    generate(lambda x, t: seen.append((x, t)) or x, op, prior, (1, 8, 8), [seeded(0)], steps=2)
    x, t = seen[0]
    surrogate = prior.sample(1, (1, 8, 8), seeded(0))
    assert float(t) == 1
    assert 0.001 < float((x - op(surrogate, 1.0)).std()) < 0.003
