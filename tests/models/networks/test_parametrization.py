"""Networks that predict noise or velocity are restorers like any other."""

import pytest
import torch
from support import tiny
from torch import nn

from colddiff.degradations import GaussianNoise
from colddiff.degradations.noise_schedules import CosineBetas, QuadraticBetas
from colddiff.models.networks.parametrization import Epsilon, Velocity
from colddiff.models.networks.unet import RestorerConfig

NOISES = [GaussianNoise(), GaussianNoise(betas=QuadraticBetas()), GaussianNoise(betas=CosineBetas())]


class Says(nn.Module):
    """A network that answers with a picture of given centred values."""

    def __init__(self, centred):
        super().__init__()
        self.centred = centred

    def forward(self, x, t):
        return (self.centred + 1) / 2


def mixed(degradation, t):
    """Clean images, their noise, the mix at times t, and the amplitudes of both."""
    generator = torch.Generator().manual_seed(0)
    x0 = torch.rand(len(t), 1, 8, 8, dtype=torch.float64, generator=generator)
    params = degradation.draw(x0, generator)
    alpha_bar = degradation.betas.alpha_bars()[(t * 1000).round().long()].reshape(-1, 1, 1, 1)
    return x0, params["noise"], degradation(x0, t, params), alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


@pytest.mark.parametrize("degradation", NOISES, ids=lambda d: d.betas.registered_name)
def test_the_true_noise_gives_the_clean_image(degradation):
    t = torch.tensor([0.001, 0.3, 0.5, 0.9], dtype=torch.float64)
    x0, z, x_t, _, _ = mixed(degradation, t)
    net = Epsilon(net=tiny.NET, degradation=degradation).build()
    net.net = Says(z)
    assert torch.allclose(net(x_t, t), x0, atol=1e-6)


@pytest.mark.parametrize("degradation", NOISES, ids=lambda d: d.betas.registered_name)
def test_the_true_velocity_gives_the_clean_image_also_at_the_end(degradation):
    t = torch.tensor([0.001, 0.3, 0.9, 1.0], dtype=torch.float64)
    x0, z, x_t, a, b = mixed(degradation, t)
    net = Velocity(net=tiny.NET, degradation=degradation).build()
    net.net = Says(a * z - b * (2 * x0 - 1))
    assert torch.allclose(net(x_t, t), x0, atol=1e-6)


@pytest.mark.parametrize("kind", [Epsilon, Velocity])
def test_a_weighted_error_in_x0_is_the_error_of_the_prediction(kind):
    degradation = GaussianNoise()
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    _, _, x_t, _, _ = mixed(degradation, t)
    net = kind(net=tiny.NET, degradation=degradation).build()
    answers = []
    for out in (torch.zeros(()), torch.full((), 0.2)):
        net.net = Says(out.expand_as(x_t))
        answers.append(net(x_t, t))
    # x0 lives in [0, 1], predictions in units of z: half of one is one of the other.
    error = (answers[1] - answers[0]).abs() * net.loss_weight(t, x_t)
    assert torch.allclose(error, torch.full_like(error, 0.1), atol=1e-6)


@pytest.mark.parametrize("kind", [Epsilon, Velocity])
def test_the_table_of_amplitudes_is_neither_saved_nor_lost(kind):
    config = kind(net=tiny.NET, degradation=GaussianNoise())
    assert RestorerConfig.from_config(config.to_config()) == config
    net = config.build()
    assert "amplitudes" not in net.state_dict() and len(net.amplitudes) == 1001
    half = net(torch.rand(2, 1, 8, 8), torch.tensor([0.5, 1.0]))
    assert half.dtype == torch.float32 and half.isfinite().all()
