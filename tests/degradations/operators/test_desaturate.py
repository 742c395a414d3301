"""Desaturate: what it computes, against a slow twin."""

import pytest
import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from support.comparing import distance

from colddiff import Claims, Desaturate, improved, naive
from colddiff.testing.reporting import last


def test_desaturate_ends_in_the_weighted_sum_of_the_channels(images) -> None:
    x = images(2, 3, 5, 4)
    luma = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    assert distance(Desaturate()(x, 1.0), luma.expand_as(x)) < 1e-15
    assert distance(Desaturate()(x, 0.25), 0.75 * x + 0.25 * luma) < 1e-15
    mean = Desaturate(weights=(1 / 3, 1 / 3, 1 / 3))(x, 1.0)
    assert distance(mean, x.mean(dim=1, keepdim=True).expand_as(x)) < 1e-15


def test_colourisation_by_algorithm_2_keeps_the_brightness_of_every_pixel(images) -> None:
    x, other = images(1, 3, 5, 4), images(1, 3, 5, 4, seed=1)
    D = Desaturate().bind(like=x)
    times = torch.tensor([1.0, 0.6, 0.0], dtype=torch.float64)
    restored = last(improved(lambda x, t: other, D, D(x, 1.0), times)).x
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    assert distance(torch.einsum("bchw,c", restored, luma), torch.einsum("bchw,c", x, luma)) < 1e-14
    assert distance(restored, x) > 0.1


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_desaturate_refuses_images_without_three_colours(channels, images) -> None:
    with pytest.raises(ValueError, match=f"images of 3 channels, red, green and blue, got {channels}"):
        Desaturate()(images(1, channels, 2, 2), 0.5)


MEAN = (1 / 3, 1 / 3, 1 / 3)


@pytest.mark.parametrize(
    ("op", "kept"),
    [
        (Desaturate(weights=MEAN, num_steps=20), [(19 - i) / (20 - i) for i in range(20)]),
        (Desaturate(weights=MEAN, num_steps=20, keep=0.9), [0.9] * 19 + [0.0]),
        (Desaturate(weights=MEAN, num_steps=20, keep=0.9, total_removal=False), [0.9] * 20),
    ],
    ids=["linear", "constant", "constant, not all"],
)
def test_decolorization_is_done_step_by_step(op, kept, images) -> None:
    x = images(2, 3, 4, 5)
    y = x
    for i, a in enumerate(kept):
        y = a * y + (1 - a) * y.mean(dim=1, keepdim=True)
        assert distance(op(x, (i + 1) / 20), y) < 1e-14


def test_decolorization_in_lab_goes_there_and_back_at_every_step(images) -> None:
    op, x = Desaturate(weights=MEAN, num_steps=5, keep=0.9, lab=True), images(2, 3, 4, 5)
    lab = rgb_to_lab(x)
    for k, a in enumerate([0.9, 0.9, 0.9, 0.9, 0.0], 1):
        rgb = lab_to_rgb(lab)
        lab = rgb_to_lab(a * rgb + (1 - a) * rgb.mean(dim=1, keepdim=True))
        assert distance(op(x, k / 5), lab_to_rgb(lab)) < 1e-6


@pytest.mark.parametrize("num_steps", [None, 4])
def test_lab_clips_what_is_no_colour_and_leaves_gradients_finite(num_steps) -> None:
    op = Desaturate(num_steps=num_steps, lab=True)
    x = torch.tensor([1.4, 0.5, -0.3], dtype=torch.float64).view(1, 3, 1, 1).repeat(2, 1, 2, 2).requires_grad_()
    inside = x.detach().clamp(0, 1)
    y = op(x, torch.tensor([0.0, 0.5]))
    y.sum().backward()
    assert x.grad is not None and bool(x.grad.isfinite().all())
    y = y.detach()
    assert torch.equal(y[0], x[0]) and distance(y[1], op(inside, 0.5)[1]) < 1e-15
    assert distance(y[1], Desaturate()(inside, 0.5)[1]) < 1e-6
    D, x = op.bind(like=inside), x.detach()
    assert distance(D.change(x, 0.5, 0.0), x - D(x, 0.5)) < 1e-15


def test_lab_promises_less() -> None:
    assert Claims.LINEAR in Desaturate().claims and Claims.DIFFERENTIABLE in Desaturate().claims
    assert not Desaturate(lab=True).claims & (Claims.LINEAR | Claims.DIFFERENTIABLE | Claims.POINTWISE)


@pytest.mark.parametrize(
    "op",
    [Desaturate(weights=MEAN, num_steps=20), Desaturate(weights=MEAN, num_steps=20, keep=0.9, total_removal=False)],
    ids=str,
)
def test_algorithm_2_keeps_the_channel_mean_of_every_pixel_and_algorithm_1_does_not(op, images) -> None:
    x, wrong = images(1, 3, 5, 4), images(1, 3, 5, 4, seed=1)
    D = op.bind(like=x)
    times = torch.tensor([1.0, 0.6, 0.15, 0.0], dtype=torch.float64)
    for sampler, error in ((improved, 0.0), (naive, distance(wrong.mean(dim=1), x.mean(dim=1)))):
        *_, end = sampler(lambda x, t: wrong, D, D(x, 1.0), times)
        assert abs(distance(end.x.mean(dim=1), x.mean(dim=1)) - error) < 1e-14
