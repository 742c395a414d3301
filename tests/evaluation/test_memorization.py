"""Memorised images are found, and told from images that are merely plain."""

from dataclasses import replace

import pytest
import torch
from kornia.filters import gaussian_blur2d
from support import tiny
from torch import nn

from colddiff.data import ImageData, load_data
from colddiff.degradations import GaussianNoise
from colddiff.evaluation import memorization
from colddiff.evaluation.features import Perception
from colddiff.evaluation.memorization import check_generation, nearest, nearest_neighbour_report
from colddiff.samplers.priors import StandardNormal
from colddiff.training.batches import Batches

CPU = torch.device("cpu")
TRAIN = load_data("digits", split="train")
TEST = load_data("digits", split="test")[:]
NOISE = torch.randint(256, (700, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
UNLIKE = ImageData(NOISE[:600])  # images that have nothing in common
SHEARED = torch.linspace(0, 0.3, 8).expand(8, 8)  # no digit is its own mirror image


def test_copies_are_memorised():
    noise = 0.01 * torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for images in (TRAIN[100:140], (TRAIN[100:140] + noise).clamp(0, 1)):
        found = nearest_neighbour_report(images, TRAIN, TEST, CPU)
        assert found.verdict.startswith("memorised: 100%") and found.values["copies"] == 1
        assert found.values["distance"]["generated"] < 0.02 and found.values["nearer_than_99"] == 1


def test_new_images_are_not_closer_than_held_out_ones():
    found = nearest_neighbour_report(TEST[::2], TRAIN, TEST[1::2], CPU)
    assert found.verdict == "not closer to training images than held-out ones are."
    assert found.values["nearer_than_95"] < 0.15 and found.values["detail"] == pytest.approx(1, abs=0.1)


def test_blurred_images_are_blurrier_and_not_memorised():
    blurred = gaussian_blur2d(TEST[::2], (5, 5), (1.0, 1.0))
    found = nearest_neighbour_report(blurred, TRAIN, TEST[1::2], CPU)
    assert "memorised" not in found.verdict and "blurrier than them" in found.verdict


def test_what_is_near_to_many_training_images_is_no_copy_of_one():
    noisy = 0.5 + 0.1 * torch.randn(700, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    training = ImageData((noisy[:600] * 255).round().to(torch.uint8))
    found = nearest_neighbour_report(torch.full((20, 1, 8, 8), 0.5), training, noisy[600:], CPU)
    assert found.values["nearer_than_95"] == 1 and found.values["copies"] == 0
    assert "to many at a time and not to one: they are blurrier than them" in found.verdict


def test_noisy_images_are_noisier():
    noise = 0.3 * torch.randn(90, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert "noisier" in nearest_neighbour_report((TEST[::2] + noise).clamp(0, 1), TRAIN, TEST[1::2], CPU).verdict


def test_mirrored_copies_are_found_where_the_training_mirrored():
    training = ImageData(((TRAIN[:] / 2 + SHEARED) * 255).round().to(torch.uint8))
    images, held_out = training[100:140].flip(-1), TEST / 2 + SHEARED
    assert "memorised" not in nearest_neighbour_report(images, training, held_out, CPU).verdict
    assert "memorised" in nearest_neighbour_report(images, training, held_out, CPU, mirrored=True).verdict


def test_images_that_were_trained_on_get_no_verdict():
    assert nearest_neighbour_report(TEST, TRAIN, TRAIN[:100], CPU).verdict.startswith("no verdict")


def known_and_new(known):
    """100 images to judge by, some of which are training images."""
    return torch.cat([UNLIKE[:known], NOISE[600:][: 100 - known] / 255])


@pytest.mark.parametrize("known", [0, 5, 10, 40])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_copies_are_memorised_though_held_out_images_are_training_images_too(known, noise):
    damage = noise * torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = nearest_neighbour_report(UNLIKE[200:240] + damage, UNLIKE, known_and_new(known), CPU)
    assert found.values["copies"] == 1 and found.values["known"] == known / 100
    assert found.verdict.startswith("memorised: 100%")
    assert (f"{known:.1f}% of the images evaluated are training images themselves." in found.verdict) == (known > 0)


def test_as_many_copies_as_in_the_held_out_images_get_no_verdict():
    generated = torch.cat([UNLIKE[300:340], NOISE[660:] / 255])
    found = nearest_neighbour_report(generated, UNLIKE, known_and_new(40), CPU)
    assert found.verdict.startswith("no verdict, as 40.0% of the images evaluated are training images themselves")
    assert f"and {found.values['copies']:.1%} of the generated ones near copies" in found.verdict


def test_new_images_stay_new_though_held_out_images_are_training_images():
    found = nearest_neighbour_report(NOISE[660:] / 255, UNLIKE, known_and_new(10), CPU)
    assert found.verdict.startswith("not closer to training images than held-out ones are")
    assert found.verdict.endswith("10.0% of the images evaluated are training images themselves.")
    assert found.values["distance"]["held_out"] > 0.1


def test_copies_are_found_where_the_training_images_repeat():
    training = ImageData(NOISE[:10].repeat(60, 1, 1, 1))
    found = nearest_neighbour_report(training[:10], training, NOISE[600:] / 255, CPU)
    assert found.values["copies"] == 1 and found.verdict.startswith("memorised: 100%")


def test_moved_copies_are_found_where_the_training_moved():
    for flip, shift in ((False, 1), (True, 2)):
        shown = Batches(UNLIKE, GaussianNoise(), 40, 0, flip, shift).at(0, CPU).x0
        assert "memorised" not in nearest_neighbour_report(shown, UNLIKE, NOISE[600:] / 255, CPU).verdict
        found = nearest_neighbour_report(shown, UNLIKE, NOISE[600:] / 255, CPU, mirrored=flip, shift=shift)
        assert found.verdict.startswith("memorised: 100%") and found.values["moved"] == shift
        assert float(nearest(shown, UNLIKE, CPU, mirrored=flip, shift=shift).distance.max()) < 1e-3


def test_the_text_says_which_copies_would_go_unseen():
    changes = {(False, 0): "as they are;", (True, 0): "as they are or mirrored;",
               (False, 1): "as they are or moved by up to 1 pixel;",
               (True, 4): "as they are or mirrored or moved by up to 2 pixels (the training: 4);"}  # fmt: skip
    for (flip, shift), words in changes.items():
        found = nearest_neighbour_report(TEST[:4], ImageData(TRAIN.images[:60]), TEST, CPU, mirrored=flip, shift=shift)
        assert f"training images are searched {words} copies that were changed" in found.to_markdown()


def test_a_run_is_searched_as_it_was_trained():
    run = replace(tiny.run_of(tiny.NET.build(), GaussianNoise()), prior=StandardNormal())
    run.config["training"] = {"flip": True, "max_shift": 1}
    values = check_generation(run, 2, TRAIN, TEST, Perception("not measured"), progress=False).values
    assert values["mirrored"] and values["moved"] == 1


def test_neighbours_are_those_of_a_plain_search(monkeypatch):
    monkeypatch.setattr(memorization, "CHUNK", 70)
    distances = (TEST[:9, None] - TRAIN[:200]).square().mean(dim=(2, 3, 4)).sqrt()
    found = nearest(TEST[:9], ImageData(TRAIN.images[:200]), CPU)
    assert torch.equal(found.index, distances.argmin(1))
    assert torch.allclose(found.distance.float(), distances.min(1).values, atol=1e-5)
    around = distances.sort(1).values[:, : memorization.AROUND].mean(1)
    assert torch.allclose(found.share.float(), distances.min(1).values / around, atol=1e-4)


def test_large_images_are_compared_at_fewer_pixels():
    images = torch.randint(256, (3, 1, 130, 65), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert memorization._flat(images / 255, CPU).shape == (3, 64 * 32)
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
