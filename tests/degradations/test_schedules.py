"""Schedules warp time."""

import math

import pytest
import torch

from colddiff import Bridge, Cosine, Exponential, Linear, PiecewiseLinear, Power, Schedule
from colddiff.utils.config import registered

SCHEDULES = [
    Linear(),
    Power(),
    Power(exponent=0.3),
    Power(exponent=7),
    Cosine(),
    Exponential(),
    Exponential(rate=0.1),
    Bridge(),
    Bridge(beta_max=0.02),
    PiecewiseLinear(),
    PiecewiseLinear(values=(0, 0.9, 0.95, 1)),
]


def test_every_schedule_is_tested_here() -> None:
    ours = {c for c in registered("colddiff.schedules").values() if c.__module__.startswith("colddiff.")}
    assert ours == {type(e) for e in SCHEDULES}


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_a_schedule_runs_from_zero_to_one_and_increases(schedule: Schedule) -> None:
    s = schedule(torch.linspace(0, 1, 101, dtype=torch.float64))
    assert s.dtype == torch.float64
    assert s[0] == 0 and s[-1] == 1 and bool((s.diff() > 0).all())


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_an_inverse_undoes_its_schedule(schedule: Schedule) -> None:
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert float((schedule.inverse(schedule(t)) - t).abs().max()) < 1e-12
    assert schedule.inverse(t)[[0, -1]].tolist() == [0, 1]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_bisection_finds_the_same_inverse(schedule: Schedule) -> None:
    s = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert float((Schedule.inverse(schedule, s) - schedule.inverse(s)).abs().max()) < 1e-12


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_a_schedule_takes_times_of_any_shape(schedule: Schedule) -> None:
    t = torch.rand(2, 3, 1, dtype=torch.float64)
    assert schedule(t).shape == t.shape and schedule(t[0, 0, 0]).shape == ()


def test_schedules_are_their_formulas() -> None:
    t = torch.tensor(0.25, dtype=torch.float64)
    assert float(Power(exponent=3)(t)) == pytest.approx(0.25**3)
    assert float(Cosine()(t)) == pytest.approx((1 - math.cos(math.pi / 4)) / 2)
    sigma = 24 * Exponential()(torch.tensor([0.5, 0.75, 1.0], dtype=torch.float64)) + 24 / 47
    assert float(sigma[1] / sigma[0]) == pytest.approx(float(sigma[2] / sigma[1]))  # equal ratios, but for an offset
    assert float(PiecewiseLinear(values=(0, 0.5, 0.6, 1))(t)) == pytest.approx(0.375)


@pytest.mark.parametrize("values", [(), (0,), (0, 0.5), (0.1, 1), (0, 0.5, 0.5, 1), (0, 0.6, 0.5, 1), (0, math.nan, 1)])
def test_a_table_that_does_not_increase_from_zero_to_one_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="increase strictly from 0 to 1"):
        PiecewiseLinear(values=values)


@pytest.mark.parametrize("exponent", [0, -1, math.inf, math.nan])
def test_an_exponent_out_of_range_is_refused(exponent: float) -> None:
    with pytest.raises(ValueError, match="exponent"):
        Power(exponent=exponent)
