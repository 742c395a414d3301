"""Grids that are equally spaced in Wasserstein distance."""

from itertools import pairwise

import pytest
import torch
from support.calibrating import SEEN
from torch import Tensor

import colddiff as cd
from colddiff.degradations import Degradation
from colddiff.utils.rng import generator_for

FEW_PHOTOS = cd.load_data("photos")[:24]


def test_images_that_tell_nothing_are_left_out_of_equal_steps():
    bad = torch.cat([torch.full_like(FEW_PHOTOS[:2], torch.nan), torch.full_like(FEW_PHOTOS[:2], 0.5)])
    found = cd.wasserstein_times(cd.GaussianBlur(), torch.cat([FEW_PHOTOS, bad]), 6)
    assert torch.allclose(found, cd.wasserstein_times(cd.GaussianBlur(), FEW_PHOTOS, 6), rtol=1e-3)


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

    times = cd.wasserstein_times(cd.from_callable(blend), FEW_PHOTOS[:1], 300)
    assert len(seen) < 2000
    assert torch.allclose(times**3, torch.linspace(1, 0, 301, dtype=torch.float64), atol=1e-3)


@pytest.mark.parametrize("steps", [2, 300])
def test_where_images_jump_steps_still_fall(steps):
    op = cd.from_callable(lambda x, s: x + 0.1 * s + (s > 0.5))
    times = cd.wasserstein_times(op, FEW_PHOTOS[:2], steps)
    assert len(times) == steps + 1 and bool((times.diff() < 0).all())


def test_levels_of_255_and_names_are_no_images_and_no_degradations() -> None:
    photos = cd.load_data("photos", size=16)[:4]
    for made in (cd.calibrate, lambda op, x: cd.wasserstein_times(op, x, 5)):
        with pytest.raises(ValueError, match="divide by 255"):
            made(cd.GaussianBlur(), 255 * photos)
        with pytest.raises(TypeError, match="expected a degradation, got str"):
            made("gaussian_blur", photos)


def chords(op: Degradation, images: Tensor, times: Tensor) -> Tensor:
    """How far consecutive times are apart, every image coupled with itself."""
    own = [generator_for(0, "calibration", i) for i in range(len(images))]
    D = op.bind(op.draw_each(images, own), like=images)
    steps = [(D(images, float(t)) - D(images, float(s))).square().sum(dim=(1, 2, 3)) for t, s in pairwise(times)]
    return torch.stack(steps).mean(dim=1).sqrt()


SMOOTH = [
    cd.GaussianBlur(),
    cd.GaussianBlur(schedule=cd.Cosine()),
    cd.Pixelate(),
    cd.UniformNoise(),
    cd.PixelMask(),
]


@pytest.mark.parametrize(("steps", "start"), [(1, 1.0), (2, 0.3), (7, 1.0)])
@pytest.mark.parametrize("op", SMOOTH, ids=str)
def test_consecutive_distributions_are_equally_far_apart(op, steps, start):
    times = cd.wasserstein_times(op, SEEN, steps, start)
    assert times.shape == (steps + 1,) and times.dtype == torch.float64
    assert times[0] == start and times[-1] == 0 and bool((times.diff() < 0).all())
    found = chords(op, SEEN, times)
    assert float((found / found.mean() - 1).abs().max()) < 0.02


def test_a_grid_of_equal_times_is_not_equally_spaced_but_walks_as_well():
    equal = chords(cd.GaussianBlur(), SEEN, cd.time_grid(7))
    assert float(equal.max() / equal.min()) > 3
    D = cd.GaussianBlur().bind(like=SEEN)
    times = cd.wasserstein_times(cd.GaussianBlur(), SEEN, 7)
    assert torch.allclose(cd.sample(lambda x, t: SEEN, D, D(SEEN, 1.0), times=times), SEEN, atol=1e-5)


@pytest.mark.filterwarnings("ignore:9 steps on 20 levels")
def test_on_levels_a_grid_is_of_levels():
    op = cd.IteratedBlur()
    times = cd.wasserstein_times(op, SEEN, 9)
    assert set(times.tolist()) <= set(op.level_times().tolist()) and 3 < len(times) <= 10
    assert times[0] == 1 and times[-1] == 0


def test_steps_that_fall_on_one_level_are_told():
    with pytest.warns(UserWarning, match="9 steps on 3 levels: only . are distinct"):
        times = cd.wasserstein_times(cd.IteratedBlur(num_steps=3), SEEN, 9)
    assert len(times) <= 4


def transported(a: Tensor, b: Tensor) -> tuple[float, float]:
    """The mean square distance of two samples by the best coupling, and by coupling each image with itself."""
    optimize = pytest.importorskip("scipy.optimize")
    costs = torch.cdist(a.flatten(1).double(), b.flatten(1).double()).square()
    rows, columns = optimize.linear_sum_assignment(costs.numpy())
    return float(costs[rows, columns].mean()), float(costs.diagonal().mean())


@pytest.mark.parametrize(("t", "s"), [(0.02, 0.0), (0.3, 0.25), (1.0, 0.1), (1.0, 0.0)])
def test_under_a_symmetric_blur_no_coupling_is_better_than_each_image_with_itself(t, s):
    D = cd.GaussianBlur(border="symmetric").bind(like=SEEN.double())
    best, own = transported(D(SEEN.double(), t), D(SEEN.double(), s))
    assert own == pytest.approx(best, rel=1e-9)


def test_between_near_times_of_noise_each_image_stays_its_own():
    own = [generator_for(0, i) for i in range(len(SEEN))]
    op = cd.UniformNoise(wrap=False)
    D = op.bind(op.draw_each(SEEN, own), like=SEEN)
    best, kept = transported(D(SEEN, 0.3), D(SEEN, 0.28))
    assert kept == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((cd.GaussianBlur(), SEEN, 0), "steps must be a whole number >= 1, got 0"),
        ((cd.GaussianBlur(), SEEN, 3, 0.0), r"start must be in \(0, 1\]"),
        ((cd.GaussianBlur(), SEEN, 3, torch.tensor([0.5, 1.0])), "start must be one number"),
        ((cd.GaussianBlur(), SEEN[:0], 3), "expected images to measure on, got none"),
        ((cd.GaussianBlur(), torch.full((2, 1, 8, 8), 0.5), 3), "these images do not change"),
        ((cd.GaussianBlur(), torch.full((2, 1, 8, 8), torch.nan), 3), "these images do not change, or hold nan"),
    ],
)
def test_a_grid_that_cannot_be_is_told(arguments, said):
    with pytest.raises(ValueError, match=said):
        cd.wasserstein_times(*arguments)
