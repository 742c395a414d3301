"""`colddiff restore`: pictures of any size, grey or in colour."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.command_line import colddiff

from colddiff.apps.cli import restore_files
from colddiff.apps.cli.commands import restore as restore_command
from colddiff.models.serialization import load
from colddiff.models.tiling import TILE


@pytest.mark.parametrize("sampler", ["one_shot", "naive", "improved"])
def test_restore_takes_files_and_folders_grey_or_colour_of_any_size(sampler, grey, photo, tmp_path, capsys):
    shutil.copytree(photo.parent, tmp_path / "album" / "deep", ignore=shutil.ignore_patterns("album"))
    args = [photo, tmp_path / "album", "--out", tmp_path / "out", "--sampler", sampler, "--steps", 3, "--start", 0.7]
    assert colddiff("restore", grey, *args) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["deep", "photo.png"]
    assert (tmp_path / "out" / "deep" / "photo.png").is_file()
    with Image.open(tmp_path / "out" / "photo.png") as restored:
        assert restored.size == (15, 11) and restored.mode == "L"
    assert "2 pictures, restored, in" in capsys.readouterr().out


def test_a_grey_picture_is_restored_by_a_colour_run(colour, tmp_path):
    Image.new("L", (9, 8), 100).save(tmp_path / "grey.png")
    mask = Image.new("L", (9, 8), 0)
    mask.paste(255, (2, 3, 6, 7))
    mask.save(tmp_path / "mask.png")
    args = ["--out", tmp_path / "out", "--mask", tmp_path / "mask.png", "--steps", 2]
    assert colddiff("restore", colour, tmp_path / "grey.png", *args) == 0
    with Image.open(tmp_path / "out" / "grey.png") as restored:
        assert restored.size == (9, 8) and restored.mode == "RGB"


def test_restore_damages_clean_pictures_first_on_request(colour, photo, tmp_path, capsys):
    assert colddiff("restore", colour, photo, "--out", tmp_path / "out", "--degrade", "--steps", 2) == 0
    with Image.open(tmp_path / "out" / "photo.png") as sheet:
        assert sheet.size == (3 * 17 + 2, 15)
    assert "clean, damaged and restored side by side" in capsys.readouterr().out


def test_a_mask_must_be_as_large_as_the_picture(mistake, colour, photo, tmp_path):
    Image.new("L", (5, 5)).save(tmp_path / "mask.png")
    assert "the mask is 5 x 5 pixels, photo.png is 15 x 11" in mistake(
        "restore", colour, "photo.png", "--out", "o", "--mask", "mask.png"
    )


def test_restored_files_of_one_name_are_numbered_and_folders_are_kept(tmp_path):
    found = [(Path("a") / name, Path(name)) for name in ("x.png", "x.jpg", "x-1.png", "sub/x.png")]
    targets = [str(t.relative_to(tmp_path)) for t in restore_files._targets(found, tmp_path)]
    assert targets == ["x.png", "x-1.png", "x-1-2.png", "sub/x.png"]


def test_a_run_that_was_moved_still_works(grey, tmp_path):
    moved = shutil.copytree(grey, tmp_path / "elsewhere")
    assert load(moved, device="cpu").restore(torch.rand(1, 1, 8, 8)).shape == (1, 1, 8, 8)


def test_a_tile_is_as_large_as_the_library_has_it():
    assert restore_command.TILE == TILE
