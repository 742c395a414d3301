"""Schedules warp time; tables of betas and sigmas follow their formulas."""

import math

import pytest
import torch

from colddiff import (
    BetaTable,
    ConstantSigma,
    Cosine,
    CosineBetas,
    ExponentialSigma,
    Linear,
    LinearBetas,
    LinearSigma,
    NoiseSchedule,
    Power,
    QuadraticBetas,
    Schedule,
    Table,
)
from colddiff.registry import registered

SCHEDULES = [
    Linear(),
    Power(),
    Power(exponent=0.3),
    Power(exponent=7),
    Cosine(),
    Table(),
    Table(values=(0, 0.9, 0.95, 1)),
]
BETAS = [LinearBetas(), QuadraticBetas(), CosineBetas(), CosineBetas(num_steps=7), BetaTable(values=(0.1, 0.9))]


def test_every_schedule_is_tested_here() -> None:
    for group, examples in (("schedules", SCHEDULES), ("noise_schedules", BETAS)):
        ours = {c for c in registered(f"colddiff.{group}").values() if c.__module__.startswith("colddiff.")}
        assert ours == {type(e) for e in examples}


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
    assert float(Table(values=(0, 0.5, 0.6, 1))(t)) == pytest.approx(0.375)


@pytest.mark.parametrize("values", [(), (0,), (0, 0.5), (0.1, 1), (0, 0.5, 0.5, 1), (0, 0.6, 0.5, 1), (0, math.nan, 1)])
def test_a_table_that_does_not_increase_from_zero_to_one_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="increase strictly from 0 to 1"):
        Table(values=values)


@pytest.mark.parametrize("exponent", [0, -1, math.inf, math.nan])
def test_an_exponent_out_of_range_is_refused(exponent: float) -> None:
    with pytest.raises(ValueError, match="exponent"):
        Power(exponent=exponent)


@pytest.mark.parametrize("betas", BETAS, ids=str)
def test_alpha_bar_is_the_product_of_what_each_step_leaves(betas: NoiseSchedule) -> None:
    bars, product = betas.alpha_bars(), 1.0
    assert bars.dtype == torch.float64 and len(bars) == betas.num_steps + 1 and bars[0] == 1
    for k, beta in enumerate(betas.betas().tolist(), start=1):
        assert 0 < beta < 1
        product *= 1 - beta
        assert float(bars[k]) == pytest.approx(product, rel=1e-12)


@pytest.mark.parametrize("betas", BETAS, ids=str)
def test_alpha_bar_is_exact_on_levels_and_its_amplitude_linear_between(betas: NoiseSchedule) -> None:
    n, bars = betas.num_steps, betas.alpha_bars()
    k = torch.arange(n + 1)
    # k / n n may miss k by an ulp, which a steep end multiplies.
    assert torch.allclose(betas.alpha_bar(k / n), bars, rtol=1e-3, atol=1e-6)
    assert torch.allclose(betas.alpha_bar(k.double() / n), bars, rtol=1e-9, atol=1e-14)
    middle = betas.alpha_bar((k[:-1].double() + 0.5) / n).sqrt()
    assert torch.allclose(middle, (bars[1:].sqrt() + bars[:-1].sqrt()) / 2)


def test_beta_schedules_are_those_of_their_papers() -> None:
    linear = LinearBetas().betas()
    assert linear[[0, -1]].tolist() == pytest.approx([1e-4, 0.02]) and float(linear.diff().std()) < 1e-12
    quadratic = QuadraticBetas().betas().sqrt()
    assert float(quadratic.diff().std()) < 1e-12
    f = [math.cos((k / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(1001)]
    bars = CosineBetas().alpha_bars()
    assert float(bars[500]) == pytest.approx(f[500] / f[0], rel=1e-9)
    assert float(CosineBetas().betas()[-1]) == 0.999


def test_a_table_of_betas_knows_its_length() -> None:
    assert BetaTable(values=(0.1, 0.2)).num_steps == 2
    assert BetaTable(values=(0.1, 0.2), num_steps=2) == BetaTable(values=(0.1, 0.2))
    with pytest.raises(ValueError, match="length of values, 2, got 3"):
        BetaTable(values=(0.1, 0.2), num_steps=3)


@pytest.mark.parametrize(
    "build",
    [
        lambda: LinearBetas(beta_start=0),
        lambda: QuadraticBetas(beta_end=1),
        lambda: CosineBetas(beta_max=1.5),
        lambda: BetaTable(values=(0.1, 0.0)),
        lambda: LinearBetas(beta_end=math.nan),
    ],
)
def test_betas_out_of_range_are_refused(build) -> None:
    with pytest.raises(ValueError, match="betas must be in"):
        build()


@pytest.mark.parametrize("num_steps", [0, -3, 2_000_000])
def test_a_chain_has_at_least_one_step(num_steps: int) -> None:
    with pytest.raises(ValueError, match="num_steps"):
        LinearBetas(num_steps=num_steps)


def test_an_empty_table_of_betas_is_refused() -> None:
    with pytest.raises(ValueError, match="num_steps"):
        BetaTable(values=())


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
