"""The distances are those of scikit-image."""

import math

import pytest
import torch
from skimage import metrics as reference

from colddiff.evaluation.metrics import psnr, rmse, ssim, ssim_window, summary


@pytest.fixture
def pair(images):
    a = images(3, 3, 24, 20)
    return a, (a + 0.1 * (images(3, 3, 24, 20, seed=1) - 0.5)).clamp(0, 1)


def test_rmse_and_psnr_are_per_image_and_agree_with_scikit_image(pair):
    a, b = pair
    for i in range(3):
        x, y = a[i].numpy(), b[i].numpy()
        assert float(rmse(a, b)[i]) == pytest.approx(math.sqrt(reference.mean_squared_error(x, y)), abs=1e-12)
        expected = reference.peak_signal_noise_ratio(x, y, data_range=1)
        assert float(psnr(a, b)[i]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(24, 20), (11, 11), (12, 30)])
def test_ssim_is_the_gaussian_one_of_scikit_image(channels, shape, images):
    a, b = images(2, channels, *shape), images(2, channels, *shape, seed=1)
    for i in range(2):
        # scikit-image leaves out the borders before it takes the mean.
        expected = reference.structural_similarity(
            a[i].numpy(), b[i].numpy(), channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            data_range=1,
        )  # fmt: skip
        assert float(ssim(a, b)[i]) == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.parametrize(("side", "taps"), [(11, 11), (10, 7), (8, 7), (6, 5), (4, 3)])
def test_small_images_have_the_same_formula_with_fewer_taps(side, taps, images):
    a, b = images(1, 1, side, side), images(1, 1, side, side, seed=1)
    line = torch.exp(-((torch.arange(taps, dtype=torch.float64) - taps // 2) ** 2) / (2 * 1.5**2))
    window = torch.outer(line, line) / line.sum() ** 2
    values = []
    for x, y in zip(
        *(v[0, 0].unfold(0, taps, 1).unfold(1, taps, 1).reshape(-1, taps, taps) for v in (a, b)), strict=True
    ):
        mx, my = (window * x).sum(), (window * y).sum()
        vx, vy, vxy = (window * x * x).sum() - mx**2, (window * y * y).sum() - my**2, (window * x * y).sum() - mx * my
        c1, c2 = 0.01**2, 0.03**2
        values.append((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    assert float(ssim(a, b)) == pytest.approx(float(torch.stack(values).mean()), abs=1e-9)


def test_equal_images_have_no_error_100_db_and_ssim_1(images):
    x = images(2, 1, 8, 8)
    assert rmse(x, x).tolist() == [0, 0] and psnr(x, x).tolist() == [100, 100]
    assert ssim(x, x).tolist() == pytest.approx([1, 1])
    flat = torch.zeros(1, 1, 8, 8)
    assert ssim(flat, flat).tolist() == pytest.approx([1])


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 10])
def test_the_smallest_images_have_an_ssim(side, images):
    values = ssim(images(2, 1, side, side), images(2, 1, side, side, seed=1))
    assert values.isfinite().all() and ssim_window(side) <= side


def test_a_summary_is_a_mean_with_its_interval():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    found = summary(values)
    half = 1.96 * math.sqrt(5 / 3) / 2
    assert (found.mean, found.low, found.high) == pytest.approx((2.5, 2.5 - half, 2.5 + half))
    one = summary(values[:1])
    assert (one.mean, one.low, one.high) == (1, 1, 1)
