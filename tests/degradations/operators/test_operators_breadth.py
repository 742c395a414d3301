"""Colours, motion, codecs and impulses: each against a slow, obvious twin, and against what its docstring says."""

import io
import math

import kornia
import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image
from torch import Tensor

from colddiff import Claims, Desaturate, Jpeg, JpegPillow, MotionBlur, SaltAndPepper, bind_observed, improved
from colddiff.degradations.operators import motion_blur
from colddiff.degradations.operators.jpeg import jpeg_quality
from colddiff.testing.reporting import last, seeded


def distance(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


def decibels(a: Tensor, b: Tensor) -> float:
    """PSNR of a against b."""
    assert a.shape == b.shape
    return float(-10 * torch.log10(((a - b) ** 2).mean()))


@pytest.fixture
def photo() -> Tensor:
    """Something like a photograph, of a size that is no multiple of 8: shades, an edge, a little grain."""
    y, x = (torch.arange(n, dtype=torch.float64) for n in (45, 38))
    y, x = y[:, None], x[None]
    shades = [0.5 + 0.3 * torch.sin(0.11 * (k + 1) * x + 0.07 * (3 - k) * y + k) for k in range(3)]
    disc = (((y - 20) ** 2 + (x - 15) ** 2) < 90).double()
    grain = torch.randn(45, 38, generator=seeded(0), dtype=torch.float64)
    return (torch.stack(shades)[None] - 0.25 * disc + 0.03 * grain).clamp(0, 1)


# --- colours ---------------------------------------------------------------------------------------------------------


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


# --- motion ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("border", "scipys_name"), [("reflect", "mirror"), ("symmetric", "reflect"), ("circular", "grid-wrap")]
)
def test_motion_blur_is_the_mean_of_the_picture_along_a_segment(border, scipys_name, images) -> None:
    x, op = images(4, 1, 9, 7), MotionBlur(length=5.5, border=border)
    t, angle = (0.1, 0.5, 0.77, 1.0), (10.0, 90.0, 135.0, 61.0)
    y = op(x, torch.tensor(t, dtype=torch.float64), {"angle": torch.tensor(angle, dtype=torch.float64)})
    rows, columns = np.mgrid[:9, :7]
    count = motion_blur.DENSITY * 6
    for i in range(4):
        expected = np.zeros((9, 7))
        for k in range(count):
            along = 5.5 * t[i] * ((k + 0.5) / count - 0.5)
            right, up = along * math.cos(math.radians(angle[i])), along * math.sin(math.radians(angle[i]))
            place = [rows - up, columns + right]
            expected += scipy.ndimage.map_coordinates(x[i, 0].numpy(), place, order=1, mode=scipys_name) / count
        assert distance(y[i, 0], torch.from_numpy(expected)) < 1e-12


def orientation(streak: Tensor) -> float:
    """The angle of a blurred point's long axis, in degrees counter-clockwise from the x axis, in [0, 180)."""
    centre = streak.shape[-1] // 2
    right = torch.arange(streak.shape[-1], dtype=streak.dtype)[None] - centre
    up = centre - torch.arange(streak.shape[-2], dtype=streak.dtype)[:, None]
    across, along, both = ((streak * m).sum() for m in (right**2, up**2, right * up))
    return float(torch.rad2deg(torch.atan2(2 * both, across - along)) / 2) % 180


@pytest.mark.parametrize("angle", [25.0, 45.0, 70.0, 110.0, 150.0])
def test_motion_blur_counts_angles_as_kornia_does(angle) -> None:
    point = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    point[..., 10, 10] = 1
    ours = MotionBlur(length=11, angle=angle)(point, 1.0)[0, 0]
    theirs = kornia.filters.motion_blur(point, 11, angle, 0.0, mode="bilinear")[0, 0]
    assert orientation(ours) == pytest.approx(angle, abs=1)
    assert orientation(theirs) == pytest.approx(angle, abs=3)


def test_more_points_on_the_segment_would_not_change_motion_blur(monkeypatch) -> None:
    point = torch.zeros(19, 1, 21, 21, dtype=torch.float64)
    point[..., 10, 10] = 1
    params = {"angle": torch.arange(0, 190, 10, dtype=torch.float64)}
    for length in (0.7, 3.0, 9.0):
        op = MotionBlur(length=length)
        kernels = op(point, 1.0, params)
        assert kernels.sum(dim=(1, 2, 3)).sub(1).abs().max() < 1e-12
        with monkeypatch.context() as patch:
            patch.setattr(motion_blur, "DENSITY", 512)
            assert distance(op(point, 1.0, params), kernels) < 1e-3


def test_motion_blur_is_continuous_in_time(images) -> None:
    x, t = images(1, 1, 8, 8).expand(901, -1, -1, -1), torch.linspace(0, 1, 901, dtype=torch.float64)
    y = MotionBlur(length=9, angle=30)(x, t)  # a hundredth of a pixel from one to the next
    assert distance(y[1:], y[:-1]) < 0.01


def test_stripes_vanish_in_motion_blur_and_come_back() -> None:
    x = (torch.arange(16) % 4 < 2).double().expand(1, 1, 16, 16)
    op = MotionBlur(length=8, angle=0, border="circular")
    assert distance(op(x, 0.5), torch.full_like(x, 0.5)) < 1e-12
    far, nearer = (float((op(x, t) - x).abs().mean()) for t in (0.7, 0.9))
    assert far > nearer + 0.01
    assert Claims.MONOTONE not in op.claims


def test_motion_blur_draws_an_angle_per_image_unless_it_has_one(images) -> None:
    x = images(1000, 1, 1, 1)
    angle = MotionBlur().draw(x, seeded(0))["angle"]
    assert angle.shape == (1000,) and float(angle.min()) >= 0 and 170 < float(angle.max()) < 180
    assert not MotionBlur().deterministic and MotionBlur(angle=0).deterministic
    assert MotionBlur(angle=0).draw(x, seeded(0)) == {}


# --- codecs ----------------------------------------------------------------------------------------------------------


def test_the_steps_of_jpeg_grow_by_one_factor_from_the_highest_quality_to_the_lowest() -> None:
    quality = jpeg_quality(torch.linspace(0, 1, 11, dtype=torch.float64), 95, 5)
    assert quality[[0, 5, 10]].tolist() == pytest.approx([95, 50, 5])
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)  # libjpeg's jpeg_quality_scaling
    assert (scale[1:] / scale[:-1]).tolist() == pytest.approx([100**0.1] * 10)
    assert jpeg_quality(torch.tensor([0.0, 1.0]), 40, 40).tolist() == pytest.approx([40, 40])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_jpeg_pillow_is_what_pillow_writes_and_reads(subsampling, channels, photo) -> None:
    x = photo[:, :channels]
    pixels = (255 * x[0]).round().byte().movedim(0, -1).numpy()
    for t, quality in ((0.01, 95), (0.5, 50), (1.0, 5)):
        file = io.BytesIO()
        options = {} if channels == 1 else {"subsampling": subsampling}
        Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=quality, **options)
        expected = torch.tensor(np.asarray(Image.open(file))).reshape(pixels.shape).movedim(-1, 0) / 255
        assert distance(JpegPillow(subsampling=subsampling)(x, t)[0], expected.double()) < 1e-7


# Colour agrees less: kornia's chroma is half a grey level off, which turns a coarse rounding here and there.
@pytest.mark.parametrize(("channels", "agreement"), [(1, (41, 43, 43, 43)), (3, (33, 30, 39, 40))])
def test_jpeg_is_close_to_the_real_codec(channels, agreement, photo) -> None:
    x = photo[:, :channels]
    for quality, least in zip((5, 10, 50, 90), agreement, strict=True):
        ours, real = (kind(quality_max=quality, quality_min=quality)(x, 1.0) for kind in (Jpeg, JpegPillow))
        assert decibels(ours, real) > max(least, decibels(real, x) + 5), f"at quality {quality}"


def test_jpeg_is_the_codec_of_kornia_with_a_quality_per_image(photo) -> None:
    t = torch.tensor([1e-9, 0.5, 1.0], dtype=torch.float64)  # of qualities 95, 50 and 5
    x = photo.expand(3, -1, -1, -1)
    theirs = kornia.enhance.jpeg_codec_differentiable(x, jpeg_quality(t, 95, 5)).clamp(0, 1)
    for ours, other in zip(Jpeg()(x, t), theirs, strict=True):
        assert decibels(ours, other) > 48


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [Jpeg, JpegPillow])
def test_jpeg_stays_in_range_whatever_it_is_given(kind, channels, images) -> None:
    y = kind()(3 * images(2, channels, 16, 16) - 1, torch.tensor([0.01, 1.0]))
    assert float(y.min()) == 0 and float(y.max()) == pytest.approx(1, abs=1e-12)


def test_jpeg_pillow_clips_what_is_out_of_range(images) -> None:
    x = 3 * images(1, 3, 16, 16) - 1
    assert torch.equal(JpegPillow()(x, 0.5), JpegPillow()(x.clamp(0, 1), 0.5))


@pytest.mark.parametrize("kind", [Jpeg, JpegPillow])
def test_jpeg_is_not_monotone_a_picture_is_itself_again_at_the_quality_it_had(kind, photo) -> None:
    x = JpegPillow()(photo, 0.8)
    distances = [float((kind()(x, t) - x).abs().mean()) for t in (0.7, 0.8)]
    assert distances[0] > distances[1] + 0.01
    assert Claims.MONOTONE not in kind().claims


def test_gradients_pass_through_jpeg_and_not_through_pillow(photo) -> None:
    t = torch.tensor([0.0, 0.9])
    x = photo.expand(2, -1, -1, -1).clone().requires_grad_()
    clean, coded = torch.autograd.grad(Jpeg()(x, t).pow(2).sum(), x)[0]
    assert distance(clean, 2 * x[0].detach()) < 1e-12
    assert bool(coded.isfinite().all()) and float(coded.abs().max()) > 0.1
    clean, coded = torch.autograd.grad(JpegPillow()(x, t).pow(2).sum(), x)[0]
    assert distance(clean, 2 * x[0].detach()) < 1e-12 and not coded.any()


@pytest.mark.parametrize("kind", [Jpeg, JpegPillow])
def test_jpeg_refuses_what_is_neither_grey_nor_colour(kind, images) -> None:
    for channels in (2, 4):
        with pytest.raises(ValueError, match=f"1 or 3 channels, got images of {channels}"):
            kind()(images(1, channels, 8, 8), 0.5)


# --- impulses --------------------------------------------------------------------------------------------------------


def test_impulses_are_nested_black_or_white_and_as_many_as_asked(images) -> None:
    x = 0.2 + 0.6 * images(1, 3, 50, 40)
    op = SaltAndPepper(share=0.8)
    D = op.bind(op.draw(x, seeded(0)), like=x)
    before = torch.zeros(1, 50, 40, dtype=torch.bool)
    for t in (0.1, 0.5, 1.0):
        y = D(x, t)
        salt, pepper = (y == 1).all(dim=1), (y == 0).all(dim=1)
        hit = salt | pepper
        assert torch.equal(hit[:, None].expand_as(x), y != x)
        assert bool((before <= hit).all())
        for count, p in ((hit, 0.8 * t), (salt, 0.4 * t)):
            assert abs(float(count.sum()) - 2000 * p) < 4 * math.sqrt(2000 * p * (1 - p))
        before = hit


def test_impulses_are_seen_in_the_picture_and_undone(images) -> None:
    x = 0.2 + 0.6 * images(2, 3, 9, 8)
    op, times = SaltAndPepper(), torch.tensor([0.7, 0.4, 0.1, 0.0], dtype=torch.float64)
    x_t = op(x, 0.7, op.draw(x, seeded(0)))
    hit = x_t != x
    noticed = x_t + (1 - 2 * x_t) * hit * 0.4 / 255  # a black that is not quite black
    D = bind_observed(op, lambda x, t: x, noticed, times[0])
    assert torch.equal(D(x, 0.7), noticed)
    restored = last(improved(lambda x, t: torch.full_like(x, 0.5), D, noticed, times)).x
    assert torch.equal(restored[~hit], x[~hit])
    assert distance(restored[hit], torch.full_like(restored[hit], 0.5)) < 1e-12


def test_what_is_black_in_the_picture_is_taken_for_hit_unless_a_mask_tells(images) -> None:
    x = 0.2 + 0.6 * images(1, 3, 4, 4)
    x[..., 0, 0] = 0
    x[:, 0, 1, 1] = 0  # in one channel only
    op, t = SaltAndPepper(), torch.tensor([0.5], dtype=torch.float64)
    ours = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    ours[..., 2, 2:] = True
    for mask, expected in ((None, [[0, 0]]), (ours, [[2, 2], [2, 3]])):
        D = op.bind(op.observe(x, t, mask), like=x)
        replaced = (D(torch.full_like(x, 0.9), 0.5) != 0.9).all(dim=1)[0]
        assert replaced.nonzero().tolist() == expected
        assert torch.equal(D(x, 0.5), x)


def test_impulses_on_every_pixel_leave_nothing_of_the_picture(images) -> None:
    op = SaltAndPepper(share=1)
    params = op.draw(images(1, 3, 20, 20), seeded(0))
    ends = [op(images(1, 3, 20, 20, seed=seed), 1.0, params) for seed in (0, 1)]
    assert torch.equal(*ends)
    assert op.prior == "constant" and SaltAndPepper().prior is None


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [Desaturate(), MotionBlur(), Jpeg(), JpegPillow(), SaltAndPepper()], ids=str)
def test_a_single_pixel_will_do(op) -> None:
    x = torch.full((2, 3, 1, 1), 0.3)
    assert op(x, 0.5, op.draw(x)).shape == x.shape


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Desaturate(weights=(0.5, 0.5, 0.5)), "sum to 1"),
        (lambda: Desaturate(weights=(-0.5, 1, 0.5)), "numbers >= 0"),
        (lambda: Desaturate(weights=(math.nan, 1, 0)), "weights"),
        (lambda: MotionBlur(length=0), "length must be > 0 pixels"),
        (lambda: MotionBlur(angle=math.inf), "degrees"),
        (lambda: Jpeg(quality_min=0), "1 <= quality_min"),
        (lambda: Jpeg(quality_max=100), "quality_max <= 99"),
        (lambda: JpegPillow(quality_min=60, quality_max=50), "got 60.0 and 50.0"),
        (lambda: JpegPillow(subsampling="4:1:1"), "'4:2:0', '4:4:4'"),
        (lambda: SaltAndPepper(share=0), "share"),
        (lambda: SaltAndPepper(share=1.1), "share"),
    ],
)
def test_a_value_out_of_range_is_refused(build, words) -> None:
    with pytest.raises(ValueError, match=words):
        build()
