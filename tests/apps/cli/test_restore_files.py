"""Files on a disk, as people have them, restored into files that they can find again."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import tiny
from torch import nn

from colddiff import GaussianBlur, GaussianNoise, Interpolate, PixelMask, PixelNoise
from colddiff.apps.cli import main
from colddiff.apps.cli import restore_files as restore_files_module
from colddiff.apps.cli.restore_files import RestoreOptions, restore_files
from colddiff.data.framing import Framing
from colddiff.data.image_io import read_images
from colddiff.evaluation import metrics
from colddiff.models import tiling
from colddiff.models.recommended import Recommended, Setting
from colddiff.models.run import Run
from colddiff.models.serialization import load, save


class Negative(nn.Module):
    """A restorer whose one call gives the negative."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, x, t):
        return 1 - x


def run_of(channels=1, op=None):
    return tiny.run_of(Negative(), op or GaussianBlur(sigma_max=1.0), (channels, 8, 8))


def picture(file, level=60, size=(7, 5), mode="L"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).convert(mode).save(file)
    return file


def textured(file, size=(13, 11), seed=0, mode="L"):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(file)
    return file


def pixels(file):
    with Image.open(file) as image:
        return np.asarray(image)


def job(colour="grey", **changes):
    return RestoreOptions(**{"framing": Framing(colour=colour), "sampler": "one_shot"} | changes)


def names(folder):
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def command(*arguments):
    return main.main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Runs on a disk that nobody trained, by degradation, channels and framing."""

    def make(op=None, channels=1, framing=None, size=(8, 8)):
        path = tmp_path_factory.mktemp("run")
        op, framing = op or GaussianBlur(sigma_max=1.0), framing or Framing(colour="grey" if channels == 1 else "rgb")
        spec = tiny.NET.from_config(tiny.NET.to_config() | {"channels": channels, "attention_levels": 0})
        config = {
            "restorer": spec.to_config(), "degradation": op.to_config(), "precision": "fp32", "step": 0,
            "image": {"channels": channels, "size": list(size)}, "data": {"framing": framing.to_config()},
            "training": {"total_steps": 0},
        }  # fmt: skip
        torch.manual_seed(0)
        save(path, spec.build().state_dict(), config, None)
        return path

    return make


# --- what is read and where it goes ----------------------------------------------------------------------------------


def test_files_and_folders_keep_their_names_and_sub_folders(tmp_path):
    album = tmp_path / "album"
    for name in ("a.png", "deep/b.JPG", "deep/er/c.bmp", "my photo.1.png"):
        picture(album / name)
    (album / "notes.txt").write_text("no picture")
    one = picture(tmp_path / "one.webp", 200)
    count, measured = restore_files(run_of(), [album, str(one)], tmp_path / "out", job())
    assert (count, measured) == (5, [])
    assert names(tmp_path / "out") == ["a.png", "deep/b.png", "deep/er/c.png", "my photo.1.png", "one.png"]
    assert (pixels(tmp_path / "out" / "a.png") == 195).all() and pixels(tmp_path / "out" / "one.png").max() < 60


def test_each_picture_keeps_its_size_and_is_restored_as_the_run_restores_it(tmp_path):
    run = tiny.run_of(tiny.NET.build(), GaussianBlur(sigma_max=1.0))
    files = [textured(tmp_path / f"{i}.png", size, i) for i, size in enumerate([(13, 11), (1, 1), (40, 9)])]
    restore_files(run, files, tmp_path / "out", job(sampler=None, steps=3, start=0.6))
    for file in files:
        expected = run.restore(read_images(file), steps=3, start=0.6)[0, 0]
        found = torch.from_numpy(pixels(tmp_path / "out" / file.name).copy())
        assert found.shape == expected.shape and float((found / 255 - expected).abs().max()) < 0.51 / 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_pictures_of_every_mode_are_restored_by_grey_and_colour_runs(mode, channels, tmp_path):
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image = Image.new("I;16", (7, 5), 65535) if mode == "I;16" else Image.new("L", (7, 5), 255).convert(mode)
    image.save(file)
    restore_files(run_of(channels), [file], tmp_path / "out", job("grey" if channels == 1 else "rgb"))
    restored = pixels(tmp_path / "out" / "a.png")
    assert restored.shape == ((5, 7) if channels == 1 else (5, 7, 3)) and not restored.any()


def test_a_picture_that_lies_on_its_side_is_restored_upright(tmp_path):
    image = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7) * 7)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    image.save(tmp_path / "a.png", exif=exif)
    restore_files(run_of(), [tmp_path / "a.png"], tmp_path / "out", job())
    assert np.array_equal(pixels(tmp_path / "out" / "a.png"), 255 - np.rot90(np.asarray(image), -1))


def test_what_cannot_be_read_is_named_in_one_warning_and_the_others_go_on(tmp_path):
    album = tmp_path / "album"
    for i in range(4):
        picture(album / f"{i}.png")
    (album / "1.png").write_bytes(b"")
    (album / "3.png").write_text("a text")
    with pytest.warns(
        UserWarning, match=r"left out 2 of 4 pictures: '.*1\.png' is not a .*; '.*3\.png' is not"
    ) as told:
        count, _ = restore_files(run_of(), [album], tmp_path / "out", job())
    assert len(told) == 1 and count == 2 and names(tmp_path / "out") == ["0.png", "2.png"]


def test_a_long_list_of_unreadable_ones_is_cut_short(tmp_path):
    for i in range(40):
        (tmp_path / f"{i}.png").write_bytes(b"")
    picture(tmp_path / "good.png")
    with pytest.warns(UserWarning, match=r"left out 40 of 41 pictures: .*; and 20 more$"):
        restore_files(run_of(), [tmp_path], tmp_path / "out", job())


def test_nothing_readable_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "album").mkdir()
    for i in range(2):
        (tmp_path / "album" / f"{i}.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of 2 pictures can be restored: '.*0\.png' is not a readable picture"):
        restore_files(run_of(), [tmp_path / "album"], tmp_path / "out", job())
    with pytest.raises(ValueError, match=r"^'.*0\.png' is not a readable picture"):
        restore_files(run_of(), [tmp_path / "album" / "0.png"], tmp_path / "out", job())
    with pytest.raises(FileNotFoundError, match=r"no picture or folder at '.*none'"):
        restore_files(run_of(), [tmp_path / "album", tmp_path / "none"], tmp_path / "out", job())
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no pictures in the folder '.*empty'"):
        restore_files(run_of(), [tmp_path / "empty"], tmp_path / "out", job())
    assert not (tmp_path / "out").exists()


# --- never over what is there ----------------------------------------------------------------------------------------


def test_nothing_that_was_given_is_written_over(tmp_path):
    run = run_of(op=PixelMask())
    a, mask = picture(tmp_path / "in" / "a.png"), picture(tmp_path / "masks" / "a.png", 255)
    clean = picture(tmp_path / "clean" / "a.png")
    before = {file: file.read_bytes() for file in (a, mask, clean)}
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "in")
    for out in ("in", "masks", "clean", "link", "in/../in"):
        for reference in (clean, clean.parent):
            with pytest.raises(ValueError, match=r"a\.png' would be overwritten: give another --out"):
                restore_files(run, [a], tmp_path / out, job(mask=mask, reference=reference))
    assert all(file.read_bytes() == content for file, content in before.items())


def test_pictures_of_one_name_are_numbered(tmp_path):
    files = [picture(tmp_path / name / "x.png", level) for name, level in (("a", 10), ("b", 20), ("c", 30))]
    files += [picture(tmp_path / "d" / "x-1.png", 40), picture(tmp_path / "d" / "x.bmp", 50)]
    restore_files(run_of(), files, tmp_path / "out", job())
    levels = {name: int(pixels(tmp_path / "out" / name)[0, 0]) for name in names(tmp_path / "out")}
    assert levels == {"x.png": 245, "x-1.png": 235, "x-2.png": 225, "x-1-3.png": 215, "x-4.png": 205}


def test_a_number_that_is_taken_is_not_given_again(tmp_path):
    found = [(Path("a") / name, Path(name)) for name in ("x-2.png", "x.png", "x.jpg", "x-2.bmp")]
    targets = [target.name for target in restore_files_module._targets(found, tmp_path)]
    assert targets[:2] == ["x-2.png", "x.png"] and len(set(targets)) == 4


def never(*args, **kwargs):
    raise AssertionError("the work has begun")


@pytest.mark.parametrize("obstacle", ["a file", "a file below", "a folder of that name", "metrics.json", "read-only"])
def test_a_place_that_cannot_be_written_to_is_found_before_the_work(obstacle, tmp_path, monkeypatch):
    album, out = tmp_path / "album", tmp_path / "out"
    for name in ("a.png", "deep/b.png"):
        picture(album / name)
    if obstacle == "a file":
        out.write_text("")
    elif obstacle == "a file below":
        out.mkdir()
        (out / "deep").write_text("")
    elif obstacle == "read-only":
        out.mkdir()
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != out)  # root may write anywhere
    else:
        (out / ("deep/b.png" if obstacle == "a folder of that name" else obstacle)).mkdir(parents=True)
    run = run_of()
    monkeypatch.setattr(type(run), "walk", never)
    with pytest.raises(ValueError, match=r"is a file|is a folder: give the name of a file|is read-only"):
        restore_files(run, [album], out, job())


def test_a_picture_that_is_in_the_way_is_replaced_on_request_only(tmp_path):
    given, other = picture(tmp_path / "a.png", 60), picture(tmp_path / "out" / "a.png", 7)
    with pytest.raises(ValueError, match=r"out/a\.png' exists already: add --overwrite, or give another --out"):
        restore_files(run_of(), [given], tmp_path / "out", job())
    assert pixels(other).max() == 7
    restore_files(run_of(), [given], tmp_path / "out", job(overwrite=True))
    assert pixels(other).min() == 195


def test_one_picture_that_does_not_fit_into_memory_does_not_stop_the_others(tmp_path, monkeypatch):
    for name, size in (("a", (7, 5)), ("b", (70, 50)), ("c", (7, 5))):
        picture(tmp_path / "in" / f"{name}.png", size=size)
        picture(tmp_path / "clean" / f"{name}.png", size=size)
    monkeypatch.setattr(tiling, "free_memory", lambda: 100_000)
    with pytest.warns(UserWarning, match=r"left out 1 of 3 pictures: b\.png: restoring 1 images of 70 x 50 px"):
        count, rows = restore_files(run_of(), [tmp_path / "in"], tmp_path / "out", job(reference=tmp_path / "clean"))
    assert (count, len(rows), names(tmp_path / "out")) == (2, 2, ["a.png", "c.png", "metrics.json"])


def test_what_was_measured_is_written_when_it_is_stopped(tmp_path, monkeypatch):
    for name in "ab":
        picture(tmp_path / "in" / f"{name}.png")
    run, original = run_of(), restore_files_module._restored

    def stopped(run, x, start, hole, job, generator, **_):
        if (tmp_path / "out" / "a.png").exists():
            raise KeyboardInterrupt
        return original(run, x, start, hole, job, generator, name="a", show=False)

    monkeypatch.setattr(restore_files_module, "_restored", stopped)
    with pytest.raises(KeyboardInterrupt):
        restore_files(run, [tmp_path / "in"], tmp_path / "out", job(degrade=True))
    assert len(json.loads((tmp_path / "out" / "metrics.json").read_text())["pictures"]) == 1


def test_a_full_disk_leaves_no_half_of_a_picture(tmp_path, monkeypatch):
    def full(self, part, **kwargs):
        Path(part).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    (tmp_path / "a.ppm").write_bytes(b"P5 2 2 255\n\x00\x00\x00\x00")
    with pytest.raises(OSError, match="No space left on device"):
        restore_files(run_of(), [tmp_path / "a.ppm"], tmp_path / "out", job())
    assert names(tmp_path / "out") == []


# --- measured --------------------------------------------------------------------------------------------------------


def distances(x, clean):
    return {name: float(getattr(metrics, name)(x, clean)) for name in ("rmse", "psnr", "ssim")}


def test_numbers_are_those_of_the_damaged_and_of_the_restored_picture(tmp_path):
    damaged, clean = textured(tmp_path / "a.png"), textured(tmp_path / "clean.png", seed=1)
    count, (row,) = restore_files(run_of(), [damaged], tmp_path / "out", job(reference=clean))
    x, y = read_images(damaged), read_images(clean)
    assert count == 1 and row.file == str(damaged)
    assert row.damaged == pytest.approx(distances(x, y)) and row.restored == pytest.approx(distances(1 - x, y))
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written == {
        "start": 1.0, "pictures": [{"file": str(damaged), "damaged": row.damaged, "restored": row.restored}]
    }  # fmt: skip


def test_a_perfect_restoration_is_a_number_that_json_knows(tmp_path):
    damaged, clean = picture(tmp_path / "a.png", 0), picture(tmp_path / "clean.png", 255)
    restore_files(run_of(), [damaged], tmp_path / "out", job(reference=clean))
    written = json.loads((tmp_path / "out" / "metrics.json").read_text(), parse_constant=never)
    assert written["pictures"][0]["restored"]["psnr"] == 100


def test_what_is_measured_is_what_is_written_within_the_range(tmp_path):
    class Bright(Negative):
        def forward(self, x, t):
            return x + 7

    run = tiny.run_of(Bright(), GaussianBlur(sigma_max=1.0))
    damaged, clean = picture(tmp_path / "a.png"), picture(tmp_path / "clean.png", 255)
    _, (row,) = restore_files(run, [damaged], tmp_path / "out", job(reference=clean))
    assert row.restored["rmse"] == 0 and (pixels(tmp_path / "out" / "a.png") == 255).all()


def test_references_are_found_by_folder_and_name_whatever_their_suffix(tmp_path):
    levels = {"a": 10, "deep/a": 90, "photo": 50, "photo.1": 150, "x [2]*?": 200}
    for name, level in levels.items():
        picture(tmp_path / "in" / f"{name}.png", 255 - level)
        picture(tmp_path / "clean" / f"{name}.bmp", level)
    _, rows = restore_files(run_of(), [tmp_path / "in"], tmp_path / "out", job(reference=tmp_path / "clean"))
    assert len(rows) == 5 and all(row.restored["rmse"] == pytest.approx(0, abs=1e-6) for row in rows)


def test_a_picture_given_alone_goes_by_its_name_unless_two_have_it(tmp_path):
    damaged, clean = picture(tmp_path / "a.png", 55), tmp_path / "clean"
    picture(clean / "deep" / "a.bmp", 200)
    _, (row,) = restore_files(run_of(), [damaged], tmp_path / "out", job(reference=clean))
    assert row.restored["rmse"] == pytest.approx(0, abs=1e-6)
    picture(clean / "else" / "a.png", 200)
    with pytest.raises(ValueError, match=r"deep/a\.bmp' and '.*else/a\.png' go by one name: which is '.*a\.png' to be"):
        restore_files(run_of(), [damaged], tmp_path / "out", job(reference=clean))
    picture(clean / "a.png", 200)
    again = job(reference=clean, overwrite=True)
    assert len(restore_files(run_of(), [damaged], tmp_path / "out", again)[1]) == 1


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("clean", r"has no picture named 'b' to measure against"),
        ("clean/a.png", r"several pictures are measured against a folder, and '.*a\.png' is a file"),
        ("none", r"several pictures are measured against a folder|no picture or folder at"),
        ("empty", r"no pictures in the folder '.*empty'"),
    ],
)
def test_a_reference_that_is_not_there_is_told_before_the_work(reference, told, tmp_path, monkeypatch):
    for name in ("in/a.png", "in/b.png", "clean/a.png"):
        picture(tmp_path / name)
    (tmp_path / "empty").mkdir()
    run = run_of()
    monkeypatch.setattr(type(run), "walk", never)
    with pytest.raises((FileNotFoundError, ValueError), match=told):
        restore_files(run, [tmp_path / "in"], tmp_path / "out", job(reference=tmp_path / reference))
    with pytest.raises((FileNotFoundError, ValueError), match="no picture"):
        gone = tmp_path / "none.png"
        restore_files(run, [tmp_path / "in" / "a.png"], tmp_path / "out", job(reference=gone))


def test_a_reference_that_does_not_fit_leaves_its_picture_out_and_the_others_go_on(tmp_path):
    for name in ("a", "b", "c"):
        picture(tmp_path / "in" / f"{name}.png")
        picture(tmp_path / "clean" / f"{name}.png", size=(9, 9) if name == "b" else (7, 5))
    (tmp_path / "clean" / "c.png").write_bytes(b"")
    with pytest.warns(
        UserWarning, match=r"left out 2 .*reference of b\.png is 9 x 9 pixels, it is 7 x 5.*c\.png' is not"
    ):
        count, rows = restore_files(run_of(), [tmp_path / "in"], tmp_path / "out", job(reference=tmp_path / "clean"))
    assert count == len(rows) == 1 and names(tmp_path / "out") == ["a.png", "metrics.json"]


# --- damaged first, side by side, masks ------------------------------------------------------------------------------


def test_side_by_side_is_damaged_restored_and_clean(tmp_path):
    damaged, clean = picture(tmp_path / "a.png", 60), picture(tmp_path / "clean.png", 150)
    for reference, columns in ((None, [60, 195]), (clean, [60, 195, 150])):
        restore_files(
            run_of(), [damaged], tmp_path / "out", job(side_by_side=True, reference=reference, overwrite=True)
        )
        sheet = pixels(tmp_path / "out" / "a.png")
        assert sheet.shape == (5 + 4, len(columns) * 9 + 2, 3)
        assert [int(sheet[4, 4 + 9 * i, 0]) for i in range(len(columns))] == columns


def test_what_is_clean_is_damaged_first_and_measured_against_itself(tmp_path):
    clean = textured(tmp_path / "a.png")
    op = PixelNoise()
    for seed, out in ((3, "x"), (3, "y"), (4, "z")):
        _, (row,) = restore_files(run_of(op=op), [clean], tmp_path / out, job(degrade=True, start=0.5, seed=seed))
        sheet = pixels(tmp_path / out / "a.png")
        assert sheet.shape == (11 + 4, 3 * 15 + 2, 3)
        x0, x, restored = (torch.from_numpy(sheet[2:13, 2 + 15 * i : 15 + 15 * i, 0].copy()) / 255 for i in range(3))
        assert torch.equal(x0, read_images(clean)[0, 0]) and torch.allclose(restored, 1 - x, atol=0.01)
        assert row.damaged["rmse"] == pytest.approx(float((x - x0).square().mean().sqrt()), abs=0.005)
    assert (tmp_path / "x" / "a.png").read_bytes() == (tmp_path / "y" / "a.png").read_bytes()
    assert (tmp_path / "x" / "a.png").read_bytes() != (tmp_path / "z" / "a.png").read_bytes()


def test_what_contradicts_itself_is_refused(tmp_path):
    clean = picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match="measured against what was given: leave the reference out"):
        restore_files(run_of(), [clean], tmp_path / "out", job(degrade=True, reference=clean))
    with pytest.raises(ValueError, match="was trained with the endpoint of each image: what damages"):
        restore_files(run_of(op=Interpolate()), [clean], tmp_path / "out", job(degrade=True))
    assert not (tmp_path / "out").exists()


def test_a_mask_tells_what_is_missing_and_the_rest_stays_as_it_was(tmp_path):
    damaged = textured(tmp_path / "a.png")
    hole = np.zeros((11, 13), np.uint8)
    hole[3:6, 4:9] = 255
    Image.fromarray(hole).save(tmp_path / "mask.png")
    how = job(mask=tmp_path / "mask.png", sampler="improved", steps=4)
    restore_files(run_of(op=PixelMask()), [damaged], tmp_path / "out", how)
    before, after = pixels(damaged), pixels(tmp_path / "out" / "a.png")
    assert np.array_equal(after[hole == 0], before[hole == 0]) and not np.array_equal(after, before)


def test_a_mask_of_another_size_leaves_those_out_that_it_does_not_fit(tmp_path):
    picture(tmp_path / "mask.png", 255)
    files = [picture(tmp_path / "in" / "a.png"), picture(tmp_path / "in" / "b.png", size=(9, 5))]
    how = job(mask=tmp_path / "mask.png")
    with pytest.warns(UserWarning, match=r"left out 1 of 2 .*the mask is 7 x 5 pixels, b\.png is 9 x 5"):
        restore_files(run_of(op=PixelMask()), files, tmp_path / "out", how)
    with pytest.raises(ValueError, match=r"^the mask is 7 x 5 pixels, b\.png is 9 x 5: they must be alike"):
        restore_files(run_of(op=PixelMask()), files[1:], tmp_path / "out", how)


def test_a_start_between_levels_is_told_once_for_all_pictures(tmp_path):
    op = GaussianNoise(betas={"type": "linear", "num_steps": 4, "beta_end": 0.3})
    for i in range(3):
        picture(tmp_path / "in" / f"{i}.png")
    with pytest.warns(UserWarning, match="start 0.6 is between levels: 0.5 is taken") as told:
        restore_files(run_of(op=op), [tmp_path / "in"], tmp_path / "out", job(start=0.6, sampler=None))
    assert len(told) == 1


# --- command line ----------------------------------------------------------------------------------------------------


def test_a_large_picture_goes_through_in_tiles(saved, tmp_path, capsys, monkeypatch):
    big = textured(tmp_path / "big.png", (600, 500), mode="RGB")
    run, seen = saved(channels=3), []
    original = load(run, device="cpu").net.__class__.forward
    monkeypatch.setattr(
        load(run, device="cpu").net.__class__, "forward",
        lambda self, x, t: seen.append(tuple(x.shape[2:])) or original(self, x, t),
    )  # fmt: skip
    assert command("restore", run, big, "--out", tmp_path / "out", "--steps", 1, "--tile", 128) == 0
    assert pixels(tmp_path / "out" / "big.png").shape == (500, 600, 3)
    assert len(seen) == 5 * 6 and all(max(size) < 144 for size in seen)
    assert "1 picture, restored, in" in capsys.readouterr().out


def test_where_nobody_sees_a_bar_a_line_says_how_far_long_work_is(saved, tmp_path, capsys, monkeypatch):
    for name in ("a.png", "deep/b.png"):
        picture(tmp_path / "in" / name)
    line = ["restore", saved(), tmp_path / "in", "--steps", 1, "--out"]
    assert command(*line, tmp_path / "soon") == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("colddiff.utils.progress.FIRST", 0.0)
    assert command(*line, tmp_path / "out") == 0
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("colddiff: restoring: 1 of 2 images") and last.startswith("colddiff: restoring: 2 of 2")
    assert command(*line, tmp_path / "quiet", "--quiet") == 0 and capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert command(*line, tmp_path / "bar") == 0
    assert "colddiff:" not in (told := capsys.readouterr().err) and "restoring: " in told


def test_a_large_picture_is_announced_before_work_on_it_begins(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(restore_files_module, "LARGE", 40 * 30)
    picture(tmp_path / "small.png", size=(40, 30))
    big = picture(tmp_path / "big.png", size=(2000, 31))
    monkeypatch.setattr(Run, "walk", lambda *_, **__: (pytest.fail("not yet") for _ in range(1)))
    with pytest.raises(pytest.fail.Exception):
        command("restore", saved(), big, "--steps", 3, "--tile", 112, "--out", tmp_path / "o")
    assert capsys.readouterr().err == "colddiff: big.png: 0 megapixels in 24 tiles, improved (3 calls)\n"
    with pytest.raises(pytest.fail.Exception):
        command("restore", saved(), tmp_path / "small.png", "--out", tmp_path / "o")
    assert capsys.readouterr().err == ""


def test_what_cannot_be_restored_is_not_announced(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(restore_files_module, "LARGE", 0)
    file = picture(tmp_path / "a.png")
    assert command("restore", saved(), file, "--tile", 0, "--out", tmp_path / "o") == 2
    assert capsys.readouterr().err == "colddiff: tile must be a multiple of 16 px, got 0\n"


def test_what_is_announced_is_what_is_done(tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO", "colddiff")
    monkeypatch.setattr(restore_files_module, "LARGE", 0)
    for options, told in (
        ({"sampler": "one_shot"}, "1 call)"),
        ({"sampler": None}, "20 calls)"),
        ({"steps": 7}, "1 c"),
    ):
        seen = []
        run = tiny.run_of(tiny.NET.build(), GaussianBlur(sigma_max=1.0))
        run.net.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        restore_files(
            run, [picture(tmp_path / "a.png", size=(100, 40))], tmp_path / "o", job(tile=64, overwrite=True, **options)
        )
        (err,) = (line for line in caplog.messages if "tile" in line)
        caplog.clear()
        tiles, calls = int(err.split(" tile")[0].split()[-1]), int(err.split("(")[1].split()[0])
        assert told in err and len(seen) == tiles * calls and tiles > 1, err


@pytest.mark.parametrize(
    ("framing", "size", "expected"),
    [
        (Framing(size=8, colour="grey"), (8, 8), (8, 8)),
        (Framing(size=8, fit="crop", colour="grey"), (8, 8), (8, 8)),
        (Framing(colour="grey"), (8, 8), (8, 8)),  # of an array: all images were of that size
        (Framing(colour="grey"), (6, 8), (20, 12)),
    ],
    ids=["resize", "crop", "as they were", "oblong"],
)
def test_framed_brings_pictures_to_the_size_of_the_training(framing, size, expected, saved, tmp_path):
    run, file = saved(framing=framing, size=size), textured(tmp_path / "a.png", (20, 12))
    shown = ["--side-by-side", "--steps", 1, "--out"]
    assert command("restore", run, file, "--resize-as-training", *shown, tmp_path / "framed") == 0
    sheet = pixels(tmp_path / "framed" / "a.png")
    assert sheet.shape == (expected[1] + 4, 2 * (expected[0] + 2) + 2, 3)
    if expected == (8, 8):
        given = np.asarray(replace_size(framing).frames(framing.read(file))[0])
        assert np.array_equal(sheet[2:10, 2:10, 0], given)
    assert command("restore", run, file, *shown, tmp_path / "whole") == 0
    assert pixels(tmp_path / "whole" / "a.png").shape == (16, 46, 3)
    assert command("restore", run, file, "--image-size", 6, *shown, tmp_path / "six") == 0
    assert pixels(tmp_path / "six" / "a.png").shape == (10, 18, 3)


def replace_size(framing):
    return Framing(size=8, fit=framing.fit, colour="grey")


def test_pictures_are_coloured_and_laid_over_the_background_of_the_training(saved, tmp_path):
    Image.new("RGBA", (9, 9), (255, 0, 0, 0)).save(tmp_path / "a.png")
    run = saved(channels=3, framing=Framing(colour="rgb", background=(0.0, 0.0, 1.0)))
    assert command("restore", run, tmp_path / "a.png", "--side-by-side", "--steps", 1, "--out", tmp_path / "out") == 0
    assert pixels(tmp_path / "out" / "a.png")[5, 5].tolist() == [0, 0, 255]


def test_the_command_prints_each_picture_and_the_mean(saved, tmp_path, capsys):
    for i in range(3):
        textured(tmp_path / "in" / f"{i}.png", seed=i)
        textured(tmp_path / "clean" / f"{i}.jpg", seed=i + 9)
    args = ["--reference", tmp_path / "clean", "--side-by-side", "--steps", 1]
    assert command("restore", saved(), tmp_path / "in", "--out", tmp_path / "out", *args) == 0
    *rows, mean, last = capsys.readouterr().out.splitlines()
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())["pictures"]
    assert len(rows) == 3 and all(
        f"{w['file']}: rmse {w['damaged']['rmse']:.4f} -> " in r for w, r in zip(written, rows, strict=True)
    )
    average = sum(w["restored"]["psnr"] for w in written) / 3
    assert mean.startswith("mean of 3: rmse ") and f"-> {average:.2f}, ssim" in mean
    assert "3 pictures, restored beside what was given, in" in last and "distances in" in last


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["in/a.png", "--tile", "100"], "tile must be a multiple of 16 px"),
        (["in/a.png", "--tile", "0"], "tile must be a multiple of 16 px"),
        (["in/a.png", "--mask", "none.png"], "no picture at 'none.png'"),
        (["in/a.png", "--mask", "in"], "'in' is a folder: give a picture"),
        (["in/a.png", "--reference", "none.png"], "no picture or folder at 'none.png'"),
        (["in/a.png", "--degrade", "--reference", "in"], "leave the reference out"),
        (["in", "--reference", "in/a.png"], "several pictures are measured against a folder"),
        (
            ["in", "--resize-as-training", "--image-size", "8", "--out", "o"],
            "--resize-as-training does not go with --image-size",
        ),
        (["in", "--reference", "clean", "--out", "clean"], "a.png' would be overwritten"),
        (["in/a.png", "--image-size", "0"], "image size must be >= 1 pixel, got 0"),
        (["in/a.png", "--sampler", "estimated"], "GaussianBlur does not allow"),
    ],
)
def test_a_mistake_ends_in_one_line_and_leaves_nothing(arguments, told, saved, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.png", "in/b.png", "clean/a.png", "clean/b.png"):
        picture(tmp_path / name)
    before = names(tmp_path)
    where = [] if "--out" in arguments else ["--out", "out"]
    assert command("restore", saved(), *arguments, *where) == 2
    line = capsys.readouterr().err
    assert told in line and line.count("\n") == 1 and names(tmp_path) == before


def test_a_picture_that_is_too_large_for_the_memory_ends_in_one_line(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("colddiff.models.tiling.free_memory", lambda: 1000)
    assert command("restore", saved(), picture(tmp_path / "a.png"), "--out", tmp_path / "out") == 2
    assert "restoring 1 images of 7 x 5 px takes about" in capsys.readouterr().err


def test_what_is_left_out_is_one_line_of_the_command(saved, tmp_path, capsys):
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"")
    assert command("restore", saved(), tmp_path / "in", "--steps", 1, "--out", tmp_path / "out") == 0
    told = capsys.readouterr()
    assert told.err.startswith("colddiff: warning: left out 1 of 2 pictures: ") and told.err.count("\n") == 1
    assert "1 picture, restored" in told.out


def test_the_public_door_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restore_files(run_of(op=Interpolate(num_steps=1)), [picture(tmp_path / "a.png")], tmp_path / "out", job())


@pytest.mark.parametrize("goal", ["perception", "distortion"])
def test_nothing_is_promised_for_a_start_that_is_none(goal, saved, tmp_path, capsys):
    run, file = saved(), picture(tmp_path / "a.png")
    if goal == "distortion":
        Recommended({goal: (Setting(1.0, "one_shot", 1, 180),)}, "digits").save(run)
    assert command("restore", run, file, "--start", 2, "--goal", goal, "--out", tmp_path / "o") == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("colddiff: start must be in (0, 1]") and told.err.count("\n") == 1
