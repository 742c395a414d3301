"""Iterated blur: what it computes, against a slow twin."""

import pytest
import torch
from support.comparing import distance
from support.operators import convolved, convolved_2d, gaussian_2d

from colddiff import ConstantSigma, ExponentialSigma, IteratedBlur, LinearSigma
from colddiff.degradations.blur_schedules import AccumulatingSigma, DecreasingSigma
from colddiff.degradations.families import separable

BORDERS = ("reflect", "circular", "symmetric")


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    "sigmas",
    [ConstantSigma(sigma=7), LinearSigma(), ExponentialSigma(start=1, rate=0.01), LinearSigma(start=0.3, slope=0.3)],
    ids=["constant", "linear", "exponential", "incremental"],
)
def test_iterated_blur_is_the_chain_of_its_convolutions(sigmas, border, images) -> None:
    x = images(1, 2, 12, 9)
    op = IteratedBlur(num_steps=20, kernel_size=11, sigmas=sigmas, border=border)
    chain = x
    for k, sigma in enumerate(sigmas.sigmas(20), start=1):
        offset = torch.arange(-5, 6, dtype=torch.float64)
        kernel = torch.exp(-(offset**2) / (2 * sigma**2))
        chain = convolved(chain, kernel / kernel.sum(), border)
        if k in (1, 2, 7, 20):
            assert distance(op(x, k / 20), chain) < 1e-12


def test_iterated_blur_takes_kernels_larger_than_the_picture(images) -> None:
    x = images(1, 1, 3, 1)
    assert distance(IteratedBlur(num_steps=2, kernel_size=11, border="symmetric")(x, 1.0), x.mean().expand_as(x)) < 0.05


@pytest.mark.parametrize("border", ["circular", "reflect", "symmetric"])
@pytest.mark.parametrize("sigmas", [AccumulatingSigma(start=0.3, target=6.0), DecreasingSigma(target=3.5)], ids=str)
def test_kernels_as_wide_as_their_sigma_are_the_chain(sigmas, border, images) -> None:
    x, T = images(2, 3, 13, 10), 8
    op = IteratedBlur(num_steps=T, kernel_size=None, sigmas=sigmas, border=border)
    step = x
    for k, sigma in enumerate(sigmas.sigmas(T).tolist(), start=1):
        step = convolved_2d(step, gaussian_2d(2 * int(2 * sigma) + 3, sigma), border)
        assert (op(x, k / T) - step).abs().max() < 1e-13, k


@pytest.mark.parametrize("kept", [2**25, 0], ids=["matrices", "spectra"])
@pytest.mark.parametrize("border", ["circular", "reflect", "symmetric"])
def test_a_blur_ends_in_the_mean_exactly_and_is_a_line_before(border, kept, images, monkeypatch) -> None:
    monkeypatch.setattr(separable, "STACK_BYTES", kept)
    x = images(2, 3, 11, 8 + (kept > 0))  # tables are remembered by size
    chain = IteratedBlur(num_steps=5, kernel_size=3, sigmas=ConstantSigma(sigma=0.6), border=border)
    op = IteratedBlur(num_steps=5, kernel_size=3, sigmas=chain.sigmas, border=border, ends_in_mean=True)
    assert ("matrices" in str(op.tables(x).keys())) == (kept > 0)
    mean = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    assert (chain(x, 1.0) - mean).abs().max() > 0.05
    rounding = x[0, 0].numel() * torch.finfo(x.dtype).eps  # of a sum of as many numbers below 1, in any order
    assert (op(x, 1.0) - mean).abs().max() < rounding
    assert torch.equal(op(x, 0.8), chain(x, 0.8))
    assert (op(x, 0.95) - (0.25 * chain(x, 0.8) + 0.75 * mean)).abs().max() < 1e-13
    mixed = op(x, torch.tensor([1.0, 0.4], dtype=torch.float64))
    assert (mixed[:1] - mean[:1]).abs().max() < rounding and (mixed[1:] - chain(x, 0.4)[1:]).abs().max() < 1e-13


@pytest.mark.parametrize("border", ["circular", "symmetric"])
def test_a_spectrum_ends_in_the_mean_too(border, images) -> None:
    op, x = IteratedBlur(num_steps=4, border=border, ends_in_mean=True), images(1, 1, 7, 7)
    basis, gains = op.spectrum(7, torch.tensor([3, 4]))
    assert op.has_spectrum
    for t, gain in zip((0.75, 1.0), gains, strict=True):
        A = basis[0] @ torch.diag(gain) @ basis[1]
        assert (op(x, t) - A @ x @ A.mT).abs().max() < 1e-13


def test_a_mean_that_no_cosine_of_reflected_borders_is_has_no_spectrum() -> None:
    op = IteratedBlur(border="reflect", ends_in_mean=True)
    assert not op.has_spectrum and IteratedBlur(border="reflect").has_spectrum
    with pytest.raises(NotImplementedError, match="no spectrum"):
        op.spectrum(8, torch.tensor([0]))
