"""What is left out of a training's settings follows from the data."""

import pytest
import torch
from support import tiny
from support.image_folders import numbers, pictures

from colddiff import (
    ChannelGaussian,
    Constant,
    Empirical,
    GaussianBlur,
    GaussianNoise,
    PixelMask,
    StandardNormal,
    Uniform,
    UniformNoise,
)
from colddiff.data import ImageData
from colddiff.data.framing import Framing
from colddiff.models.networks.parametrization import Epsilon, Velocity
from colddiff.models.networks.unet import RestorerConfig, UNetConfig
from colddiff.training.setup import data_for, held_out_for, held_out_split, prior_for, restorer_for
from colddiff.utils.config import registered


def data(channels=1, n=6, side=8):
    """Flat pictures that rise from black to white, as a folder sorted by class might."""
    levels = torch.linspace(0, 255, n).to(torch.uint8).reshape(n, 1, 1, 1)
    return ImageData(levels.expand(n, channels, side, side).contiguous())


@pytest.mark.parametrize("name", registered("colddiff.priors"))
def test_a_prior_that_was_only_named_is_ready_to_sample(name):
    prior = prior_for(tiny.config("x", prior=name), data(channels=3))
    assert prior.registered_name == name and prior.sample(2, (3, 8, 8)).shape == (2, 3, 8, 8)


def test_a_prior_keeps_its_fields_when_it_is_fitted():
    prior = prior_for(tiny.config("x", prior={"type": "empirical", "sigma": 0.25}), data())
    assert prior == Empirical.fit(data()[:], sigma=0.25)


def test_a_prior_that_was_fitted_stays_so():
    mine = ChannelGaussian.fit(torch.rand(5, 1, 4, 4))
    assert prior_for(tiny.config("x", prior=mine), data()) is mine


def test_a_prior_is_fitted_to_images_spread_over_the_data(monkeypatch):
    monkeypatch.setattr("colddiff.training.setup.FITTED_TO", 10)
    seen = prior_for(tiny.config("x", prior="empirical"), data(n=101)).tensors()["images"][:, 0, 0, 0].double()
    assert len(seen) == 10 and seen[0] == 0 and seen[-1] > 225 and (seen.diff() - 25.5).abs().max() < 2


@pytest.mark.parametrize(
    ("degradation", "prior"),
    [
        (PixelMask(), Constant(sigma=0.001)),
        (GaussianBlur(), ChannelGaussian.fit(data()[:], sigma=0.001)),
        (GaussianNoise(), StandardNormal()),
        (UniformNoise(), Uniform()),
    ],
)
def test_flat_surrogates_get_noise_to_differ_unless_they_were_asked_for(degradation, prior):
    assert prior_for(tiny.config("x", degradation=degradation), data()) == prior
    assert prior_for(tiny.config("x", degradation=degradation, prior=Constant()), data()) == Constant()


@pytest.mark.parametrize(
    "restorer", [None, "unet", {"type": "unet", "width": 96}, {"type": "velocity", "net": {"width": 96}}]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_restorer_takes_as_many_channels_as_the_images_have(restorer, channels):
    spec = restorer_for(tiny.config("x", degradation=GaussianNoise(), restorer=restorer), data(channels))
    net = spec.net if isinstance(spec, Velocity) else spec
    assert net.channels == channels and (restorer in (None, "unet") or net.width == 96)


@pytest.mark.parametrize("restorer", [UNetConfig(channels=3), Epsilon(net=UNetConfig(channels=3))])
def test_a_restorer_for_other_images_is_refused(restorer):
    with pytest.raises(ValueError, match="the restorer takes 3 channels, the images have 1"):
        restorer_for(tiny.config("x", degradation=GaussianNoise(), restorer=restorer), data())


def test_a_restorer_of_the_users_own_is_left_alone():
    class Mine(RestorerConfig):
        pass

    mine = Mine()
    assert restorer_for(tiny.config("x", restorer=mine), data()) is mine


@pytest.mark.parametrize(("predict", "kind"), [("epsilon", Epsilon), ("velocity", Velocity)])
def test_a_network_that_predicts_something_else_is_not_residual(predict, kind):
    config = tiny.config("x", degradation=GaussianNoise(), predict=predict, restorer=UNetConfig(width=16))
    spec = restorer_for(config, data())
    assert spec == kind(net=UNetConfig(width=16, channels=1, residual=False), degradation=GaussianNoise())


@pytest.mark.parametrize(
    ("split", "held_out"), [("train", "held_out"), ("all", "held_out"), ("test", "train"), ("val", "train")]
)
def test_a_training_is_checked_on_another_split_than_its_own(split, held_out):
    assert held_out_split(tiny.config("x", split=split)) == held_out


@pytest.mark.parametrize("explicit", [True, False])
def test_broken_files_that_are_held_out_are_told_and_stop_no_training(explicit, tmp_path):
    pictures(tmp_path / "train" if explicit else tmp_path, 80)
    if explicit:
        pictures(tmp_path / "test", 12, first=100)
    config = tiny.config("x", data=str(tmp_path), max_unreadable=0.01)
    held = numbers(held_out_for(config, Framing()))
    next(tmp_path.rglob(f"{held[0]:03d}.png")).write_bytes(b"")
    data = data_for(config)
    with pytest.warns(UserWarning, match=rf"left out 1 of {len(held)} .*{held[0]:03d}\.png"):
        assert numbers(held_out_for(config, data.framing)) == held[1:]
