"""What a degradation leaves of each frequency."""

import math

import pytest
import torch

from colddiff import GaussianBlur, GaussianNoise, IteratedBlur, MotionBlur, Pixelate, Power, viz
from colddiff.viz.frequency_plots import gains

BORDERS = ("reflect", "symmetric", "circular")


@pytest.mark.parametrize("border", BORDERS)
def test_the_exact_gain_of_a_blur_is_its_closed_form(border):
    found = gains(GaussianBlur(sigma_max=4.0, border=border), times=(0.25, 1.0))
    f = found.frequency
    assert found.correlation is None and 0 < float(f[0]) < 0.01 and float(f[-1]) == pytest.approx(0.5, abs=0.005)
    assert bool((f.diff() > -1e-12).all())
    for k, sigma in enumerate((1.0, 4.0)):
        discrete = torch.exp(-(sigma**2) * (1 - torch.cos(2 * math.pi * f)))
        assert torch.allclose(found.gain[k], discrete, rtol=1e-6, atol=1e-12)
        low = f < 0.05
        assert torch.allclose(found.gain[k][low], torch.exp(-2 * (math.pi * sigma * f[low]) ** 2), rtol=0.04)


@pytest.mark.parametrize("t", [0.25, 0.575])
def test_the_exact_gain_of_a_chain_is_what_it_does_to_a_wave(t):
    """At a level, and between two, where it is linear in D."""
    op = IteratedBlur(num_steps=20, kernel_size=5, border="circular", schedule=Power(exponent=0.5))
    x = torch.cos(2 * math.pi * 3 * torch.arange(32.0, dtype=torch.float64) / 32).expand(1, 1, 32, 32)
    found = gains(op, x, times=(t,))
    place = int((found.frequency - 3 / 32).abs().argmin())
    assert float(found.frequency[place]) == pytest.approx(3 / 32)
    assert torch.allclose(op(x, t), x * found.gain[0, place], atol=1e-9)


def test_the_measured_gain_of_a_blur_agrees_with_its_closed_form(images, monkeypatch):
    """White noise, blurred, its rings of frequencies against exp(-2 pi^2 sigma^2 f^2), within 3%."""
    monkeypatch.setattr(GaussianBlur, "has_spectrum", False)
    found = gains(GaussianBlur(sigma_max=1.5, border="circular"), images(8, 1, 64, 64), times=(1.0,))
    low = found.frequency < 0.12
    assert int(low.sum()) >= 4
    expected = torch.exp(-2 * (math.pi * 1.5 * found.frequency) ** 2)
    assert torch.allclose(found.gain[0][low], expected[low], rtol=0.03)
    assert float(found.correlation[0][low].min()) > 0.99, "what is left is where it was"


def test_noise_adds_power_that_has_nothing_to_do_with_the_picture():
    rows = torch.arange(64.0, dtype=torch.float64)
    smooth = torch.sin(rows / 9)[:, None] * torch.sin(rows / 7) * 0.4 + 0.5
    drawn = torch.Generator().manual_seed(0)
    found = gains(GaussianNoise(), smooth.expand(4, 1, 64, 64), times=(0.2,), generator=drawn)
    assert float(found.gain[0, -1]) > 100 and abs(float(found.correlation[0, -1])) < 0.2
    assert float(found.correlation[0, 0]) > 0.95


def test_where_nothing_is_left_nothing_is_correlated(images):
    found = gains(Pixelate(), images(1, 1, 64, 64), times=(0.0, 1.0))
    assert all(torch.allclose(v[0], torch.ones((), dtype=v.dtype)) for v in (found.gain, found.correlation))
    assert float(found.gain[1].max()) < 1e-6 and bool(found.correlation[1].isnan().all())


def test_what_must_be_measured_needs_images():
    with pytest.raises(ValueError, match="what motion_blur does to frequencies is measured: give images"):
        gains(MotionBlur())
    with pytest.raises(ValueError, match="8 pixels a side"):
        gains(MotionBlur(), torch.rand(1, 1, 7, 30))


def test_a_plot_of_frequencies_says_whether_it_was_measured(plots, images):
    exact, measured = viz.frequencies(GaussianBlur()), viz.frequencies(MotionBlur(), images(2, 3, 16, 24))
    assert "exact" in exact.get_suptitle() and len(exact.axes) == 1
    assert "measured on 2 pictures of 24 x 16 pixels" in measured.get_suptitle() and len(measured.axes) == 2
    drawn = gains(GaussianBlur()).gain
    for line, gain in zip(exact.axes[0].get_lines(), drawn, strict=True):
        assert list(line.get_ydata()) == gain.tolist()
    assert all("cycles per pixel" in ax.get_xlabel() for ax in (*exact.axes, *measured.axes))
