"""Whatever a user has becomes images of one size, with a held-out split that is never trained on."""

import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from support.image_folders import numbers, parquet, pictures

from colddiff.data import ImageData, load_data, splits
from colddiff.data.framing import Framing
from colddiff.data.image_io import fit, read_image, read_images, to_tensor
from colddiff.data.splits import HELD_OUT, held_out
from colddiff.degradations import GaussianBlur, IteratedBlur, PixelMask
from colddiff.training.batches import Batches, random_times
from colddiff.utils.rng import permutation

HELD = ["photos/6", "photos/19", "photos/41", "photos/50", "photos/55"]
RED, CLEAR_RED = (255, 0, 0), (255, 0, 0, 0)


# --- embedded --------------------------------------------------------------------------------------------------------


def test_digits_are_1797_with_a_tenth_held_out():
    train, test, everything = (load_data("digits", split=s) for s in ("train", "test", "all"))
    assert (len(train), len(test), len(everything)) == (1617, 180, 1797)
    assert train.images.shape[1:] == (1, 8, 8) and train.images.dtype == torch.uint8
    assert train.images.max() == 255
    assert train.protocol | {"split": "train", "images": 1617, "resize": "none"} == train.protocol


def test_digits_are_resized_on_request():
    data = load_data("digits", split="test", size=16)
    assert data.images.shape == (180, 1, 16, 16)
    assert "16 px (bilinear" in data.protocol["resize"]


def test_train_and_test_crops_of_a_photo_do_not_share_a_pixel(monkeypatch):
    from skimage import data as bundled
    from sklearn import datasets

    # Every pixel tells its column, so that crops tell where they come from.
    columns = np.broadcast_to(np.arange(227, dtype=np.uint8)[None, :, None], (16, 227, 3)).copy()
    for name in ("astronaut", "cat", "coffee", "rocket"):
        monkeypatch.setattr(bundled, name, lambda: columns, raising=False)
    monkeypatch.setattr(datasets, "load_sample_image", lambda name: columns)
    train, test = (load_data("photos", split=s, size=4).images for s in ("train", "test"))
    assert train.max() < test.min()


def test_photos_are_colour_crops_of_the_size_asked_for():
    data = load_data("photos", split="test", size=48)
    assert data.images.shape[1:] == (3, 48, 48) and len(data) > 20
    with pytest.raises(ValueError, match="smaller size"):
        load_data("photos", split="test", size=2000)


@pytest.mark.parametrize("n", [2, 10, 101])
def test_held_out_images_are_disjoint_complete_and_always_the_same(n):
    train, test = held_out(n, "train").tolist(), held_out(n, "test").tolist()
    assert sorted(train + test) == list(range(n)) == held_out(n, "all").tolist()
    assert len(test) == max(1, round(n * HELD_OUT))
    assert held_out(n, "test").tolist() == test


@pytest.mark.parametrize("first", range(20))
def test_a_single_image_cannot_be_trained_on_and_held_out(first, tmp_path):
    pictures(tmp_path, 1, first=first)
    assert numbers(load_data(tmp_path, split="train")) == [first]
    with pytest.raises(ValueError, match=r"no images in split 'test': .* split \"all\" has it"):
        load_data(tmp_path, split="test")


# --- who is held out -------------------------------------------------------------------------------------------------


def sides(folder, **options):
    """The numbers of the pictures trained on, and of those held out."""
    return tuple(set(numbers(load_data(folder, split=s, **options))) for s in ("train", "test"))


def test_a_picture_keeps_its_side_whatever_else_is_there(tmp_path):
    train, test = sides(pictures(tmp_path, 150))
    assert train | test == set(range(150)) and not train & test and 8 <= len(test) <= 22
    (tmp_path / "000.png").unlink()
    pictures(tmp_path / "more", 50, first=150)
    (tmp_path / "a.png").write_bytes(b"")
    for i in (20, 40):
        (tmp_path / f"{i:03d}.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="left out"):
        later_train, later_test = sides(tmp_path, bad_share=0.3)
    assert not train & later_test and not test & later_train


def test_a_picture_keeps_its_side_when_it_becomes_another_kind_of_file_or_all_move(tmp_path):
    before = sides(pictures(tmp_path / "a", 40))
    assert sides(pictures(tmp_path / "b" / "c", 40, suffix=".bmp")) == before
    (tmp_path / "b" / "c").rename(tmp_path / "train")
    assert sides(tmp_path / "train") == before
    pictures(tmp_path / "d" / "train", 40)
    assert sides(tmp_path / "d") == before, "train alone is no part of a name"


def test_a_row_keeps_its_side_when_rows_and_tables_are_added(tmp_path):
    images = np.arange(120, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    np.save(tmp_path / "b.npy", images[:60])
    train, test = sides(tmp_path)
    assert len(train) + len(test) == 60 and test
    np.save(tmp_path / "b.npy", images[:80])
    np.save(tmp_path / "a.npy", images[80:])
    later_train, later_test = sides(tmp_path)
    assert not train & later_test and not test & later_train


@pytest.mark.parametrize("first", range(0, 200, 10))
@pytest.mark.parametrize("n", [2, 3])
def test_of_a_few_pictures_one_is_held_out_and_one_is_not(n, first, tmp_path):
    train, test = sides(pictures(tmp_path, n, first=first))
    assert train and test and train | test == set(range(first, first + n))


def test_one_is_held_out_and_one_is_not_whatever_the_names(monkeypatch):
    places = {"a": 0.5, "b": 0.3, "c": 0.01, "d": 0.02}
    monkeypatch.setattr(splits, "_place", places.get)
    assert splits.members(["a", "b"], "train") == [True, False]
    assert splits.members(["c", "d"], "train") == [False, True] == [not m for m in splits.members(["c", "d"], "test")]
    assert splits.members(["a", "c", "b", "d"], "held_out") == [False, True, False, True]
    assert splits.members(["c"], "train") == [True] and splits.members([], "train") == []


def test_who_is_held_out_is_the_same_on_every_machine_and_in_every_version():
    names = [f"photos/{i}" for i in range(60)]
    held = [name for name, mine in zip(names, splits.members(names, "test"), strict=True) if mine]
    assert held == HELD and splits.members(["\udc80", "é"], "train").count(True) == 1


def test_a_split_opens_only_its_own_pictures(tmp_path, monkeypatch):
    opened = []
    original = Framing.read

    def read(framing, raw):
        opened.append(raw.name)
        return original(framing, raw)

    monkeypatch.setattr(Framing, "read", read)
    pictures(tmp_path, 40)
    train, test = (load_data(tmp_path, split=s) for s in ("train", "test"))
    assert len(opened) == len(set(opened)) == len(train) + len(test) == 40


def test_the_share_of_broken_pictures_is_that_of_the_split(tmp_path):
    _, test = sides(pictures(tmp_path, 40))
    for i in test:
        (tmp_path / f"{i:03d}.png").write_bytes(b"")
    assert len(load_data(tmp_path)) == 40 - len(test)
    told = rf"{len(test)} of {len(test)} images in .* \(split 'test'\) are unreadable, and at most 10%"
    with pytest.raises(ValueError, match=told):
        load_data(tmp_path, split="test")


# --- pictures --------------------------------------------------------------------------------------------------------


def test_transparency_is_laid_over_white(tmp_path):
    Image.new("RGBA", (4, 4), CLEAR_RED).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)


def test_a_palette_becomes_its_colours_and_its_transparent_entry_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([*RED, 0, 255, 0])
    image.putpixel((0, 0), 1)
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png", transparency=1)
    assert [read_image(tmp_path / "a.png").getpixel(p) for p in ((0, 0), (1, 1))] == [(0, 255, 0), RED]
    assert [read_image(tmp_path / "b.png").getpixel(p) for p in ((0, 0), (1, 1))] == [(255, 255, 255), RED]


def test_a_rotated_photo_is_turned_upright(tmp_path):
    image = Image.new("RGB", (8, 4), "black")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (4, 8)


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    Image.fromarray(np.array([[0, 257, 51400, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png")).tolist() == [[0, 1, 200, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_grey_or_colour(mode, tmp_path):
    white = Image.new("RGB", (4, 4), "white").convert(mode)
    given = [white]
    if mode != "YCbCr":  # which Pillow 12 cannot read of the TIFF that it wrote
        given.append(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"))
        white.save(given[-1])
    for picture in given:
        tensor = to_tensor(read_image(picture))
        assert tensor.shape in ((1, 4, 4), (3, 4, 4)) and tensor.min() >= 254


def test_fit_keeps_the_middle():
    image = Image.new("RGB", (30, 10), "black")
    image.paste("white", (10, 0, 20, 10))
    assert to_tensor(fit(image, 10)).float().mean() > 254
    assert fit(Image.new("L", (7, 5)), 9).size == (9, 9)


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_is_read_at_any_depth_whatever_the_case_of_its_suffixes(tmp_path):
    pictures(tmp_path, 3)
    pictures(tmp_path / "deep" / "er", 3, first=3, suffix=".PNG")
    pictures(tmp_path, 1, first=200, suffix=".JPG")
    (tmp_path / "notes.txt").write_text("not an image")
    assert numbers(load_data(tmp_path, split="all")) == [0, 1, 2, 3, 4, 5, 200]


def test_hidden_files_are_not_data(tmp_path):
    pictures(tmp_path, 4)
    (tmp_path / "._000.png").write_bytes(b"a Mac's notes on a file")
    pictures(tmp_path / ".ipynb_checkpoints", 2, first=100)
    assert numbers(load_data(tmp_path, split="all")) == [0, 1, 2, 3]


def test_links_to_pictures_and_to_the_folder_are_followed(tmp_path):
    there = pictures(tmp_path / "there", 3)
    (tmp_path / "here").mkdir()
    for file in there.iterdir():
        os.symlink(file, tmp_path / "here" / file.name)
    os.symlink(tmp_path / "here", tmp_path / "link")
    assert numbers(load_data(tmp_path / "link", split="all")) == [0, 1, 2]


def test_train_and_test_folders_are_the_splits(tmp_path):
    pictures(tmp_path / "train" / "cats", 4)
    pictures(tmp_path / "train" / "dogs", 4, first=4)
    pictures(tmp_path / "Test", 3, first=50)
    assert numbers(load_data(tmp_path, split="train")) == list(range(8))
    assert numbers(load_data(tmp_path, split="test")) == [50, 51, 52]
    assert numbers(load_data(tmp_path, split="all")) == [*range(8), 50, 51, 52]


def test_a_train_folder_alone_is_split(tmp_path):
    pictures(tmp_path / "train", 10)
    train, test = (load_data(tmp_path, split=s) for s in ("train", "test"))
    assert len(train) and len(test) and sorted(numbers(train) + numbers(test)) == list(range(10))


def test_where_there_is_no_test_split_the_validation_split_is_it_and_the_protocol_says_so(tmp_path):
    pictures(tmp_path / "train", 5)
    pictures(tmp_path / "val", 2, first=50)
    data = load_data(tmp_path, split="test")
    assert numbers(data) == [50, 51] and data.protocol["split"] == "val"


def test_held_out_is_validation_where_there_is_some_so_that_test_images_never_steer_a_training(tmp_path):
    pictures(tmp_path / "train", 5)
    pictures(tmp_path / "test", 2, first=50)
    assert numbers(load_data(tmp_path, split="held_out")) == [50, 51]
    pictures(tmp_path / "val", 2, first=70)
    data = load_data(tmp_path, split="held_out")
    assert numbers(data) == [70, 71] and data.protocol["split"] == "val"
    assert numbers(load_data(tmp_path, split="test")) == [50, 51]


def test_held_out_is_the_tenth_that_test_is_where_a_data_set_brings_no_split(tmp_path):
    for source in ("digits", pictures(tmp_path, 20)):
        test, held = (load_data(source, split=s) for s in ("test", "held_out"))
        assert torch.equal(test.images, held.images) and test.protocol == held.protocol


def test_a_split_that_is_missing_is_named_with_those_there_are(tmp_path):
    pictures(tmp_path / "train", 2)
    pictures(tmp_path / "test", 2)
    with pytest.raises(LookupError, match="no split 'validation'; it has test, train"):
        load_data(tmp_path, split="validation")
    with pytest.raises(LookupError, match="did you mean 'train'"):
        load_data(tmp_path, split="trian")


def test_a_broken_picture_is_left_out_with_a_warning_that_names_it(tmp_path):
    pictures(tmp_path, 20)
    (tmp_path / "020.png").write_bytes((tmp_path / "000.png").read_bytes()[:40])
    with pytest.warns(UserWarning, match=r"left out 1 of 21 images .*, unreadable: 020\.png"):
        assert len(load_data(tmp_path, split="all")) == 20


@pytest.mark.parametrize("kind", ["truncated.jpg", "truncated.png", "empty.png", "text.png", "floats.tiff", "folder"])
def test_whatever_is_no_picture_is_left_out_and_its_reason_is_one_line(kind, tmp_path):
    pictures(tmp_path, 20)
    file = tmp_path / f"broken-{kind}"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    if kind.startswith("truncated"):
        noise.save(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif kind == "floats.tiff":
        Image.new("F", (8, 8), 0.5).save(file)
    elif kind == "folder":
        (tmp_path / "broken.png").mkdir()  # is no file, and so nothing to leave out
        assert len(load_data(tmp_path, split="all")) == 20
        return
    else:
        file.write_text("" if kind == "empty.png" else "not a picture")
    with pytest.warns(UserWarning) as told:
        data = load_data(tmp_path, split="all")
    assert len(told) == 1 and told[0].filename == __file__
    assert numbers(data) == list(range(20)) and len(data.protocol["left_out"]) == 1
    assert (
        data.protocol["left_out"][0].startswith(f"broken-{kind} (")
        and str(tmp_path) not in data.protocol["left_out"][0]
    )
    assert "\n" not in str(told[0].message) and str(told[0].message).count("broken") == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError("of two\nlines"), "of two"), (EOFError(), "EOFError"), (OSError(13, "No entry", "/a/b"), "No entry")],
)
def test_the_reason_why_a_picture_is_left_out_is_short(error, reason, tmp_path, monkeypatch):
    def read(framing, raw):
        raise error

    monkeypatch.setattr(Framing, "read", read)
    with pytest.raises(ValueError, match=rf"000\.png \({reason}\)$"):
        load_data(pictures(tmp_path, 1))


def test_of_many_broken_pictures_twenty_are_named(tmp_path):
    pictures(tmp_path, 225)
    for i in range(25):
        (tmp_path / f"{i:03d}.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"left out 25 of 225 .*000\.png .*019\.png \([^)]*\), and 5 more$"):
        data = load_data(tmp_path, split="all", bad_share=0.12)
    assert len(data) == 200 and len(data.protocol["left_out"]) == 21 and data.protocol["left_out"][-1] == "and 5 more"
    with pytest.raises(ValueError, match=r"25 of 225 images .* unreadable, and at most 10% .*, \.\.\.$"):
        load_data(tmp_path, split="all")


def test_broken_pictures_do_not_make_training_and_held_out_pictures_meet(tmp_path):
    pictures(tmp_path, 60)
    for i in (3, 30, 59):
        (tmp_path / f"{i:03d}.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="left out") as told:
        train, test = (numbers(load_data(tmp_path, split=s, bad_share=0.5)) for s in ("train", "test"))
    assert sum(int(str(t.message).split()[2]) for t in told) == 3
    assert sorted(train + test) == [i for i in range(60) if i not in (3, 30, 59)]


def test_a_large_folder_of_every_kind_of_file_with_one_percent_broken_is_read(tmp_path):
    for i in range(200):
        mode, suffix = [("RGB", ".jpg"), ("P", ".png"), ("RGBA", ".webp"), ("L", ".bmp"), ("1", ".tif")][i % 5]
        Image.new("L", (9 + i % 3, 8), 255).convert(mode).save(tmp_path / f"{i:03d}{suffix}")
    for i in (50, 100):
        (tmp_path / f"{i:03d}.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.warns(UserWarning, match=r"left out 2 of 200 .*050\.jpg .*100\.jpg"):
        data = load_data(tmp_path, split="all", size=4)
    assert data.images.shape == (198, 3, 4, 4) and data.images.min() > 250


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_of_broken_pictures_is_a_share(share, tmp_path):
    with pytest.raises(ValueError, match=r"bad_share must be in \[0, 1\]"):
        load_data(pictures(tmp_path, 2), bad_share=share)


def test_pictures_stay_in_order_though_they_are_read_in_threads(tmp_path):
    for i in range(120):  # the first take longest
        Image.new("L", (400 if i < 20 else 8, 400 if i < 20 else 8), i).save(tmp_path / f"{i:03d}.png")
    assert load_data(tmp_path, split="all", size=4).images[:, 0, 0, 0].tolist() == list(range(120))


def test_a_folder_that_links_to_itself_is_read_once(tmp_path):
    pictures(tmp_path / "data", 3)
    os.symlink(tmp_path / "data", tmp_path / "data" / "again")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "data" / "broken.png")
    assert numbers(load_data(tmp_path / "data", split="all")) == [0, 1, 2]


def test_many_broken_pictures_are_an_error(tmp_path):
    pictures(tmp_path, 3)
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 4 images .* are unreadable"):
        load_data(tmp_path, split="all")


def test_pictures_of_several_sizes_ask_for_one(tmp_path):
    pictures(tmp_path, 2)
    pictures(tmp_path, 2, size=(9, 8), first=2)
    with pytest.raises(ValueError, match=r"differ in size.*--image-size"):
        load_data(tmp_path)
    assert load_data(tmp_path, size=6, split="all").images.shape == (4, 3, 6, 6)


def test_grey_and_colour_together_become_colour(tmp_path):
    pictures(tmp_path, 2, mode="L")
    assert load_data(tmp_path, split="all").images.shape[1] == 1
    pictures(tmp_path, 2, first=2)
    assert load_data(tmp_path, split="all").images.shape[1] == 3


def test_an_empty_folder_and_a_wrong_path_say_what_was_expected(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images, \.parquet"):
        load_data(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="did you mean 'digits'"):
        load_data("digts")
    with pytest.raises(FileNotFoundError, match=r"did you mean '.*empty'"):
        load_data(tmp_path / "emtpy")
    (tmp_path / "data.zip").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot read 'data\.zip'"):
        load_data(tmp_path / "data.zip")


# --- parquet ---------------------------------------------------------------------------------------------------------


def test_parquet_shards_are_read_together_by_split(tmp_path):
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", range(6))
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", range(6, 10))
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", range(50, 53))
    (tmp_path / "README.md").write_text("a card")
    pictures(tmp_path / "assets", 1, first=99)
    assert numbers(load_data(tmp_path, split="train")) == list(range(10))
    assert numbers(load_data(tmp_path, split="test")) == [50, 51, 52]
    assert numbers(load_data(tmp_path, split="all")) == [*range(10), 50, 51, 52]


def test_parquet_files_in_folders_named_as_splits_do_not_mix(tmp_path):
    parquet(tmp_path / "default" / "train" / "0000.parquet", range(4))
    parquet(tmp_path / "default" / "test" / "0000.parquet", range(50, 53))
    assert numbers(load_data(tmp_path, split="train")) == list(range(4))
    assert numbers(load_data(tmp_path, split="test")) == [50, 51, 52]


def test_a_parquet_file_finds_the_other_split_beside_it(tmp_path):
    parquet(tmp_path / "train.parquet", range(10))
    assert len(load_data(tmp_path / "train.parquet", split="test")) == 1
    parquet(tmp_path / "test.PARQUET", range(50, 53))
    assert numbers(load_data(tmp_path / "train.parquet", split="train")) == list(range(10))
    assert numbers(load_data(tmp_path / "train.parquet", split="test")) == [50, 51, 52]
    assert numbers(load_data(tmp_path / "test.PARQUET", split="train")) == list(range(10))
    assert numbers(load_data(tmp_path, split="test")) == [50, 51, 52]


def test_a_test_file_alone_does_not_serve_for_training(tmp_path):
    parquet(tmp_path / "test.parquet", range(5))
    with pytest.raises(LookupError, match="no split 'train'; it has test"):
        load_data(tmp_path / "test.parquet")


def test_a_missing_picture_in_a_table_is_left_out(tmp_path):
    parquet(tmp_path / "train.parquet", [*range(20), None], column="img")
    with pytest.warns(UserWarning, match=r"train\.parquet row 20"):
        assert numbers(load_data(tmp_path, split="all")) == list(range(20))


def test_a_table_without_pictures_or_no_table_at_all_is_named(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"label": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet' has no column of encoded images"):
        load_data(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1, not")
    with pytest.raises(ValueError, match=r"b\.parquet' is not a readable parquet file"):
        load_data(tmp_path / "b.parquet")


# --- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((10, 6, 7), (1, 6, 7)), ((10, 6, 7, 3), (3, 6, 7)), ((10, 3, 6, 7), (3, 6, 7)), ((10, 6, 7, 1), (1, 6, 7)),
     ((10, 1, 6, 7), (1, 6, 7)), ((10, 6, 7, 4), (4, 6, 7)), ((10, 2, 6, 7), (2, 6, 7))],
)  # fmt: skip
def test_arrays_come_with_channels_first_last_or_without(shape, expected, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.save(tmp_path / "a.npy", array)
    data = load_data(tmp_path / "a.npy", split="all")
    assert data.images.shape == (10, *expected)
    assert load_data(tmp_path / "a.npy", split="all", size=5).images.shape == (10, expected[0], 5, 5)
    last = array if array.ndim == 3 else array.reshape(10, -1) if shape[1:] == expected else array.transpose(0, 3, 1, 2)
    assert (data.images.numpy().reshape(10, -1) == last.reshape(10, -1)).all()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_in_0_1_are_rounded_to_8_bits(kind, tmp_path):
    np.save(tmp_path / "a.npy", (np.arange(256, dtype=np.float64) / 255).reshape(4, 8, 8).astype(kind))
    assert load_data(tmp_path / "a.npy", split="all").images.flatten().tolist() == list(range(256))


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan, np.inf])
def test_floats_out_of_range_are_refused_with_their_range(value, tmp_path):
    array = np.zeros((4, 8, 8), np.float32)
    array[0, 0, 0] = value
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=r"floats in .*a\.npy' must be in \[0, 1\], got"):
        load_data(tmp_path / "a.npy")


def test_npz_files_are_split_by_name_and_other_arrays_in_them_ignored(tmp_path):
    images = np.zeros((4, 8, 8), np.uint8)
    np.savez(tmp_path / "train.npz", labels=np.arange(4), images=images + 1)
    np.savez(tmp_path / "test.npz", labels=np.arange(4), x=images + 2)
    assert set(numbers(load_data(tmp_path, split="train"))) == {1}
    assert set(numbers(load_data(tmp_path / "train.npz", split="test"))) == {2}
    np.savez(tmp_path / "labels.npz", labels=np.arange(4))
    with pytest.raises(ValueError, match="no array of images, only labels"):
        load_data(tmp_path / "labels.npz")


def test_several_arrays_of_different_sizes_ask_for_one(tmp_path):
    for i, side in enumerate((6, 8)):
        np.save(tmp_path / f"{i}.npy", np.zeros((4, side, side), np.uint8))
    with pytest.raises(ValueError, match="differ in size"):
        load_data(tmp_path)
    assert load_data(tmp_path, split="all", size=8).images.shape == (8, 1, 8, 8)


@pytest.mark.parametrize(
    "name", ["object.npy", "object.npz", "text.npy", "short.npy", "bad.npz", "flat.npy", "int.npy"]
)
def test_arrays_that_cannot_be_images_are_refused_in_one_sentence(name, tmp_path):
    file = tmp_path / name
    if name == "object.npy":
        np.save(file, np.array([object()]), allow_pickle=True)
    elif name == "object.npz":
        np.savez(file, images=np.array([object()]), allow_pickle=True)
    elif name == "flat.npy":
        np.save(file, np.zeros(5, np.uint8))
    elif name == "int.npy":
        np.save(file, np.zeros((4, 8, 8), np.int64))
    else:
        file.write_bytes({"text.npy": b"hello", "short.npy": b"\x93NUMPY\x01\x00", "bad.npz": b"PK\x03\x04zip"}[name])
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as caught:
        load_data(file)
    assert "\n" not in str(caught.value)


# --- batches ---------------------------------------------------------------------------------------------------------


def numbered(n, side=4):
    images = torch.arange(n, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(n, 1, side, side).contiguous()
    return ImageData(images)


CPU = torch.device("cpu")


def test_what_is_at_a_position_does_not_depend_on_the_batch_size():
    batches = [Batches(numbered(10), PixelMask(), size, seed=3, flip=True, shift=1) for size in (12, 4, 1)]
    whole, fours, ones = ([b.at(p, CPU) for p in range(0, 12, b.size)] for b in batches)
    for parts in (fours, ones):
        for name in ("x0", "t"):
            assert torch.equal(getattr(whole[0], name), torch.cat([getattr(b, name) for b in parts]))
        for name, value in whole[0].params.items():
            assert torch.equal(value, torch.cat([b.params[name] for b in parts]))


def test_every_image_comes_once_per_epoch_in_a_new_order():
    batches = Batches(numbered(10), GaussianBlur(), 5, seed=0)
    seen = [(batches.at(p, CPU).x0[:, 0, 0, 0] * 255).round().int().tolist() for p in range(0, 20, 5)]
    first, second = seen[0] + seen[1], seen[2] + seen[3]
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert permutation(10, 1, 0).tolist() != permutation(10, 0, 0).tolist()


def test_another_seed_is_another_training():
    a, b = (Batches(numbered(10), GaussianBlur(), 10, seed=s).at(0, CPU) for s in (0, 1))
    assert not torch.equal(a.x0, b.x0) and not torch.equal(a.t, b.t)


def test_flips_mirror_half_of_the_images():
    ramp = torch.arange(4, dtype=torch.uint8).expand(1, 1, 4, 4).contiguous()
    x0 = Batches(ImageData(ramp), GaussianBlur(), 200, seed=0, flip=True).at(0, CPU).x0 * 255
    mirrored = x0[:, 0, 0, 0] == 3
    assert torch.equal(x0[mirrored], ramp.flip(-1).expand(int(mirrored.sum()), 1, 4, 4).float())
    assert torch.equal(x0[~mirrored], ramp.expand(int((~mirrored).sum()), 1, 4, 4).float())
    assert 70 < mirrored.sum() < 130


def test_shifts_move_images_and_repeat_their_edges():
    image = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    x0 = Batches(ImageData(image), GaussianBlur(), 300, seed=0, shift=1).at(0, CPU).x0
    moved = {tuple((x * 255).round().int().flatten().tolist()) for x in x0}
    padded = torch.nn.functional.pad(image.float(), (1, 1, 1, 1), mode="replicate")[0, 0]
    expected = {tuple(padded[i : i + 4, j : j + 4].int().flatten().tolist()) for i in range(3) for j in range(3)}
    assert moved == expected


def test_times_are_drawn_on_the_levels_of_an_operator_and_never_zero():
    op = IteratedBlur(num_steps=5)
    u = torch.rand(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(random_times(op, u).unique(), op.level_times()[1:])
    continuous = random_times(GaussianBlur(), u)
    assert continuous.min() > 0 and continuous.max() <= 1


def test_a_validation_pass_sees_every_image_once_whatever_the_batch_size():
    passes = [[*Batches(numbered(10), PixelMask(), size, seed=0).one_pass(CPU)] for size in (3, 10)]
    x0, t = ([torch.cat([getattr(b, name) for b in one]) for one in passes] for name in ("x0", "t"))
    assert torch.equal(x0[0], x0[1]) and torch.equal(t[0], t[1])
    assert (x0[0][:, 0, 0, 0] * 255).round().int().tolist() == list(range(10))
    assert len(t[0].unique()) == 10


def test_reading_a_folder_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_data(pictures(tmp_path, 10))


def test_pictures_become_one_batch_in_colour_if_any_is(tmp_path):
    Image.new("L", (6, 4), 51).save(tmp_path / "grey.png")
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "red.png")
    assert read_images(tmp_path / "grey.png").shape == (1, 1, 4, 6)
    both = read_images(tmp_path / "grey.png", tmp_path / "red.png")
    assert both.shape == (2, 3, 4, 6) and both[0, 0, 0, 0] == 0.2 and both[1, :, 0, 0].tolist() == [1, 0, 0]
    Image.new("L", (5, 5)).save(tmp_path / "other.png")
    with pytest.raises(ValueError, match="of one size"):
        read_images(tmp_path / "grey.png", tmp_path / "other.png")


def test_a_picture_of_floats_is_refused_rather_than_black(tmp_path):
    Image.new("F", (4, 4), 0.5).save(tmp_path / "f.tiff")
    with pytest.raises(ValueError, match="floating-point numbers"):
        read_image(tmp_path / "f.tiff")
