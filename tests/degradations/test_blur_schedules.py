"""The widths of a chain of blurs."""

import math

import pytest
import torch

from colddiff import ConstantSigma, ExponentialSigma, LinearSigma
from colddiff.degradations.blur_schedules import AccumulatingSigma, DecreasingSigma


def test_sigma_schedules_are_their_formulas() -> None:
    assert ConstantSigma(sigma=7).sigmas(3).tolist() == [7, 7, 7]
    assert LinearSigma(start=0.35, slope=0.01).sigmas(3).tolist() == pytest.approx([0.35, 0.36, 0.37])
    assert ExponentialSigma(start=1, rate=0.01).sigmas(3).tolist() == pytest.approx([1, math.exp(0.01), math.exp(0.02)])
    for schedule in (ConstantSigma(), LinearSigma(), ExponentialSigma()):
        assert schedule.sigmas(2).dtype == torch.float64


@pytest.mark.parametrize(
    "build",
    [
        lambda: ConstantSigma(sigma=0),
        lambda: LinearSigma(start=-1),
        lambda: LinearSigma(slope=-1),
        lambda: ExponentialSigma(start=0),
        lambda: ExponentialSigma(rate=math.inf),
    ],
)
def test_sigmas_out_of_range_are_refused(build) -> None:
    with pytest.raises(ValueError, match="pixels"):
        build()


def test_sigmas_accumulate_in_a_straight_line() -> None:
    together = AccumulatingSigma(start=0.5, target=9.0).sigmas(40).square().cumsum(0).sqrt()
    assert (together - torch.linspace(0.5, 9.0, 40, dtype=torch.float64)).abs().max() < 1e-12
    assert AccumulatingSigma(start=0.5, target=9.0).sigmas(1).tolist() == [0.5]


def test_decreasing_sigmas_fall_evenly_to_their_own_last_step_and_make_the_target() -> None:
    sigmas = DecreasingSigma(target=9.0).sigmas(40)
    assert float(sigmas.square().sum()) == pytest.approx(81.0, rel=1e-14)
    assert (sigmas.diff() + sigmas[-1]).abs().max() < 1e-14
    assert DecreasingSigma(target=9.0).sigmas(1).tolist() == [9.0]
