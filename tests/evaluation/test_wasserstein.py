"""Grids that follow from images: calibrated chains are walked level by level, and bad images are left out."""

import warnings

import pytest
import torch

import colddiff as cd
from colddiff.evaluation.calibration import measure_at, straightness
from colddiff.samplers.time_grid import grid_within, time_grid

PHOTOS = cd.load_data("photos")[:24]
CHAINS = {T: cd.calibrate(cd.IteratedBlur(num_steps=T, kernel_size=5), PHOTOS) for T in (1, 10, 20)}
UNEVEN = CHAINS[20].level_times()
assert UNEVEN is not None


@pytest.mark.parametrize("T", [10, 20])
def test_the_time_axis_belongs_to_the_levels_from_t_min_on(T):
    levels = CHAINS[T].level_times()
    assert float(levels[1]) == pytest.approx(0.05)
    told = measure_at(CHAINS[T], PHOTOS, levels[1:])
    assert straightness(levels[1:], told) > 0.999


def test_a_chain_of_one_level_has_nowhere_else_to_begin():
    assert CHAINS[1].level_times().tolist() == [0, 1]
    assert CHAINS[1].severity(torch.tensor(0.05)) == pytest.approx(0.05)


@pytest.mark.parametrize(("T", "asked"), [(10, 10), (10, 50), (20, 20), (20, 300)])
def test_as_many_steps_as_there_are_levels_visit_each_however_uneven(T, asked):
    levels = CHAINS[T].level_times()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(grid_within(asked, 1.0, levels), levels.flip(0))
        assert torch.equal(time_grid(T, levels=levels), levels.flip(0))


@pytest.mark.parametrize("k", [1, 2, 7, 19])
def test_so_they_do_below_a_start(k):
    start = float(UNEVEN[k])
    assert torch.equal(grid_within(20, start, UNEVEN), UNEVEN[: k + 1].flip(0))
    between = start * 0.9 + float(UNEVEN[k - 1]) * 0.1
    with pytest.warns(UserWarning, match="is between levels"):
        assert torch.equal(grid_within(20, between, UNEVEN), UNEVEN[: k + 1].flip(0))


def test_of_several_starts_each_visits_its_own_levels():
    starts = UNEVEN[[3, 12, 20]]
    times = grid_within(20, starts, UNEVEN)
    for column, k in zip(times.T, (3, 12, 20), strict=True):
        assert torch.equal(column.unique(), UNEVEN[: k + 1])
    fewer = time_grid(12, UNEVEN[[3, 20]], levels=UNEVEN)
    with pytest.warns(UserWarning, match="12 steps on 20 levels"):
        alone = time_grid(12, levels=UNEVEN)
    assert torch.equal(fewer[:, 1].unique(), alone.flip(0)) and torch.equal(fewer[:, 0].unique(), UNEVEN[:4])


@pytest.mark.parametrize("T", [3, 10, 300])
def test_evenly_spaced_levels_are_the_nearest_to_equal_times(T):
    levels = torch.arange(T + 1, dtype=torch.float64) / T
    starts = levels[[1, T // 2, T]]
    for steps in (T // 2, T):
        times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:, None] * starts
        nearest = levels[torch.bucketize(times, (levels[1:] + levels[:-1]) / 2, right=True)]
        nearest[0] = starts
        assert torch.equal(grid_within(steps, starts, levels).unique(dim=0), nearest.unique(dim=0))


@pytest.mark.parametrize("schedule", [cd.Power(exponent=3), cd.Exponential(rate=20.0)], ids=str)
def test_where_the_old_schedule_has_no_damage_yet_it_begins_at_more(schedule):
    op = cd.GaussianBlur(sigma_max=6, schedule=schedule)
    calibrated = cd.calibrate(op, PHOTOS)
    begins, was = (float(d.severity(torch.tensor(0.05))) for d in (calibrated, op))
    assert was < 5e-4 < begins < 0.01
    times = torch.linspace(0.05, 1, 20, dtype=torch.float64)
    assert straightness(times, measure_at(calibrated, PHOTOS, times)) > 0.999


def test_it_begins_where_most_images_are_damaged_and_not_where_one_is():
    def first(x, x0):  # finite from severity 0.3 on, but for one image from the beginning
        found = (x - x0).abs().mean(dim=(1, 2, 3))
        late = (found < 0.3) & (torch.arange(len(x)) > 0)
        return torch.where(late | (found <= 0), torch.inf, found)

    up = cd.from_callable(lambda x, s: x + s)
    assert float(cd.calibrate(up, torch.zeros_like(PHOTOS), first).severity(torch.tensor(0.05))) == pytest.approx(0.4)


def test_images_that_tell_nothing_are_left_out_of_equal_steps():
    bad = torch.cat([torch.full_like(PHOTOS[:2], torch.nan), torch.full_like(PHOTOS[:2], 0.5)])
    found = cd.wasserstein_times(cd.GaussianBlur(), torch.cat([PHOTOS, bad]), 6)
    assert torch.allclose(found, cd.wasserstein_times(cd.GaussianBlur(), PHOTOS, 6), rtol=1e-3)


@pytest.mark.parametrize(
    ("still", "broken", "said"),
    [(2, 0, "2 of 2 do not change, 0 hold nan"), (0, 2, "0 of 2 do not change, 2 hold nan"), (1, 2, "1 of 3 .*, 2 ")],
)
def test_why_there_are_no_equal_steps_is_told(still, broken, said):
    images = torch.tensor([0.5] * still + [torch.nan] * broken).reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    with pytest.raises(ValueError, match=said):
        cd.wasserstein_times(cd.GaussianBlur(), images, 3)


def test_hundreds_of_equal_steps_are_damaged_but_a_few_times():
    seen = []

    def blend(x, s):
        seen.append(s)
        return x + s**3 * (0.5 - x)

    times = cd.wasserstein_times(cd.from_callable(blend), PHOTOS[:1], 300)
    assert len(seen) < 2000
    assert torch.allclose(times**3, torch.linspace(1, 0, 301, dtype=torch.float64), atol=1e-3)


@pytest.mark.parametrize("steps", [2, 300])
def test_where_images_jump_steps_still_fall(steps):
    op = cd.from_callable(lambda x, s: x + 0.1 * s + (s > 0.5))
    times = cd.wasserstein_times(op, PHOTOS[:2], steps)
    assert len(times) == steps + 1 and bool((times.diff() < 0).all())


def test_levels_of_255_and_names_are_no_images_and_no_degradations() -> None:
    photos = cd.load_data("photos", size=16)[:4]
    for made in (cd.calibrate, lambda op, x: cd.wasserstein_times(op, x, 5)):
        with pytest.raises(ValueError, match="divide by 255"):
            made(cd.GaussianBlur(), 255 * photos)
        with pytest.raises(TypeError, match="expected a degradation, got str"):
            made("gaussian_blur", photos)
