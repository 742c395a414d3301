"""What is no file, and files of any name: told so, never waited for, and restored under their own names."""

import builtins
import json
import os
import subprocess
import sys

import pytest
from support.bad_inputs import COMMANDS, RUN, encoded, inside, lines_of, picture

from colddiff import from_images, load_data
from colddiff.apps.cli.restore_files import RestoreOptions, restore_files
from colddiff.data.framing import Framing
from colddiff.utils.text import escape_control

ROOT = os.geteuid() == 0


# --- files that are none ----------------------------------------------------------------------------------------------


def circle(path):
    path.symlink_to(path.with_name("other.png"))
    path.with_name("other.png").symlink_to(path)


ODD = {
    "a folder": (
        lambda path: path.mkdir(),
        "is a folder: give a picture|no pictures in the folder|no images, |Is a directory",
    ),
    "a pipe": (os.mkfifo, "is a pipe, a socket or a device: give a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a pipe, a socket or a device: give a file"),
    "a link in a circle": (circle, "it is a link that leads nowhere|symbolic links"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "it is a link that leads nowhere|No such file"),
    "nothing": (lambda path: None, "no picture at|no picture or folder at|no data at|No such file"),
}
ASKED = {
    "load_data": lambda file: load_data(file, split="all"),
    "from_images": lambda file: from_images([file]),
    "Run.restore": RUN.restore,
    "restore_files": lambda file: restore_files(RUN, [file], file.parent / "o", RestoreOptions(Framing())),
}


@pytest.mark.timeout(30)  # a pipe is waited for
@pytest.mark.parametrize("road", ASKED)
@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_told_so_and_not_waited_for(kind, road, tmp_path):
    make, told = ODD[kind]
    make(tmp_path / "x.png")
    with pytest.raises((ValueError, FileNotFoundError), match=told) as failure:
        ASKED[road](tmp_path / "x.png")
    assert "\n" not in str(failure.value) and not (tmp_path / "o").exists()


@pytest.mark.timeout(60)
def test_a_folder_with_all_of_them_is_the_pictures_in_it(tmp_path, capsys):
    album = tmp_path / "album"
    for i, (make, _) in enumerate(ODD.values()):
        (album / str(i)).mkdir(parents=True)
        make(album / str(i) / "x.png")
    (album / "again").symlink_to(album)
    picture().save(album / "good.png")
    assert len(load_data(album, split="all")) == 1
    code, lines = lines_of(capsys, "restore", "digits", album, "--sampler", "one_shot", "--out", tmp_path / "o")
    assert (code, lines) == (0, []) and inside(tmp_path / "o") == [tmp_path / "o" / "good.png"]


@pytest.mark.parametrize("road", ["load_data", "from_images", "Run.restore", "restore_files"])
def test_a_file_that_may_not_be_read_is_told_so(road, tmp_path, monkeypatch):
    file, real = tmp_path / "x.png", builtins.open
    picture().save(file)

    def refuse(path, *args, **kwargs):
        if str(path) == str(file):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(ValueError, match="Permission denied"):
        ASKED[road](file)


@pytest.mark.skipif(ROOT, reason="permissions do not stop root")
def test_permissions_of_a_disk_are_told_too(tmp_path):
    picture().save(tmp_path / "x.png")
    (tmp_path / "x.png").chmod(0)
    with pytest.raises(ValueError, match="Permission denied"):
        RUN.restore(tmp_path / "x.png")


# --- names ------------------------------------------------------------------------------------------------------------

NAMES = {
    "a newline": "two\nlines.png", "no UTF-8": os.fsdecode(b"caf\xe9.png"), "a tab and a bell": "a\tb\a.png",
    "an escape": "\x1b[2J.png", "a quote": "a'b.png", "a dash": "-n.png", "other letters": "\u5199\u771f.png",
    "200 letters": "x" * 200 + ".png", "no suffix": "photo", "dots": "a..b.png",
}  # fmt: skip


@pytest.mark.parametrize("row", NAMES)
def test_a_picture_of_any_name_is_restored_under_that_name(row, tmp_path):
    file, out = tmp_path / "in" / NAMES[row], tmp_path / "o"
    file.parent.mkdir()
    file.write_bytes(encoded(picture()))
    count, measured = restore_files(RUN, [file], out, RestoreOptions(Framing(), sampler="one_shot", reference=file))
    assert count == 1 and os.listdir(file.parent) == [NAMES[row]]
    assert inside(out) == sorted([out / file.with_suffix(".png").name, out / "metrics.json"])
    assert json.loads((out / "metrics.json").read_text())["pictures"][0]["file"] == str(file) == measured[0].file


@pytest.mark.parametrize("row", ["a newline", "no UTF-8", "an escape", "a tab and a bell"])
def test_what_is_left_out_is_named_on_one_line_that_any_file_takes(row, tmp_path, capsys):
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / NAMES[row]).write_bytes(b"")
    for i in range(19):
        picture().save(tmp_path / "album" / f"{i}.png")
    with pytest.warns(UserWarning, match="left out 1 of 20 images") as told:
        data = load_data(tmp_path / "album", split="all")
    shown = escape_control(NAMES[row])
    assert shown.isprintable() and shown in str(told[0].message) and data.protocol["left_out"][0].startswith(shown)
    code, lines = lines_of(
        capsys, "restore", "digits", tmp_path / "album", "--sampler", "one_shot", "--out", tmp_path / "o"
    )
    assert code == 0 and len(lines) == 1 and shown in lines[0] and lines[0].isprintable()
    code, lines = lines_of(capsys, "restore", "digits", tmp_path / "album" / NAMES[row], "--out", tmp_path / "p")
    assert code == 2 and len(lines) == 1 and shown in lines[0] and lines[0].isprintable()


def test_a_terminal_that_cannot_show_a_name_is_no_error(tmp_path):
    for name in ("no UTF-8", "a newline", "other letters"):
        (tmp_path / NAMES[name]).write_bytes(encoded(picture()))
    asked = ["restore", "digits", str(tmp_path), "--reference", str(tmp_path), "--sampler", "one_shot", "--out", "o"]
    asked += ["--start", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "colddiff", *asked], cwd=tmp_path, capture_output=True, check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    first = done.stdout.decode().splitlines()
    assert len(first) == 5 and any("caf\\udce9.png: rmse" in line for line in first)
    assert sorted(os.listdir(tmp_path / "o")) == sorted(
        ["metrics.json", *(NAMES[name] for name in ("no UTF-8", "a newline", "other letters"))]
    )


def test_pictures_of_one_name_do_not_meet_in_one_file(tmp_path, capsys):
    for name in ("a.png", "a.jpg", "A.png"):
        picture().save(tmp_path / name)
    files = [tmp_path / name for name in ("a.png", "a.jpg", "A.png")]
    assert lines_of(capsys, "restore", "digits", *files, "--sampler", "one_shot", "--out", tmp_path / "o")[0] == 0
    assert sorted(os.listdir(tmp_path / "o")) == ["A.png", "a-1.png", "a.png"]


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "x" * 5000, "a\0b.png", ""], ids=["300", "5000", "NUL", "empty"])
@pytest.mark.parametrize("command", ["restore", "degrade"])
def test_a_name_that_no_file_can_have_ends_in_one_line(name, command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture().save("here.png")  # which an empty name must not find
    code, lines = lines_of(capsys, *COMMANDS[command](name, tmp_path / "o"))
    assert (
        code == 2
        and len(lines) == 1
        and lines[0].startswith("colddiff: ")
        and inside(tmp_path) == [tmp_path / "here.png"]
    )
    with pytest.raises((OSError, ValueError)):
        load_data(name)
