"""Who is held out, and which split is which."""

import numpy as np
import pytest
import torch
from support.image_folders import numbers, pictures, sides

from colddiff.data import load_data, splits
from colddiff.data.framing import Framing
from colddiff.data.splits import HELD_OUT, held_out

HELD = ["photos/6", "photos/19", "photos/41", "photos/50", "photos/55"]


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


def test_a_picture_keeps_its_side_whatever_else_is_there(tmp_path):
    train, test = sides(pictures(tmp_path, 150))
    assert train | test == set(range(150)) and not train & test and 8 <= len(test) <= 22
    (tmp_path / "000.png").unlink()
    pictures(tmp_path / "more", 50, first=150)
    (tmp_path / "a.png").write_bytes(b"")
    for i in (20, 40):
        (tmp_path / f"{i:03d}.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="left out"):
        later_train, later_test = sides(tmp_path, max_unreadable=0.3)
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
