"""Memorised images are found, and told from images that are merely plain."""

from dataclasses import replace

import pytest
import tiny
import torch
from kornia.filters import gaussian_blur2d
from torch import nn

from colddiff import generation
from colddiff.data import ImageData, load_data
from colddiff.degradations import GaussianNoise
from colddiff.generation import check_generation, compare, nearest
from colddiff.perception import Perception
from colddiff.priors import StandardNormal

CPU = torch.device("cpu")
TRAIN = load_data("digits", split="train")
TEST = load_data("digits", split="test")[:]
SHEARED = torch.linspace(0, 0.3, 8).expand(8, 8)  # no digit is its own mirror image


def test_copies_are_memorised():
    noise = 0.01 * torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for images in (TRAIN[100:140], (TRAIN[100:140] + noise).clamp(0, 1)):
        found = compare(images, TRAIN, TEST, CPU)
        assert found.verdict.startswith("memorised: 100%") and found.values["copies"] == 1
        assert found.values["distance"]["generated"] < 0.02 and found.values["nearer_than_99"] == 1


def test_new_images_are_not_closer_than_held_out_ones():
    found = compare(TEST[::2], TRAIN, TEST[1::2], CPU)
    assert found.verdict == "not closer to training images than held-out ones are."
    assert found.values["nearer_than_95"] < 0.15 and found.values["detail"] == pytest.approx(1, abs=0.1)


def test_blurred_images_are_blurrier_and_not_memorised():
    blurred = gaussian_blur2d(TEST[::2], (5, 5), (1.0, 1.0))
    found = compare(blurred, TRAIN, TEST[1::2], CPU)
    assert "memorised" not in found.verdict and "blurrier than them" in found.verdict


def test_what_is_near_to_many_training_images_is_no_copy_of_one():
    noisy = 0.5 + 0.1 * torch.randn(700, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    training = ImageData((noisy[:600] * 255).round().to(torch.uint8))
    found = compare(torch.full((20, 1, 8, 8), 0.5), training, noisy[600:], CPU)
    assert found.values["nearer_than_95"] == 1 and found.values["copies"] == 0
    assert "to many at a time and not to one: they are blurrier than them" in found.verdict


def test_noisy_images_are_noisier():
    noise = 0.3 * torch.randn(90, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert "noisier" in compare((TEST[::2] + noise).clamp(0, 1), TRAIN, TEST[1::2], CPU).verdict


def test_mirrored_copies_are_found_where_the_training_mirrored():
    training = ImageData(((TRAIN[:] / 2 + SHEARED) * 255).round().to(torch.uint8))
    images, held_out = training[100:140].flip(-1), TEST / 2 + SHEARED
    assert "memorised" not in compare(images, training, held_out, CPU).verdict
    assert "memorised" in compare(images, training, held_out, CPU, mirrored=True).verdict


def test_images_that_were_trained_on_get_no_verdict():
    assert compare(TEST, TRAIN, TRAIN[:100], CPU).verdict.startswith("no verdict")


def test_neighbours_are_those_of_a_plain_search(monkeypatch):
    monkeypatch.setattr(generation, "CHUNK", 70)
    distances = (TEST[:9, None] - TRAIN[:200]).square().mean(dim=(2, 3, 4)).sqrt()
    found = nearest(TEST[:9], ImageData(TRAIN.images[:200]), CPU)
    assert torch.equal(found.index, distances.argmin(1))
    assert torch.allclose(found.distance.float(), distances.min(1).values, atol=1e-5)
    around = distances.sort(1).values[:, : generation.AROUND].mean(1)
    assert torch.allclose(found.share.float(), distances.min(1).values / around, atol=1e-4)


def test_large_images_are_compared_at_fewer_pixels():
    images = torch.randint(256, (3, 1, 130, 65), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert generation._flat(images / 255, CPU).shape == (3, 64 * 32)
    found = nearest(images[1:] / 255, ImageData(images), CPU)
    assert found.index.tolist() == [1, 2] and float(found.distance.max()) < 1e-3


def test_a_run_is_sampled_with_one_seed_per_image_and_measured(tmp_path):
    pytest.importorskip("torchmetrics")
    run = replace(tiny.run_of(tiny.NET.build(), GaussianNoise()), prior=StandardNormal())
    features = nn.Sequential(nn.AvgPool2d(4), nn.Flatten())
    sense = Perception("", "", features)
    whole, parts = (
        check_generation(run, 5, TRAIN, TEST, sense, batch_size=size, seed=3, progress=False) for size in (5, 2)
    )
    assert whole.values["seeds"] == [3, 7] and whole.values["images"] == 5
    assert whole.values["distance"]["generated"] == pytest.approx(parts.values["distance"]["generated"], abs=1e-4)
    for name in ("fid", "kid"):
        assert whole.values[name].keys() == {"generated", "training"}
    assert whole.verdict in whole.to_markdown() and "FID from held-out images" in whole.to_markdown()
    assert [label for label, _ in whole.pictures] == ["generated", "nearest training image"]
    shown, known = (images for _, images in whole.pictures)
    assert shown.shape == known.shape == (5, 1, 8, 8)
    plain = check_generation(run, 2, TRAIN, TEST, Perception("not measured"), progress=False)
    assert "fid" not in plain.values and "FID" not in plain.to_markdown()
