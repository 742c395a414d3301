"""The interface of a degradation: what it takes, what it refuses, and what it says."""

import math

import pytest
import torch
from support.comparing import distance

from colddiff import (
    Degradation,
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    IteratedBlur,
    Pixelate,
    PixelMask,
    PixelNoise,
    UniformNoise,
)
from colddiff.testing.reporting import seeded


def test_every_operator_takes_a_single_pixel() -> None:
    x = torch.full((2, 1, 1, 1), 0.3)
    for op in (
        GaussianBlur(),
        IteratedBlur(),
        GaussianMask(),
        PixelMask(),
        Pixelate(),
        GaussianNoise(),
        UniformNoise(),
    ):
        assert op(x, 0.5, op.draw(x)).shape == x.shape


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        ([[0.5]], TypeError, "list"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), TypeError, "uint8"),
        (torch.zeros(3, 2, 2), ValueError, r"x\[None\]"),
        (torch.zeros(1, 0, 2, 2), ValueError, "got shape"),
    ],
)
def test_what_is_no_batch_of_float_images_is_refused(x, error, words) -> None:
    with pytest.raises(error, match=words):
        GaussianBlur()(x, 0.5)


@pytest.mark.parametrize("t", [-0.1, 1.1, math.nan, torch.tensor([0.5, 2.0]), torch.zeros(3), torch.zeros(2, 1)])
def test_a_time_out_of_range_or_shape_is_refused(t, images) -> None:
    with pytest.raises(ValueError, match="time"):
        GaussianBlur()(images(2, 1, 4, 4), t)


def test_times_may_be_numbers_and_integers(images) -> None:
    x = images(2, 1, 4, 4)
    assert distance(GaussianBlur()(x, 1), GaussianBlur()(x, torch.ones(2, dtype=torch.int64))) < 1e-15


def test_a_random_operator_asks_for_its_params(images) -> None:
    with pytest.raises(TypeError, match=r"op\.draw\(x, generator\)"):
        PixelMask()(images(1, 1, 2, 2), 0.5)


@pytest.mark.parametrize("value", [torch.zeros(3, 1, 4, 4), torch.tensor(1.0), 0.5])
def test_params_without_a_row_per_image_are_refused(value, images) -> None:
    with pytest.raises(ValueError, match="'rank' must be a tensor with one row per image, 2"):
        PixelMask().bind({"rank": value}, like=images(2, 1, 4, 4))


def test_draw_each_wants_a_generator_per_image(images) -> None:
    with pytest.raises(ValueError, match="one generator per image, 2, got 1"):
        PixelMask().draw_each(images(2, 1, 4, 4), [torch.Generator()])


def test_what_an_operator_cannot_do_it_says(images) -> None:
    op, x = GaussianBlur(), images(1, 1, 4, 4)
    with pytest.raises(NotImplementedError, match="GaussianBlur cannot read"):
        op.observe(x, torch.ones(1))
    with pytest.raises(NotImplementedError, match="GaussianBlur cannot estimate"):
        op.estimate(x, x, torch.ones(1), {})
    with pytest.raises(NotImplementedError, match="GaussianBlur has no noise"):
        op.refresh({}, torch.ones(1), torch.zeros(1), 1.0, x)


def test_autocast_does_not_reach_a_degradation(images) -> None:
    x = images(2, 3, 9, 7, dtype=torch.float32)
    expected = GaussianBlur()(x, 0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(GaussianBlur()(x, 0.5), expected)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: GaussianBlur(sigma_max=0), "sigma_max must be > 0 pixels"),
        (lambda: GaussianBlur(sigma_max=math.nan), "sigma_max"),
        (lambda: GaussianBlur(border="zero"), "'reflect', 'circular', 'symmetric'"),
        (lambda: IteratedBlur(kernel_size=4), "odd"),
        (lambda: IteratedBlur(num_steps=0), "num_steps"),
        (lambda: GaussianMask(num_steps=0), "num_steps"),
        (lambda: GaussianMask(kernel_std=0), "kernel_std"),
        (lambda: GaussianMask(initial_mask=0), "initial_mask"),
        (lambda: PixelNoise(sigma=-1), "grey levels"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_unit(build, words) -> None:
    with pytest.raises(ValueError, match=words):
        build()


def test_degradations_are_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Degradation()


def test_d_refuses_images_that_it_was_not_bound_to() -> None:
    op = GaussianMask()
    x = torch.rand(2, 1, 8, 8)
    D = op.bind(op.draw(x, seeded(0)), like=x)
    for other in (torch.rand(2, 1, 32, 32), torch.rand(1, 1, 8, 8), x.double()):
        with pytest.raises(ValueError, match="bind again with like=x"):
            D(other, 0.5)
    blur = GaussianBlur().bind(like=x)
    assert blur(torch.rand(5, 1, 8, 8), 0.5).shape == (5, 1, 8, 8)  # nothing in it belongs to an image


def test_whoever_degrades_in_another_way_changes_in_another_way(images) -> None:
    class Quantised(GaussianBlur):
        def degrade(self, x, s, params):
            return (255 * super().degrade(x, s, params)).round() / 255

    x = images(2, 3, 8, 8)
    D = Quantised(sigma_max=3.0).bind(like=x)
    assert torch.equal(D.change(x, 0.7, 0.3), D(x, 0.3) - D(x, 0.7))
