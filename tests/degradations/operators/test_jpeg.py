"""Jpeg: what it computes, against a slow twin."""

import io

import kornia
import numpy as np
import pytest
import torch
from PIL import Image
from support.comparing import distance
from torch import Tensor

from colddiff import Claims, Jpeg, JpegPillow
from colddiff.degradations.operators.jpeg import jpeg_quality
from colddiff.testing.reporting import seeded


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
