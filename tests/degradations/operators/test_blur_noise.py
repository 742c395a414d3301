"""Blur and noise, as they were published."""

import math

import pytest
import torch
from support.comparing import seeded
from torch import Tensor

from colddiff import estimated
from colddiff.degradations.operators.blur_noise import BlurNoise
from colddiff.utils.rng import draw_noise


def images(*shape: int) -> Tensor:
    return torch.rand(*(shape or (2, 3, 6, 5)), generator=seeded(), dtype=torch.float64)


def wrong(x: Tensor, t: Tensor) -> Tensor:
    return (x.flip(3) * 0.7).sin() + t.to(x.dtype).reshape(-1, 1, 1, 1) / 5


def last(states):
    *_, state = states
    return state


def published(t: float, shape: tuple[int, int], sigma_max=20.0, d_min=0.001, log_snr=10.0) -> tuple[Tensor, float]:
    """alpha_t per frequency and sigma_t, as Hoogeboom & Salimans write them."""
    i, j = (torch.arange(n, dtype=torch.float64) for n in shape)
    frequency = (math.pi * i / shape[0])[:, None] ** 2 + (math.pi * j / shape[1])[None] ** 2
    dissipation = (sigma_max * math.sin(t * math.pi / 2) ** 2) ** 2 / 2
    scaling = torch.exp(-frequency * dissipation) * (1 - d_min) + d_min
    limit_max, limit_min = math.atan(math.exp(-0.5 * log_snr)), math.atan(math.exp(0.5 * log_snr))
    logsnr = -2 * math.log(math.tan((limit_min - limit_max) * t + limit_max))
    sigmoid = lambda v: 1 / (1 + math.exp(-v))  # noqa: E731
    return math.sqrt(sigmoid(logsnr)) * scaling, math.sqrt(sigmoid(-logsnr))


def dct_matrix(n: int) -> Tensor:
    """The orthonormal DCT-II, frequency by pixel."""
    k, p = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None]
    rows = math.sqrt(2 / n) * torch.cos(math.pi * k * (2 * p + 1) / (2 * n))
    rows[0] /= math.sqrt(2)
    return rows


def dct2(x: Tensor) -> Tensor:
    rows, columns = (dct_matrix(n) for n in x.shape[-2:])
    return rows @ x @ columns.mT


def idct2(u: Tensor) -> Tensor:
    rows, columns = (dct_matrix(n) for n in u.shape[-2:])
    return rows.mT @ u @ columns


@pytest.mark.parametrize("t", [0.05, 0.5, 1.0])
def test_blur_noise_is_the_published_marginal(t: float) -> None:
    x, op = images(), BlurNoise()
    params = op.draw(x, seeded(1))
    alpha, sigma = published(t, x.shape[-2:])
    expected = idct2(alpha * dct2(2 * x - 1)) + sigma * params["noise"].double()
    assert torch.allclose(2 * op(x, t, params) - 1, expected, atol=1e-12)


@pytest.mark.parametrize("t, s", [(1.0, 0.6), (0.6, 0.5), (0.2, 0.05)])
def test_ddpm_of_blur_noise_is_the_published_posterior_step(t: float, s: float) -> None:
    x, op = images(), BlurNoise(sigma_max=4.0)
    params = op.draw(x, seeded(1))
    z_t = 2 * op(x, t, params) - 1
    x0 = wrong(x, torch.tensor([t]))
    (a_t, sigma_t), (a_s, sigma_s) = (published(v, x.shape[-2:], sigma_max=4.0) for v in (t, s))
    # Their step, with the noise that the restorer's answer implies: coefficients of u_t and of its denoised half.
    eps = dct2(z_t) - a_t * dct2(2 * x0 - 1)  # sigma_t times the noise
    a_ts = a_t / a_s
    sigma2_ts = sigma_t**2 - a_ts**2 * sigma_s**2
    sigma2_denoise = 1 / (1 / sigma_s**2 + a_ts**2 / sigma2_ts)
    mean = a_ts * sigma2_denoise / sigma2_ts * dct2(z_t) + sigma2_denoise / (a_ts * sigma_s**2) * (dct2(z_t) - eps)
    noise = draw_noise(x, seeded(2))
    expected = idct2(mean + sigma2_denoise.sqrt() * dct2(noise))
    D = op.bind(params, like=x)
    found = last(estimated(eta=1.0)(lambda *_: x0, D, (z_t + 1) / 2, torch.tensor([t, s]), generator=seeded(2))).x
    assert torch.allclose(2 * found - 1, expected, atol=1e-9)


def test_without_blur_it_is_gaussian_noise_with_that_signal() -> None:
    x, op = images(), BlurNoise(sigma_max=0.0)
    params = op.draw(x, seeded())
    ab = math.cos(op._angle(torch.tensor(0.3)).item()) ** 2
    expected = 0.5 + math.sqrt(ab) * (x - 0.5) + math.sqrt(1 - ab) * params["noise"].double() / 2
    assert torch.allclose(op(x, 0.3, params), expected, atol=1e-7)
