"""Pictures that are broken are left out, and said to be."""

import numpy as np
import pytest
from PIL import Image
from support.image_folders import numbers, pictures, sides

from colddiff.data import load_data
from colddiff.data.framing import Framing


def test_the_share_of_broken_pictures_is_that_of_the_split(tmp_path):
    _, test = sides(pictures(tmp_path, 40))
    for i in test:
        (tmp_path / f"{i:03d}.png").write_bytes(b"")
    assert len(load_data(tmp_path)) == 40 - len(test)
    told = rf"{len(test)} of {len(test)} images in .* \(split 'test'\) are unreadable, and at most 10%"
    with pytest.raises(ValueError, match=told):
        load_data(tmp_path, split="test")


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
        data = load_data(tmp_path, split="all", max_unreadable=0.12)
    assert len(data) == 200 and len(data.protocol["left_out"]) == 21 and data.protocol["left_out"][-1] == "and 5 more"
    with pytest.raises(ValueError, match=r"25 of 225 images .* unreadable, and at most 10% .*, \.\.\.$"):
        load_data(tmp_path, split="all")


def test_broken_pictures_do_not_make_training_and_held_out_pictures_meet(tmp_path):
    pictures(tmp_path, 60)
    for i in (3, 30, 59):
        (tmp_path / f"{i:03d}.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="left out") as told:
        train, test = (numbers(load_data(tmp_path, split=s, max_unreadable=0.5)) for s in ("train", "test"))
    assert sum(int(str(t.message).split()[2]) for t in told) == 3
    assert sorted(train + test) == [i for i in range(60) if i not in (3, 30, 59)]


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_of_broken_pictures_is_a_share(share, tmp_path):
    with pytest.raises(ValueError, match=r"max_unreadable must be in \[0, 1\]"):
        load_data(pictures(tmp_path, 2), max_unreadable=share)


def test_pictures_stay_in_order_though_they_are_read_in_threads(tmp_path):
    for i in range(120):  # the first take longest
        Image.new("L", (400 if i < 20 else 8, 400 if i < 20 else 8), i).save(tmp_path / f"{i:03d}.png")
    assert load_data(tmp_path, split="all", size=4).images[:, 0, 0, 0].tolist() == list(range(120))


def test_many_broken_pictures_are_an_error(tmp_path):
    pictures(tmp_path, 3)
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 4 images .* are unreadable"):
        load_data(tmp_path, split="all")
