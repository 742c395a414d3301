"""Schedules of noise: how much each step leaves."""

import math

import pytest
import torch

from colddiff import BetaTable, CosineBetas, LinearBetas, NoiseSchedule, QuadraticBetas
from colddiff.utils.config import registered

BETAS = [LinearBetas(), QuadraticBetas(), CosineBetas(), CosineBetas(num_steps=7), BetaTable(values=(0.1, 0.9))]


def test_every_schedule_of_noise_is_tested_here() -> None:
    ours = {c for c in registered("colddiff.noise_schedules").values() if c.__module__.startswith("colddiff.")}
    assert ours == {type(e) for e in BETAS}


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
    # A level is met however k / n was rounded, and a steep end would multiply what it missed.
    for times in (k / n, k.double() / n, (k.double() / n).nextafter(torch.ones((), dtype=torch.float64))):
        assert torch.allclose(betas.alpha_bar(times.clamp(max=1)), bars, rtol=1e-12, atol=0)
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


def test_alpha_bar_takes_times_of_any_shape() -> None:
    for shape in ((), (3,), (2, 1, 1, 1), (0,)):
        assert LinearBetas().alpha_bar(torch.ones(shape)).shape == shape


def test_the_length_of_a_table_of_betas_is_no_field_of_it() -> None:
    table = BetaTable(values=(0.1, 0.2))
    assert table.num_steps == 2 and table.to_config() == {"type": "table", "values": [0.1, 0.2]}
    with pytest.raises(TypeError, match="num_steps"):
        BetaTable(values=(0.1, 0.2), num_steps=3)  # type: ignore[call-arg]


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
    with pytest.raises(ValueError, match="at least one beta"):
        BetaTable(values=())
