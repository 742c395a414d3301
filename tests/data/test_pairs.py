"""Clean pictures and their damaged halves stay together, through framing, splits and broken files."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from support.image_folders import numbers, parquet, pictures

from colddiff.data import from_images, load_data


def damaged_copies(clean, folder, suffix=".png", mode="L"):
    """For every picture of a number one of 255 less that number, of the same relative path."""
    for file in sorted(clean.rglob("*.png")):
        target = (folder / file.relative_to(clean)).with_suffix(suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            Image.new("L", image.size, 255 - int(file.stem)).convert(mode).save(target, quality=100)
    return folder


def are_pairs(data):
    """Whether every image of a number goes with 255 less that number."""
    endpoint = data.params["endpoint"]
    assert endpoint.shape == data.images.shape and endpoint.dtype == torch.uint8
    return bool(((data.images.int() + endpoint.int() - 255).abs() <= 1).all())


# --- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_pictures_are_paired_by_name_whatever_their_suffixes(suffix, tmp_path):
    clean = pictures(tmp_path / "clean", 6)
    pictures(clean / "deep", 4, first=6)
    damaged = damaged_copies(clean, tmp_path / "damaged", suffix)
    data = load_data(clean, split="all", paired_data=damaged)
    assert numbers(data) == list(range(10)) and are_pairs(data)
    assert data.protocol["paired_data"] == str(damaged) and "relative path" in data.protocol["pairs"]
    assert "left_out" not in data.protocol


def test_names_that_hold_dots_are_told_apart(tmp_path):
    for i in range(3):
        pictures(tmp_path / "a", 1, first=i)
        (tmp_path / "a" / f"00{i}.png").rename(tmp_path / "a" / f"photo.{i}.png")
        pictures(tmp_path / "b", 1, first=255 - i)
        (tmp_path / "b" / f"{255 - i}.png").rename(tmp_path / "b" / f"photo.{i}.png")
    assert are_pairs(load_data(tmp_path / "a", split="all", paired_data=tmp_path / "b"))


def test_params_at_an_index_are_those_of_the_images_there(tmp_path):
    clean = pictures(tmp_path / "clean", 10)
    data = load_data(clean, split="all", paired_data=damaged_copies(clean, tmp_path / "damaged"))
    for index in (slice(2, 5), torch.tensor([7, 0])):
        params = data.params_at(index)
        assert params.keys() == {"endpoint"} and params["endpoint"].dtype == torch.float32
        assert torch.allclose(params["endpoint"] + data[index], torch.ones(1))
    assert load_data(clean).params_at(slice(3)) == {}


def test_the_split_of_pairs_is_that_of_the_clean_pictures_alone(tmp_path):
    clean = pictures(tmp_path / "clean", 30)
    damaged = damaged_copies(clean, tmp_path / "damaged", ".jpg")
    for split in ("train", "test"):
        data = load_data(clean, split=split, paired_data=damaged)
        assert torch.equal(data.images, load_data(clean, split=split).images) and are_pairs(data)


def test_pictures_without_a_partner_do_not_change_the_split_of_the_others(tmp_path):
    clean = pictures(tmp_path / "clean", 60)
    damaged = damaged_copies(clean, tmp_path / "damaged")
    for i in (0, 30):
        (damaged / f"{i:03d}.png").unlink()
    for i in (10, 50):
        (clean / f"{i:03d}.png").unlink()
    with pytest.warns(UserWarning, match="without a partner") as told:
        for split in ("train", "test"):
            data = load_data(clean, split=split, paired_data=damaged, max_unreadable=0.5)
            assert set(numbers(data)) == set(numbers(load_data(clean, split=split))) - {0, 30} and are_pairs(data)
    named = " ".join(str(t.message) for t in told)
    assert all(named.count(f"{i:03d}.png (no partner") == 1 for i in (0, 10, 30, 50))


@pytest.mark.parametrize("flat", ["neither", "clean", "damaged"])
def test_train_and_test_folders_may_be_on_one_side_only(flat, tmp_path):
    for split, first, n in (("train", 0, 6), ("test", 50, 3)):
        clean = tmp_path / "clean" / ("" if flat == "clean" else split) / "cats"
        damaged = tmp_path / "damaged" / ("" if flat == "damaged" else split) / "cats"
        damaged_copies(pictures(tmp_path / split / "cats", n, first=first), damaged)
        pictures(clean, n, first=first)
    splits = {"all": [*range(6), 50, 51, 52]}
    if flat != "clean":  # the clean side tells which split a picture is of
        splits |= {"train": [*range(6)], "test": [50, 51, 52]}
    for split, expected in splits.items():
        data = load_data(tmp_path / "clean", split=split, paired_data=tmp_path / "damaged")
        assert numbers(data) == expected and are_pairs(data)


def test_two_files_of_one_name_are_no_guess(tmp_path):
    clean = pictures(tmp_path / "clean", 3)
    damaged = damaged_copies(clean, tmp_path / "damaged")
    Image.new("L", (8, 8)).save(damaged / "000.jpg")
    with pytest.raises(ValueError, match=r"000\.jpg' and .*000\.png' go by one name"):
        load_data(clean, paired_data=damaged)


def test_pictures_are_not_paired_with_themselves(tmp_path):
    clean = pictures(tmp_path / "clean", 3)
    with pytest.raises(ValueError, match="clean and damaged pictures are both"):
        load_data(clean, paired_data=f"{clean}{os.sep}")


def test_embedded_images_make_no_pairs(tmp_path):
    with pytest.raises(ValueError, match="'digits' makes no pairs"):
        load_data("digits", paired_data=pictures(tmp_path, 2))


def test_a_damaged_folder_that_is_not_there_is_named(tmp_path):
    clean = pictures(tmp_path / "clean", 3)
    pictures(tmp_path / "damaged", 3)
    with pytest.raises(FileNotFoundError, match=r"no data at '.*damagde' \(did you mean '.*damaged'"):
        load_data(clean, paired_data=tmp_path / "damagde")


# --- left out --------------------------------------------------------------------------------------------------------


def test_pictures_without_a_partner_are_left_out_and_named_on_both_sides(tmp_path):
    clean = pictures(tmp_path / "clean", 30)
    damaged = damaged_copies(clean, tmp_path / "damaged")
    (damaged / "003.png").unlink()
    (clean / "004.png").unlink()
    with pytest.warns(UserWarning, match=r"left out 2 of 30 images .*, unreadable or without a partner: ") as told:
        data = load_data(clean, split="all", paired_data=damaged)
    assert len(told) == 1 and told[0].filename == __file__
    assert len(data) == 28 and are_pairs(data)
    left_out = data.protocol["left_out"]
    assert left_out[0].startswith("003.png (no partner in ") and left_out[1].startswith(f"{damaged}: 004.png (no p")


def test_a_pair_of_which_one_half_is_broken_is_left_out(tmp_path):
    clean = pictures(tmp_path / "clean", 20)
    damaged = damaged_copies(clean, tmp_path / "damaged")
    (damaged / "007.png").write_bytes(b"")
    (clean / "008.png").write_text("a text")
    with pytest.warns(UserWarning, match=r"left out 2 of 20 images .*damaged: 007\.png \(empty.*008\.png \(empty"):
        data = load_data(clean, split="all", paired_data=damaged)
    assert numbers(data) == [i for i in range(20) if i not in (7, 8)] and are_pairs(data)


def test_too_many_without_a_partner_are_an_error(tmp_path):
    clean = pictures(tmp_path / "clean", 10)
    damaged = damaged_copies(clean, tmp_path / "damaged")
    for i in (1, 2):
        (damaged / f"00{i}.png").unlink()
    with pytest.raises(
        ValueError, match=r"2 of 10 images .* and at most 10% may be \(max_unreadable\): 001\.png \(no part"
    ):
        load_data(clean, split="all", paired_data=damaged)
    with pytest.warns(UserWarning, match="left out 2"):
        assert len(load_data(clean, split="all", paired_data=damaged, max_unreadable=0.2)) == 8


def test_damaged_pictures_of_another_split_do_not_count_as_without_a_partner(tmp_path):
    for split, first in (("train", 0), ("test", 50)):
        pictures(tmp_path / "clean" / split, 5, first=first)
    damaged = damaged_copies(tmp_path / "clean", tmp_path / "damaged")
    pictures(damaged / "train", 5, first=200)  # which the clean side lacks
    assert len(load_data(tmp_path / "clean", split="test", paired_data=damaged)) == 5
    with pytest.raises(ValueError, match="5 of 10 images"):
        load_data(tmp_path / "clean", split="train", paired_data=damaged)


# --- framing ---------------------------------------------------------------------------------------------------------


def textured(width, height):
    return np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)


@pytest.mark.parametrize("fit", ["resize", "crop", "tiles"])
def test_both_halves_are_cut_at_the_same_place(fit, tmp_path):
    for folder, pixels in (("clean", textured(23, 14)), ("damaged", 255 - textured(23, 14))):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    data = load_data(tmp_path / "clean", split="all", size=6, resize_mode=fit, paired_data=tmp_path / "damaged")
    assert len(data) == (6 if fit == "tiles" else 1) and are_pairs(data)


@pytest.mark.parametrize("fit", ["crop", "tiles"])
def test_a_smaller_damaged_half_is_brought_to_the_scale_of_its_partner_before_it_is_cut(fit, tmp_path):
    clean = textured(24, 16)
    clean[:, 12:] //= 8  # bright on the left
    small = Image.fromarray(clean).resize((12, 8), Image.Resampling.BOX)
    data = from_images([Image.fromarray(clean)], [small], size=8, resize_mode=fit)
    whole = Image.fromarray(clean), small.resize((24, 16), Image.Resampling.BILINEAR)
    expected = from_images([whole[0]], [whole[1]], size=8, resize_mode=fit)
    assert torch.equal(data.images, expected.images)
    assert torch.equal(data.params["endpoint"], expected.params["endpoint"])
    assert "first resized to its partner's" in data.protocol["pairs"]
    arrays = from_images(clean[None], np.asarray(small)[None], size=8, resize_mode=fit)
    assert torch.equal(arrays.params["endpoint"], expected.params["endpoint"])


def test_when_pictures_are_resized_each_half_is_so_on_its_own(tmp_path):
    data = from_images([Image.new("L", (24, 16), 9)], [Image.new("L", (12, 8), 246)], size=8)
    assert are_pairs(data) and "each framed on its own" in data.protocol["pairs"]


def test_halves_of_different_sizes_need_a_size(tmp_path):
    with pytest.raises(ValueError, match="differ in size"):
        from_images([Image.new("L", (24, 16))], [Image.new("L", (12, 8))])


def test_tiles_of_one_pair_never_fall_on_both_sides_of_a_split(tmp_path):
    clean = pictures(tmp_path / "clean", 20, size=(12, 8))
    damaged = damaged_copies(clean, tmp_path / "damaged")
    train, test = (
        load_data(clean, split=s, size=4, resize_mode="tiles", paired_data=damaged) for s in ("train", "test")
    )
    assert (len(train), len(test)) == (18 * 6, 2 * 6) and are_pairs(train) and are_pairs(test)
    assert not set(numbers(train)) & set(numbers(test))


def test_a_grey_half_is_coloured_where_the_other_is(tmp_path):
    clean = pictures(tmp_path / "clean", 4)
    for damaged in (damaged_copies(clean, tmp_path / "grey"), damaged_copies(clean, tmp_path / "rgb", mode="RGB")):
        data = load_data(clean, split="all", paired_data=damaged)
        assert data.images.shape[1] == 3 and are_pairs(data)
    grey = load_data(clean, split="all", paired_data=damaged, colour="grey")
    assert grey.images.shape[1] == 1 and are_pairs(grey)


# --- by position -----------------------------------------------------------------------------------------------------


def test_arrays_are_paired_by_position(tmp_path):
    clean = np.random.default_rng(0).integers(0, 256, (30, 6, 7)).astype(np.uint8)
    np.save(tmp_path / "clean.npy", clean)
    np.savez(tmp_path / "damaged.npz", images=255 - clean)
    for split in ("train", "test"):
        data = load_data(tmp_path / "clean.npy", split=split, paired_data=tmp_path / "damaged.npz")
        assert torch.equal(data.images, load_data(tmp_path / "clean.npy", split=split).images)
        assert are_pairs(data) and "of one position" in data.protocol["pairs"]
    assert are_pairs(from_images(clean, torch.from_numpy(255 - clean)[:, None]))


def test_tables_are_paired_by_position_and_a_missing_picture_leaves_the_others_in_place(tmp_path):
    parquet(tmp_path / "a" / "train.parquet", [*range(5), None, *range(6, 20)])
    parquet(tmp_path / "b" / "train.parquet", [255 - i for i in range(20)])
    with pytest.warns(UserWarning, match=r"train\.parquet row 5"):
        data = load_data(tmp_path / "a", split="all", paired_data=tmp_path / "b")
    assert numbers(data) == [i for i in range(20) if i != 5] and are_pairs(data)


def test_as_many_are_needed_of_each(tmp_path):
    with pytest.raises(ValueError, match=r"'images' has 3 images .*'damaged images' has 2 .* as many of each"):
        from_images(np.zeros((3, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8))


def test_pairs_by_position_are_of_one_split(tmp_path):
    array = np.zeros((4, 4, 4), np.uint8)
    for side, names in (("a", ("train", "val")), ("b", ("train", "test")), ("c", ("train", "validation"))):
        (tmp_path / side).mkdir()
        for name in names:
            np.save(tmp_path / side / f"{name}.npy", array)
    with pytest.raises(ValueError, match=r"4 images in split 'val', .* has 4 in 'test': .* in one split"):
        load_data(tmp_path / "a", split="held_out", paired_data=tmp_path / "b")
    assert len(load_data(tmp_path / "a", split="held_out", paired_data=tmp_path / "c")) == 4


def test_a_folder_of_pictures_and_an_array_are_no_pairs(tmp_path):
    np.save(tmp_path / "damaged.npy", np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"holds pictures, '.*damaged\.npy' rows"):
        load_data(pictures(tmp_path / "clean", 3), paired_data=tmp_path / "damaged.npy")
