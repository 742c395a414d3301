"""Every command works on real files, and a mistake ends in one clear line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from support import tiny

from colddiff.apps.cli import index, main, restore_files
from colddiff.apps.cli.commands import list as list_command
from colddiff.apps.cli.commands import restore as restore_command
from colddiff.apps.cli.commands import train as train_command
from colddiff.degradations import GaussianMask
from colddiff.models.serialization import load
from colddiff.models.tiling import TILE
from colddiff.training import train as train_module
from colddiff.training.config import TrainConfig
from colddiff.training.train import train
from colddiff.utils import config as config_module
from colddiff.utils.config import registered
from colddiff.utils.text import argument_texts

TINY = ["--steps", "2", "--batch-size", "4", "--device", "cpu", "--warmup-steps", "1"]
for field, value in tiny.NET.to_config().items():
    TINY += [f"--restorer.{field}" if field != "type" else "--restorer", str(value)]


def colddiff(*arguments):
    """The exit code of a command."""
    try:
        return main.main([str(a) for a in arguments])
    except SystemExit as end:
        return end.code


@pytest.fixture
def mistake(capsys, tmp_path, monkeypatch):
    """Runs a command that must end in one line; returns the line."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        before = sorted(tmp_path.rglob("*"))
        code = colddiff(*arguments)
        told = capsys.readouterr().err
        assert code == 2, told
        assert told.startswith("colddiff: ") and told.count("\n") == 1 and "Traceback" not in told, told
        assert sorted(tmp_path.rglob("*")) == before, "something was left behind"
        return told

    return run


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    return train(tiny.config(tmp_path_factory.mktemp("grey") / "run"), progress=False).path


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    restorer = tiny.NET.from_config(tiny.NET.to_config() | {"channels": 3})
    folder = tmp_path_factory.mktemp("colour")
    np.save(folder / "data.npy", np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype(np.uint8))
    op = GaussianMask(num_steps=5, kernel_std=0.2)
    config = tiny.config(folder / "run", data=str(folder / "data.npy"), restorer=restorer, degradation=op)
    return train(config, progress=False).path


@pytest.fixture
def photo(tmp_path):
    """A picture of odd size."""
    gradient = np.add.outer(np.arange(11), np.arange(15)).astype(np.uint8) * 10
    path = tmp_path / "photo.png"
    Image.fromarray(
        np.stack([gradient, gradient[::-1], gradient.T.repeat(2, 0)[:11, :11].repeat(2, 1)[:, :15]], -1)
    ).save(path)
    return path


# --- every command ---------------------------------------------------------------------------------------------------


def test_list_names_everything_that_can_be_asked_for(capsys):
    assert colddiff("list") == 0
    told = capsys.readouterr().out
    for name in ("gaussian_blur", "sigma_max=12.0", "cosine", "improved", "digits", "channel_gaussian", "velocity"):
        assert name in told
    assert colddiff("list", "--json") == 0
    assert "gaussian_mask" in json.loads(capsys.readouterr().out)["degradations"]


def test_list_says_what_each_thing_is_and_names_plug_ins_without_importing_them(capsys, monkeypatch):
    class Point:
        name = "fog"

    monkeypatch.setattr(
        config_module, "entry_points", lambda group: [Point()] if group == "colddiff.degradations" else []
    )
    assert colddiff("list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["degradations"]["fog"] == {"summary": "plug-in"} and "fog" not in told["priors"]
    assert all(entry["summary"] for members in told.values() for entry in members.values())
    assert told["degradations"]["gaussian_blur"]["fields"]["sigma_max"] == 12.0
    assert not any("" in entry for members in told.values() for entry in members.values())


def test_degrade_tells_how_much_was_clipped(photo, tmp_path, capsys):
    args = ["degrade", photo, "--degradation", "pixel_noise", "--degradation.sigma=80", "--steps", 3]
    assert colddiff(*args, "--out", tmp_path / "strip.png") == 0
    first, *shares = capsys.readouterr().out.splitlines()[1].removeprefix("clipped share: ").split()
    assert first == "0.0%" and len(shares) == 2 and 0 < float(shares[0][:-1]) < float(shares[1][:-1]) < 100
    args[3:5] = ["gaussian_blur"]
    assert colddiff(*args, "--out", tmp_path / "strip.png") == 0
    assert "clipped" not in capsys.readouterr().out


def test_degrade_writes_a_strip_or_an_animation(photo, tmp_path, capsys):
    args = ["degrade", photo, "--degradation", "gaussian_blur", "--degradation.sigma_max=20", "--steps", 5]
    assert colddiff(*args, "--out", tmp_path / "strip.png") == 0
    with Image.open(tmp_path / "strip.png") as strip, Image.open(photo) as original:
        enlarged = original.resize((5 * 15, 5 * 11), Image.Resampling.NEAREST)
        assert strip.width == 5 * (75 + 2) + 2 and strip.height > 55 + 4, "no room for the times"
        assert np.array_equal(np.asarray(strip)[2:57, 2:77], np.asarray(enlarged))
    args[3:5] = ["pixel_mask"]
    assert colddiff(*args, "--out", tmp_path / "strip.gif", "--image-size", 8) == 0
    with Image.open(tmp_path / "strip.gif") as animation:
        assert animation.n_frames == 5 and animation.width == 8 * 8 + 4
    assert "5 pictures from t = 0 to t = 1" in capsys.readouterr().out


def test_the_seed_decides_what_a_random_degradation_does(photo, tmp_path):
    args = ["degrade", photo, "--degradation", "pixel_mask"]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert colddiff(*args, "--out", tmp_path / f"{name}.png", "--seed", seed) == 0
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_train_leaves_a_run_with_a_card_and_prints_its_table(tmp_path, capsys):
    out = tmp_path / "run"
    assert colddiff("train", "digits", "--degradation", "gaussian_blur", "--out", out, *TINY) == 0
    told = capsys.readouterr().out
    assert "| 1.00 | improved |" in told and str(out) in told
    assert "| 1.00 | improved |" in (out / "README.md").read_text()
    assert colddiff("inspect", out) == 0
    told = capsys.readouterr().out
    assert "gaussian_blur" in told and "step 2 of 2" in told and "validation_loss" in told


@pytest.mark.parametrize("prior", registered("colddiff.priors"))
def test_a_run_generates_from_every_prior(prior, tmp_path):
    out, args = tmp_path / "run", ["--degradation", "gaussian_blur", "--prior", prior, "--prior.sigma", "0.01"]
    assert colddiff("train", "digits", "--out", out, *args, *TINY) == 0
    assert colddiff("sample", out, "-n", 2, "--steps", 2, "--out", tmp_path / "grid.png") == 0
    config = json.loads((out / "config.json").read_text())
    assert config["prior"]["type"] == prior and config["prior"]["sigma"] == 0.01


def test_a_unet_of_another_width_takes_the_channels_of_the_data(tmp_path):
    args = ["--degradation", "gaussian_blur", "--steps", "1", "--batch-size", "4", "--device", "cpu"]
    shape = ["--restorer", "unet", "--restorer.width", "8", "--restorer.blocks", "1"]
    assert colddiff("train", "digits", "--out", tmp_path / "run", *args, *shape) == 0
    assert load(tmp_path / "run", device="cpu").config["restorer"]["channels"] == 1


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


def test_sample_writes_one_sheet(grey, tmp_path, capsys):
    assert colddiff("sample", grey, "-n", 4, "--out", tmp_path / "grid.png", "--steps", 3, "--seed", 7) == 0
    assert "seeds 7 .. 10" in capsys.readouterr().out and (tmp_path / "grid.png").is_file()


def test_eval_writes_the_report_as_json_where_asked(grey, tmp_path, capsys):
    args = [
        "--json",
        tmp_path / "r.json",
        "--out",
        tmp_path / "report",
        "--start",
        ".5,1",
        "--steps",
        "2",
        "--images",
        9,
    ]
    assert colddiff("eval", grey, "digits", *args) == 0
    value = json.loads((tmp_path / "r.json").read_text())
    assert value["n_images"] == 9 and {row["start"] for row in value["rows"]} == {0.5, 1.0}
    assert value == json.loads((tmp_path / "report" / "report.json").read_text())
    assert "| 0.50 | degraded |" in capsys.readouterr().out


def test_the_demo_trains_measures_and_draws_every_stage(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train_module, "restorer_for", lambda config, data: tiny.NET)
    assert colddiff("demo", "--out", tmp_path / "demo", "--minutes", 0.005, "--device", "cpu") == 0
    told = capsys.readouterr().out
    assert "one_shot" in told and "improved" in told
    pictures = [p.name for p in sorted((tmp_path / "demo").glob("[1-5]_*"))]
    assert len(pictures) == 5 and all(name in told for name in pictures)


def test_the_module_runs_and_a_closed_pipe_is_no_error():
    listed = subprocess.run([sys.executable, "-m", "colddiff", "list"], capture_output=True, text=True, check=True)
    assert "gaussian_blur" in listed.stdout and listed.stderr == ""
    piped = f"{sys.executable} -m colddiff list --json | head -c 5"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {piped}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_exists_for_every_command(capsys):
    for name in main.COMMANDS:
        assert colddiff(name, "--help") == 0
        assert "usage: colddiff" in capsys.readouterr().out


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def parsed(monkeypatch):
    """The TrainConfig that a command line ends up as."""

    def parse(*arguments):
        seen = []
        monkeypatch.setattr(train_command, "run", lambda config, resume: seen.append((config, resume)))
        assert colddiff("train", *arguments) == 0
        return seen[0][0]

    return parse


def test_fields_of_a_degradation_are_options(parsed):
    config = parsed(
        "digits", "--degradation", "gaussian_blur", "--degradation.sigma_max", "3", "--out", "x", "--lr", "1e-4"
    )
    assert config.degradation.sigma_max == 3.0 and config.lr == 1e-4
    config = parsed("digits", "--degradation", '{"type": "gaussian_blur", "sigma_max": 5}', "--out=x")
    assert config.degradation.sigma_max == 5.0


NESTED = ["digits", "--degradation", "iterated_blur", "--out", "x"]


@pytest.mark.parametrize(
    "options",
    [["--degradation.sigmas", "constant", "--degradation.sigmas.sigma", "5"], ["--degradation.sigmas.sigma", "5"],
     ["--degradation.sigmas.sigma", "5", "--degradation.sigmas", "constant"], ["--degradation.sigmas.sigma=5"]],
)  # fmt: skip
def test_fields_of_fields_are_options_too(options, parsed):
    sigmas = parsed(*NESTED, *options).degradation.sigmas
    assert sigmas.to_config() == {"type": "constant", "sigma": 5.0}


def test_numbers_are_numbers_however_they_are_written(parsed):
    for text in ("1e-3", "0.001", ".001", "1.e-3", "+0.001"):
        assert parsed(*NESTED, "--degradation.sigmas.sigma", text).degradation.sigmas.sigma == 0.001
    config = parsed(*NESTED, "--degradation.schedule", "power", "--flip", "--no-quantize-inputs")
    assert config.degradation.schedule.registered_name == "power" and config.flip and not config.quantize_inputs


def test_a_yaml_file_gives_settings_that_the_command_line_overrides(parsed, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "data: digits\nout: there\nlr: 1e-3\nsteps: 7\nrestorer: {type: unet, width: 16}\n"
        "degradation: {type: iterated_blur, num_steps: 9, sigmas: {sigma: 4}}\n"
    )
    config = parsed("--config", file, "--steps", 8, "--degradation.sigmas.sigma", 5, "--restorer.blocks", 1)
    assert (config.data, config.out, config.lr, config.steps) == ("digits", "there", 1e-3, 8)
    assert config.degradation.num_steps == 9 and config.degradation.sigmas.sigma == 5.0
    assert (config.restorer.width, config.restorer.blocks) == (16, 1)
    assert parsed("--config", file).degradation.sigmas.sigma == 4.0


def test_what_is_on_the_line_overrides_the_file_wherever_the_file_stands(parsed, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("lr: 0.5\nout: null\ndegradation: {type: gaussian_blur, sigma_max: 3}\n")
    options = ["--degradation", "jpeg", "--out", "here"]
    for given in (["--config", file], [f"--config={file}"]):
        for place in (0, 2, 4):
            config = parsed("digits", *options[:place], *given, *options[place:])
            assert (config.out, config.lr, config.degradation.registered_name) == ("here", 0.5, "jpeg")


@pytest.mark.parametrize("options", [[], ["--degradation.num_steps", "9", "--degradation.sigmas.sigma", "4"]])
def test_the_printed_config_can_be_given_back(options, parsed, tmp_path, capsys):
    assert colddiff("train", *NESTED, *options, "--seed", "3", "--print_config") == 0
    printed = capsys.readouterr().out
    (tmp_path / "run.yaml").write_text(printed)
    assert "data" in yaml.safe_load(printed)
    again = parsed("--config", tmp_path / "run.yaml")
    assert again == parsed(*NESTED, *options, "--seed", "3")


def test_every_setting_of_a_training_is_an_option_with_a_text(capsys):
    assert colddiff("train", "--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    texts = argument_texts(TrainConfig)
    assert all(texts.values()), texts
    for name in texts:
        assert name == "data" or f"--{name.replace('_', '-')}" in told or name in told


# --- mistakes --------------------------------------------------------------------------------------------------------

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


def test_a_mask_must_be_as_large_as_the_picture(mistake, colour, photo, tmp_path):
    Image.new("L", (5, 5)).save(tmp_path / "mask.png")
    assert "the mask is 5 x 5 pixels, photo.png is 15 x 11" in mistake(
        "restore", colour, "photo.png", "--out", "o", "--mask", "mask.png"
    )


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


def test_warnings_are_one_line_and_go_on_whatever_python_was_told(colour, photo, tmp_path, capsys):
    # Pytest turns warnings into errors, as python -W error does.
    args = ["--out", tmp_path / "out", "--steps", "20"]
    assert colddiff("restore", colour, photo, *args) == 0
    assert capsys.readouterr().err == "colddiff: warning: 20 steps on 5 levels: only 5 are distinct\n"


def test_interrupts_have_the_codes_of_the_shell(monkeypatch, capsys):
    def stop(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(list_command, "run", stop)
    assert colddiff("list") == 130
    assert capsys.readouterr().err == "colddiff: stopped\n"


def test_restored_files_of_one_name_are_numbered_and_folders_are_kept(tmp_path):
    found = [(Path("a") / name, Path(name)) for name in ("x.png", "x.jpg", "x-1.png", "sub/x.png")]
    targets = [str(t.relative_to(tmp_path)) for t in restore_files._targets(found, tmp_path)]
    assert targets == ["x.png", "x-1.png", "x-1-2.png", "sub/x.png"]


def test_a_run_that_was_moved_still_works(grey, tmp_path):
    moved = shutil.copytree(grey, tmp_path / "elsewhere")
    assert load(moved, device="cpu").restore(torch.rand(1, 1, 8, 8)).shape == (1, 1, 8, 8)


def test_degrade_never_writes_over_its_picture(photo, capsys):
    before = photo.read_bytes()
    assert colddiff("degrade", photo, "--degradation", "pixelate", "--out", photo) == 2
    assert "would be overwritten" in capsys.readouterr().err and photo.read_bytes() == before


def test_a_report_that_cannot_be_written_is_refused_before_the_work(grey, tmp_path, capsys):
    assert colddiff("eval", grey, "digits", "--images", 2, "--json", tmp_path) == 2
    assert "is a folder: give the name of a file" in capsys.readouterr().err
    assert not (grey / "report" / "report.json").exists()


def test_a_strip_has_an_end(photo, capsys):
    assert colddiff("degrade", photo, "--degradation", "pixelate", "--steps", 1_000_000_000) == 2
    assert "--steps must be 2 to 1000" in capsys.readouterr().err


def test_without_a_command_all_of_them_are_told(capsys):
    assert colddiff() == 2
    assert "inspect" in capsys.readouterr().out


# --- light -----------------------------------------------------------------------------------------------------------

LIGHT = [
    ["--help"], ["--version"], ["list"], ["list", "--json"], ["presets"], ["train", "--help"], ["plot", "--help"],
    ["trian"], ["train", "digits", "--lose", "l1"], ["train", "digits", "--loss", "l3"], ["restore", "digits"],
    ["train", "digits", "--lr", "fast"], ["train", "digits"],
    ["train", "digits", "--out", "x", "--degradation", "gausian_blur"],
    ["train", "digits", "--out", "x", "--degradation", "gaussian_blur", "--degradation.sgima_max", "3"],
    ["train", "digits", "--out", "x", "--preset", "deblur"],
    ["restore", "digits", "a.png", "--out", "o", "--sampler", "imroved"],
]  # fmt: skip


@pytest.mark.parametrize("line", LIGHT, ids=" ".join)
def test_help_lists_and_slips_load_nothing_heavy(line):
    code = (
        "import sys; from colddiff.apps.cli.main import main\n"
        "try: code = main(sys.argv[1:])\n"
        "except SystemExit as stop: code = stop.code\n"
        "heavy = [m for m in ('torch', 'kornia', 'accelerate', 'numpy', 'PIL') if m in sys.modules]\n"
        "sys.exit(99 if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True, check=False)
    fine = "--help" in line or line[0] in ("--version", "list", "presets")
    assert done.returncode == (0 if fine else 2), (done.stdout, done.stderr)


def test_a_slip_is_told_with_the_nearest_name(capsys):
    assert colddiff("train", "digits", "--out", "x", "--degradation", "gausian_blur") == 2
    assert "did you mean 'gaussian_blur'?" in capsys.readouterr().err
    assert colddiff("train", "digits", "--out", "x", "--degradation", "pixelate", "--degradation.larges", "3") == 2
    assert "did you mean 'largest'?" in capsys.readouterr().err


def test_the_index_is_what_the_library_has():
    assert index.read() == index.build(), "run python -m colddiff.apps.cli.index"


def test_every_setting_of_a_training_is_in_one_group_of_options():
    named = [name for names in train_command.GROUPS.values() for name in names.split()]
    assert sorted(named) == sorted(index.read()["train"].keys() - {"data"}) and len(set(named)) == len(named)


def test_a_tile_is_as_large_as_the_library_has_it():
    assert restore_command.TILE == TILE
