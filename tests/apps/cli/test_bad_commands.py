"""Command lines: every mistake ends in one line on stderr, exit code 2, and not one new file."""

import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bad_inputs import inside, lines_of, picture

from colddiff import viz
from colddiff.apps.cli.command_table import COMMANDS
from colddiff.utils.files import write_whole

BLUR = ["--degradation", "gaussian_blur"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a picture, a broken one, a full and an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    (tmp_path / "empty").mkdir()
    picture().save(tmp_path / "a.png")
    picture().save(tmp_path / "album" / "b.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    return tmp_path


# --- the table --------------------------------------------------------------------------------------------------------

RESTORE = ["restore", "digits", "a.png", "--out", "o", "--steps", "2"]
DEGRADE = ["degrade", "a.png", *BLUR, "--out", "o.png", "--steps", "2"]
TRAIN = ["train", "digits", *BLUR, "--out", "o", "--steps", "1"]
EVAL = ["eval", "digits", "digits", "--images", "2", "--out", "o", "--perception", "none"]
SAMPLE = ["sample", "digits", "-n", "1", "--steps", "1", "--out", "o.png"]
WRONG = {
    "no such command": (["restor"], "did you mean 'restore'"),
    "a command of bytes": (["caf\udce9"], "invalid choice"),
    "no arguments": (["restore"], "restore needs RUN"),
    "no such option": ([*RESTORE, "--stepps", "3"], "did you mean '--steps'"),
    "an option without a value": ([*RESTORE, "--start"], "expected one argument"),
    "an option of another command": ([*RESTORE, "--split", "test"], "unrecognized arguments"),
    "a word for a number": ([*RESTORE, "--steps", "many"], "--steps: expected int"),
    "a fraction for a number": ([*RESTORE, "--steps", "1.5"], "--steps: expected int"),
    "too small a number": ([*RESTORE, "--steps", "0"], "steps must be a whole number >= 1, got 0"),
    "too large a number": ([*RESTORE, "--steps", "1" + "0" * 30], "steps must be at most"),
    "NaN": ([*RESTORE, "--start", "nan"], "--start: expected float, got nan"),
    "no path": (["restore", "digits", "", "--out", "o"], "images is empty: give a value, or leave it out"),
    "no out": ([*RESTORE[:3], "--out", ""], "out is empty: give a value, or leave it out"),
    "no sampler": ([*RESTORE, "--sampler", ""], "sampler is empty"),
    "no run": (["restore", "", "a.png", "--out", "o"], "run is empty"),
    "a folder that is a file": (["restore", "digits", "a.png", "--out", "a.png"], "--out must be a folder"),
    "below a file": (["restore", "digits", "a.png", "--out", "a.png/o"], "is a file"),
    "a name with NUL": (["restore", "digits", "a\0.png", "--out", "o"], ""),
    "out with NUL": ([*RESTORE, "--out", "o\0"], ""),
    "a picture for a run": (["restore", "a.png", "a.png", "--out", "o"], "is not a run"),
    "an empty folder": (["restore", "digits", "empty", "--out", "o"], "no pictures in the folder 'empty'"),
    "one broken of two": (["degrade", "broken.png", *BLUR, "--out", "o.png"], "'broken.png' is not a readable picture"),
    "nothing there": (["degrade", "none.png", *BLUR, "--out", "a.png"], "no picture at 'none.png'"),
    "too large": ([*DEGRADE, "--image-size", "9" * 20], ""),
    "too large a side": (["degrade", "a.png", *BLUR, "--steps", "1000", "--image-size", "70", "--out", "o.jpg"],
                         "cannot be 72002 x 102 pixels, at most 65500 a side: name it .png"),
    "too many pictures": ([*DEGRADE, "--steps", "1001"], "--steps must be 2 to 1000"),
    "a degradation of bytes": (["degrade", "a.png", "--degradation", "\udcff", "--out", "o.png"], "is named"),
    "a degradation of lines": (["degrade", "a.png", "--degradation", "a\nb", "--out", "o.png"], "is named"),
    "a degradation of brackets": (["degrade", "a.png", "--degradation", "[" * 3000, "--out", "o.png"], ""),
    "a field of no degradation": ([*DEGRADE, "--degradation.sigmaa", "3"], "did you mean 'sigma_max'"),
    "a field of the wrong type": ([*DEGRADE, "--degradation.sigma_max", "{}"], "sigma_max must be float"),
    "a field that is huge": ([*DEGRADE, "--degradation.sigma_max", "9" * 400], "sigma_max"),
    "too many images": (["sample", "digits", "-n", "9" * 17, "--out", "o.png"], "10,000 on one sheet at most"),
    "no seed": ([*SAMPLE, "--seed", "9" * 30], ""),
    "no device": ([*SAMPLE, "--device", "abacus"], "; give auto or cpu"),
    "no split": ([*EVAL, "--split", "tset"], "did you mean 'test'"),
    "a picture for data": (["eval", "digits", "broken.png", "--split", "all", "--out", "o"], "broken.png"),
    "training on one picture": (["train", "album", *BLUR, "--out", "o", "--steps", "1"], "nothing can be held out"),
    "a config of another kind": ([*TRAIN, "--config", "a.png"], ""),
    "a folder for a config": ([*TRAIN, "--config", "album"], ""),
    "a file for a folder": ([*TRAIN[:-4], "--out", "a.png", "--steps", "1"], "is a file: give a folder"),
    "a negative rate": ([*TRAIN, "--lr", "-1"], "lr"),
}  # fmt: skip


@pytest.mark.parametrize("row", WRONG)
def test_a_mistake_ends_in_one_line_and_leaves_nothing(row, here, capsys):
    arguments, told = WRONG[row]
    before = inside(here)
    code, lines = lines_of(capsys, *arguments)
    assert code == 2 and len(lines) == 1, lines
    assert lines[0].startswith("colddiff: ") and told in lines[0] and lines[0].encode("utf-8", "backslashreplace")
    assert inside(here) == before, "something was left behind"


def test_a_picture_that_fails_while_it_is_written_leaves_nothing(here, capsys, monkeypatch):
    def full(part):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(viz.sheets, "write_whole", lambda path, write: write_whole(path, full))
    before = inside(here)
    for arguments in (DEGRADE, SAMPLE):
        code, lines = lines_of(capsys, *arguments)
        assert code == 2 and len(lines) == 1 and "No space left" in lines[0] and inside(here) == before
    code, lines = lines_of(capsys, *RESTORE)
    assert code == 2 and len(lines) == 1 and "No space left" in lines[0]
    assert [path for path in inside(here) if path.is_file()] == [path for path in before if path.is_file()]


def test_a_lack_of_memory_is_no_bug(here, capsys, monkeypatch):
    def no_room(*_, **__):
        raise MemoryError

    monkeypatch.setattr(viz, "film_strip", no_room)
    code, lines = lines_of(capsys, *DEGRADE)
    assert code == 2 and lines == ["colddiff: there is not enough memory for this: give smaller images, or fewer"]


# --- any line ---------------------------------------------------------------------------------------------------------

JUNK = [
    *COMMANDS, "a.png", "broken.png", "album", "empty", "none", "digits", "--out", "o", "o.png", "--steps", "2", "0",
    "-1", "--degradation", "gaussian_blur", "pixelate", "--degradation.sigma_max", "3", "--degradation.", "--mask",
    "--degradation.a.b=1", "--seed", "--start", ".5", "nan", "1e999", "", " ", "-", "--", "---", "=", "--=", "--out=",
    "{}", "[", "{type: x}", "null", "\udcff", "a\nb", "\0", "--config", "--print_config", "--no-flip", "--json", "-n",
    "--side-by-side", "--help=1", "@a", "~",
]  # fmt: skip
SLOW = {"demo", "compare", "reproduce", "train"}  # what would go on for minutes where a line happens to be right


@settings(
    max_examples=100, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.lists(st.sampled_from([token for token in JUNK if token not in SLOW]), min_size=1, max_size=7))
def test_any_words_are_a_command_or_one_line(here, capsys, arguments):
    before = inside(here)
    code, lines = lines_of(capsys, *arguments)
    said = [line for line in lines if not line.startswith("colddiff: warning: ")]
    assert code in (0, 2), (code, lines)
    assert len(said) == (code == 2) and all(line.startswith("colddiff: ") for line in said), lines
    new = set(inside(here)) - set(before)
    assert code == 0 or not new, new
    assert not [path for path in new if ".part" in path.name]


# --- real processes ---------------------------------------------------------------------------------------------------


def process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "colddiff", *arguments], stderr=subprocess.PIPE, check=False, **options
    )  # fmt: skip


def test_bytes_of_a_command_line_that_are_no_text_end_in_one_line(here):
    done = process(b"degrade", b"caf\xe9.png", "--degradation", "pixelate", "--out", b"\xff/o.png")
    assert done.returncode == 2 and done.stderr == b"colddiff: no picture at 'caf\\udce9.png'\n"


@pytest.mark.parametrize("closed", ["full", "closed"])
def test_a_place_for_output_that_takes_none_is_no_traceback(closed, here):
    target = "/dev/full" if closed == "full" else "&-"
    command = f"exec {sys.executable} -m colddiff list >{target}"
    done = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, check=False, env=os.environ)
    said = b"colddiff: [Errno 28] No space left on device\n" if closed == "full" else b""
    assert (done.returncode, done.stderr) == (2 if said else 0, said)
