"""Every mistake ends in one clear line."""

import pytest
from support.command_line import colddiff

from colddiff.apps.cli.commands import list as list_command

TRAIN = ["train", "digits", "--out", "x", "--degradation"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lst"], "did you mean 'list'"),
        (["train", "digits", "--degradaton", "x"], "did you mean '--degradation'"),
        (["train", "digits", "--out", "x"], "train needs --degradation (gaussian_blur, say: `colddiff list` has all)"),
        (["train", "--out", "x"], "train needs DATA: see colddiff train --help"),
        (["restore"], "restore needs RUN, IMAGES and --out: see"),
        (["restore", "digits", "a.png"], "restore needs --out: see"),
        (["plot", "frequencies", "jpeg"], "plot frequencies needs --degradation: see colddiff plot frequencies --help"),
        (["plot", "difference", "a.png"], "plot difference needs AFTER: see"),
        (["restore", "RUN", "a.png", "--out", "o", "--goal", "nonsense"],
         "--goal must be distortion or perception, got 'nonsense'"),
        ([*TRAIN, "gausian_blur"], "did you mean 'gaussian_blur'"),
        ([*TRAIN, "gaussian_blur", "--degradation.sigma", "3"], "did you mean 'sigma_max'"),
        ([*TRAIN, "gaussian_blur", "--degradation.sigma_max", "wide"], "sigma_max must be float, got 'wide'"),
        ([*TRAIN, "gaussian_blur", "--degradation.sigma_max", "[1"], "sigma_max must be float, got '[1'"),
        ([*TRAIN, "gaussian_blur", "--degradation.sigma_max", "-1"], "sigma_max must be"),
        ([*TRAIN, "gaussian_blur", "--degradation.sigma_max"], "needs a value"),
        ([*TRAIN, "iterated_blur", "--degradation.sigmas.sigm", "3"], "did you mean 'sigma'"),
        ([*TRAIN, "gaussian_blur", "--prior.sigma", "3"], "--prior.sigma needs --prior NAME"),
        ([*TRAIN, "gaussian_blur", "--steps", "0"], "steps must be > 0, got 0"),
        ([*TRAIN, "gaussian_blur", "--steps", "many"], "--steps: expected int"),
        ([*TRAIN, "gaussian_blur", "--batch-size", "many"], "--batch-size: expected int. Got value: many"),
        ([*TRAIN, "gaussian_blur", "--loss", "l3"], "--loss must be l1 or l2, got 'l3'"),
        ([*TRAIN, "gaussian_blur", "--steps", "1", "--minutes", "1"], "not both"),
        ([*TRAIN, "gaussian_blur", "--device", "gpu"], "device 'gpu' cannot be used"),
        ([*TRAIN, "gaussian_blur", "--split", "tset"], "did you mean 'test'"),
        ([*TRAIN, "gaussian_blur", "--config", "none.yaml"], "none.yaml"),
        ([*TRAIN, "gaussian_blur", "--restorer", "unet", "--restorer.channels", "3"], "images have 1: leave channels"),
        (["train", "digts", *TRAIN[2:], "gaussian_blur"], "did you mean 'digits'"),
        (["degrade", "none.png", "--degradation", "gaussian_blur"], "no picture at 'none.png'"),
        (["list", "--prior.sigma", "3"], "this command has no --prior"),
        (["inspect", "none"], "is not a run"),
        (["sample", "none"], "is not a run"),
    ],
)  # fmt: skip
def test_a_mistake_ends_in_one_line(arguments, told, mistake):
    assert told in mistake(*arguments)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["restore", "RUN", "none.png", "--out", "o"], "no picture or folder at 'none.png'"),
        (["restore", "RUN", "broken.png", "--out", "o"], "'broken.png' is not a readable picture"),
        (["restore", "RUN", "empty", "--out", "o"], "no pictures in the folder 'empty'"),
        (["restore", "RUN", "photo.png", "--out", "photo.png"], "--out must be a folder, and 'photo.png' is a file"),
        (["restore", "RUN", "photo.png", "--out", "."], "photo.png' would be overwritten: give another --out"),
        (["restore", "RUN", "photo.png", "--out", "o", "--steps", "0"], "steps must be a whole number >= 1, got 0"),
        (["restore", "RUN", "photo.png", "--out", "o", "--start", "2"], "must be in (0, 1]"),
        (["restore", "RUN", "photo.png", "--out", "o", "--start", "2", "--degrade"], "must be in (0, 1]"),
        (["restore", "RUN", "photo.png", "--out", "o", "--sampler", "improvd"], "did you mean 'improved'"),
        (["restore", "RUN", "photo.png", "--out", "o", "--mask", "photo.png"], "leave the mask out"),
        (["restore", "RUN", "photo.png"], "out"),
        (["sample", "RUN", "--sampler", "naiv"], "did you mean 'naive'"),
        (["sample", "RUN", "--steps", "0"], "steps must be a whole number"),
        (["sample", "RUN", "-n", "0"], "at least one image"),
        (["sample", "RUN", "--out", "grid"], "cannot write 'grid' as a picture"),
        (["sample", "RUN", "--out", "photo.png/grid.png", "-n", "1", "--steps", "1"], "photo.png"),
        (["eval", "RUN", "digits", "--start", "2"], "start must be in (0, 1], got 2.0"),
        (["eval", "RUN", "digits", "--start", "half"], "--start must be numbers separated by commas"),
        (["eval", "RUN", "digits", "--images", "-3"], "at least one image"),
        (["eval", "RUN", "digits", "--batch-size", "0"], "at least one at a time"),
        (["eval", "RUN", "digits", "--images", "5,6"], "--images must be one whole number or all, got '5,6'"),
        (["eval", "RUN", "digits", "--steps", "0"], "steps must be a whole number"),
        (["eval", "RUN", "none"], "no data at 'none'"),
        (["eval", "RUN", "digits", "--split", "tset"], "did you mean 'test'"),
        (["degrade", "broken.png", "--degradation", "gaussian_blur"], "is not a readable picture"),
        (["degrade", "photo.png", "--degradation", "gaussian_blur", "--steps", "1"], "--steps must be 2 to 1000"),
        (["degrade", "photo.png", "--degradation", "gaussian_blur", "--out", "a.txt"], "cannot write 'a.txt'"),
        (["degrade", "photo.png", "--degradation", "gaussian_blur", "--out", "empty"], "'empty' is a folder"),
        (["degrade", "photo.png", "--degradation", "interpolate"], "needs the param"),
        (["train", "digits", "--degradation", "gaussian_blur", "--out", "photo.png"], "is a file: give a folder"),
        (["train", "digits", "--degradation", "gaussian_blur", "--out", "RUN"], "holds a run already: add --resume"),
    ],
)  # fmt: skip
def test_a_mistake_with_files_ends_in_one_line(arguments, told, mistake, grey, photo, tmp_path):
    (tmp_path / "broken.png").write_bytes(photo.read_bytes()[:60])
    (tmp_path / "empty").mkdir()
    assert told in mistake(*(str(grey) if a == "RUN" else a for a in arguments))


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"a: [1\n", "config"), (b"\x89PNG\xff", "utf-8"), (b"just a word", "just a word"), (b"colour: red\n", "colour"),
     (b"degradation: {type: gausian_blur}\ndata: digits\nout: x\n", "did you mean 'gaussian_blur'"),
     (b"degradation: {sigma_max: 3}\ndata: digits\nout: x\n", "expected a name")],
)  # fmt: skip
def test_a_bad_config_file_ends_in_one_line(content, told, mistake, tmp_path):
    (tmp_path / "run.yaml").write_bytes(content)
    assert told in mistake("train", "digits", "--config", "run.yaml")


def test_a_bug_is_not_hidden_behind_a_line(monkeypatch):
    def fail(**_):
        raise AssertionError("for us")

    monkeypatch.setattr(list_command, "run", fail)
    with pytest.raises(AssertionError):
        colddiff("list")


@pytest.mark.parametrize("debug", ["", "1"])
def test_the_traceback_comes_before_the_line_on_request(debug, monkeypatch, capsys):
    monkeypatch.setenv("COLDDIFF_DEBUG", debug)
    assert colddiff("inspect", "none") == 2
    *trace, line = capsys.readouterr().err.splitlines()
    assert line.startswith("colddiff: ") and (trace[:1] == ["Traceback (most recent call last):"]) == bool(debug)
    assert bool(trace) == bool(debug)


def test_interrupts_have_the_codes_of_the_shell(monkeypatch, capsys):
    def stop(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(list_command, "run", stop)
    assert colddiff("list") == 130
    assert capsys.readouterr().err == "colddiff: stopped\n"
