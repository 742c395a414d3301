"""The examples run from an empty folder, and write what they promise."""

import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
DISTORTIONS = (0.0, 0.1, 0.2, 0.5, 0.7, 0.8, 0.9, 1.0)
PICTURES = ("random_noise", "contact_sheet", "held_out", "generated", "aang_restored_0.5", "aang_restored_0.8")


def run_example(name, *arguments):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pixels_of(file):
    """(H, W, C) uint8."""
    with Image.open(file) as image:
        return np.array(image)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    pixels[0, :, 0] = np.arange(96)
    pixels[1, :, 1] = np.arange(160, 256)
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def aang(picture, tmp_path_factory):
    out = tmp_path_factory.mktemp("aang")
    return out, run_example("aang_sequence", "--image", picture, "--out", out, "--steps", 1, "--seed", 3)


def test_the_aang_sequence_has_the_bytes_of_the_formula(aang, picture):
    pixels = pixels_of(picture).transpose(2, 0, 1)
    u = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64).numpy()
    for d in DISTORTIONS:
        written = pixels_of(aang[0] / f"aang_distorted_{d}.png").transpose(2, 0, 1)
        assert written.dtype == np.uint8
        # Exact rational arithmetic, on the first rows of each channel.
        for index in np.ndindex(3, 3, pixels.shape[2]):
            value = Fraction(int(pixels[index]), 255) + Fraction(d) * Fraction(float(u[index]))
            assert written[index] == math.floor(255 * value) % 256
        assert np.array_equal(written, (pixels + np.floor(255 * d * u)).astype(int) % 256)


def test_undistorted_aang_is_the_picture_itself(aang, picture):
    assert np.array_equal(pixels_of(aang[0] / "aang_distorted_0.0.png"), pixels_of(picture))


def test_the_aang_sequence_writes_its_pictures_and_its_table(aang):
    out, printed = aang
    shapes = {name: pixels_of(out / f"{name}.png").shape for name in PICTURES}
    assert shapes["random_noise"] == shapes["aang_restored_0.5"] == (64, 96, 3)
    assert "| d | distorted | restored |" in printed
    assert "generated" in printed
    assert str(out) in printed


def test_pure_noise_is_uniform_and_not_the_end_of_the_sequence(aang):
    noise, end = (pixels_of(aang[0] / f"{name}.png") for name in ("random_noise", "aang_distorted_1.0"))
    assert (noise != end).mean() > 0.98
    # 18,432 bytes: the standard error of a mean is 0.54.
    assert abs(noise.mean() - 127.5) < 3


def test_the_steps_of_the_forward_chain_agree_with_the_closed_form(tmp_path):
    printed = run_example("forward_chain", "--out", tmp_path, "--chains", 2000)
    assert pixels_of(tmp_path / "schedules.png").std() > 0
    gaps = [
        float(line.split("|")[-2]) for line in printed.splitlines() if line.startswith(("| linear", "| quad", "| cos"))
    ]
    assert len(gaps) == 9
    assert max(gaps) < 5
    assert "| 0.50 | 0.078587 |" in printed


def test_the_new_degradation_is_checked_trained_and_drawn(tmp_path):
    printed = run_example("new_degradation", "--out", tmp_path, "--steps", 1)
    assert "keeps every promise" in printed
    assert pixels_of(tmp_path / "fog.png").std() > 0


@pytest.fixture(scope="module")
def sprites(tmp_path_factory):
    out = tmp_path_factory.mktemp("sprites")
    return out, run_example("sprites", "--out", out, "--steps", 1)


def test_the_sprites_are_a_thousand_different_symmetric_drawings(sprites):
    drawn = [pixels_of(file) for file in (sprites[0] / "drawn").iterdir()]
    assert len({pixels.tobytes() for pixels in drawn}) == 1000
    assert all(pixels.shape == (16, 16, 3) and np.array_equal(pixels, pixels[:, ::-1]) for pixels in drawn)
    assert all(len(np.unique(pixels.reshape(-1, 3), axis=0)) > 3 for pixels in drawn)


def test_new_sprites_come_with_their_trajectory_and_their_nearest_neighbours(sprites):
    out, printed = sprites
    assert pixels_of(out / "sprites.png").shape == (8 * 66 + 2, 8 * 66 + 2, 3)
    assert all(pixels_of(out / f"{name}.png").std() > 0 for name in ("trajectory", "nearest"))
    assert "nearest training picture, median: generated 0." in printed and "held_out 0." in printed
    assert str(out) in printed


def test_sprites_of_a_folder_depend_on_the_folder_and_the_seed_alone(sprites, tmp_path):
    run_example("sprites", sprites[0] / "drawn", "--out", tmp_path, "--steps", 1)
    assert not (tmp_path / "drawn").exists()
    assert np.array_equal(pixels_of(tmp_path / "sprites.png"), pixels_of(sprites[0] / "sprites.png"))


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(example):
    assert len(example.read_text(encoding="utf-8").splitlines()) < 60
