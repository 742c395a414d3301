"""What came after the paper, each a configuration of the one sampler core: its identity or its published recursion."""

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from support.comparing import seeded
from torch import Tensor

from colddiff import (
    Bridge,
    CosineBetas,
    Degradation,
    GaussianBlur,
    GaussianNoise,
    Interpolate,
    estimated,
    improved,
    momentum,
    perturbed,
    sample,
    time_grid,
)
from colddiff.degradations.operators.blur_noise import BlurNoise
from colddiff.models.networks.parametrization import Flow
from colddiff.models.networks.unet import UNetConfig
from colddiff.utils.rng import draw_noise

GRID = time_grid(5)


def images(*shape: int) -> Tensor:
    return torch.rand(*(shape or (2, 3, 6, 5)), generator=seeded(), dtype=torch.float64)


def wrong(x: Tensor, t: Tensor) -> Tensor:
    return (x.flip(3) * 0.7).sin() + t.to(x.dtype).reshape(-1, 1, 1, 1) / 5


def last(states):
    *_, state = states
    return state


@dataclass(frozen=True, kw_only=True)
class Soft(Degradation):
    """C_t x0 + sigma_t z with C_t a shrinking of the contrast, or nothing, and sigma_t constant or growing."""

    shrink: float = 0.5
    growth: float = 0.0

    def degrade(self, x, s, params):
        signal = x + self.shrink * s * (x.mean(dim=(2, 3), keepdim=True) - x)
        return torch.where(s > 0, signal + self.noise_scale(s, params) * params["noise"], x)

    def draw(self, like, generator=None):
        return {"noise": draw_noise(like, generator).to(like.dtype)}

    def noise_scale(self, s, params):
        return 0.1 + self.growth * s


def test_momentum_with_constant_noise_is_algorithm_2() -> None:
    x, op = images(), Soft()
    D = op.bind(op.draw(x, seeded(1)), like=x)
    grid = GRID[:-1]  # at 0 there is no noise
    ours, theirs = (last(s(wrong, D, D(x, 1.0), grid, generator=seeded(2))).x for s in (momentum, improved))
    assert torch.allclose(ours, theirs, atol=1e-12)


def test_momentum_without_blur_is_an_euler_step_of_the_reverse_equation() -> None:
    """x_s = x_t + (sigma_t^2 - sigma_s^2) score + sqrt(sigma_t^2 - sigma_s^2) z, score = (x0 - x_t) / sigma_t^2."""
    x, op = images(), Soft(shrink=0.0, growth=0.6)
    D = op.bind(op.draw(x, seeded(1)), like=x)
    x_t, t, s = D(x, 0.8), 0.8, 0.5
    before, after = 0.1 + 0.6 * t, 0.1 + 0.6 * s
    x0, z = wrong(x_t, torch.tensor([t])), draw_noise(x, seeded(2))
    expected = x_t + (before**2 - after**2) * ((x0 - x_t) / before**2 + z / math.sqrt(before**2 - after**2))
    found = last(momentum(lambda *_: x0, D, x_t, torch.tensor([t, s]), generator=seeded(2))).x
    assert torch.allclose(found, expected, atol=1e-12)


def test_a_perfect_restorer_is_recovered_by_momentum_to_the_last_digits() -> None:
    x, op = images(), BlurNoise(sigma_max=3.0)
    D = op.bind(op.draw(x, seeded(1)), like=x)
    for steps in (1, 5, 50):
        found = sample(lambda *_: x, D, D(x, 1.0), steps=steps, sampler="momentum", generator=seeded())
        assert torch.allclose(found, x, atol=1e-12)


@pytest.mark.parametrize("name", ["momentum", "ihdm"])
def test_a_walk_in_half_precision_stays_there(name) -> None:
    x, op = images().bfloat16(), BlurNoise()
    D = op.bind(op.draw(x, seeded(1)), like=x)
    assert sample(lambda x, t: x, D, x, steps=2, sampler=name, generator=seeded()).dtype == torch.bfloat16


def test_momentum_refuses_what_has_no_noise() -> None:
    x = images()
    with pytest.raises(NotImplementedError, match=r"GaussianBlur adds no noise.*use improved"):
        sample(wrong, GaussianBlur().bind(like=x), x, steps=2, sampler="momentum")


def test_perturbed_is_the_sampler_of_inverse_heat_dissipation() -> None:
    """u_{k-1} = u_k + f(u_k, k) + delta z, f the difference of the next mean and u_k; the last step is the mean."""
    x, op, delta = images(), GaussianBlur(sigma_max=2.0, border="symmetric"), 0.0125
    D = op.bind(like=x)
    u, noise = D(x, 1.0), seeded(3)
    for t, s in pairwise(GRID.tolist()):
        f = D(wrong(u, torch.tensor([t])), s) - u
        u = u + f + (delta * draw_noise(x, noise) if s > 0 else 0)
    found = sample(wrong, D, D(x, 1.0), times=GRID, sampler=perturbed(delta), generator=seeded(3))
    assert torch.allclose(found, u, atol=1e-12)


def test_perturbed_refuses_a_noise_that_is_none() -> None:
    with pytest.raises(ValueError, match="delta must be in"):
        perturbed(-1)


def test_a_bridge_schedule_with_estimated_is_the_ode_of_i2sb() -> None:
    """x_s = (D2 / sigma_t^2) x0 + (sigma_s^2 / sigma_t^2) x_t with D2 = sigma_t^2 - sigma_s^2, betas by their table."""
    n = 1000
    half = torch.linspace(1e-4**0.5, 3e-4**0.5, n, dtype=torch.float64)[: n // 2] ** 2
    variance = torch.cat([half, half.flip(0)]).cumsum(0)
    x, y = images(), images().flip(2)
    op = Interpolate(schedule=Bridge())
    x_t = y
    for k, j in ((1000, 700), (700, 200)):
        x0 = wrong(x_t, torch.tensor([k / n]))
        ratio = variance[j - 1] / variance[k - 1]
        expected = (1 - ratio) * x0 + ratio * x_t
        D = op.bind({"endpoint": y}, like=x)
        step = torch.tensor([k / n, j / n], dtype=torch.float64)
        found = last(estimated()(lambda *_, x0=x0: x0, D, x_t, step)).x
        assert torch.allclose(found, expected, atol=2e-3)  # their sum of 1000 betas is an integral here
        x_t = expected


def test_the_marginal_of_the_bridge_is_that_of_i2sb() -> None:
    n = 1000
    half = torch.linspace(1e-4**0.5, 3e-4**0.5, n, dtype=torch.float64)[: n // 2] ** 2
    betas = torch.cat([half, half.flip(0)])
    forward, backward = betas.cumsum(0), betas.flip(0).cumsum(0).flip(0)
    share = forward / (forward + backward)  # of x_1 in the mean of x_t
    t = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    assert torch.allclose(Bridge()(t), share, atol=1.5e-3)


def test_a_flow_network_takes_the_euler_steps_of_rectified_flow() -> None:
    torch.manual_seed(0)
    op = Interpolate(to=GaussianNoise(betas=CosineBetas(num_steps=50)))
    net = Flow(net=UNetConfig(channels=3, width=8, multipliers=(1,), residual=False), degradation=op).build().double()
    torch.nn.init.normal_(net.net.head[-1].weight)
    x = images(2, 3, 8, 8)
    D = op.bind(op.draw(x, seeded()), like=x)
    x_t = walked = D(x, 1.0)
    for t, s in pairwise(GRID.tolist()):
        v = 2 * net.net(walked, torch.full((2,), t, dtype=torch.float64)) - 1
        walked = walked + (s - t) * v
    found = sample(net, D, x_t, times=GRID, sampler=estimated())
    assert torch.allclose(found, walked.detach(), atol=1e-9)
