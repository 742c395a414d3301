"""What an evaluation found best is what restores take, until somebody chooses otherwise."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from folders import pictures
from hostile import CONFIGS
from torch import nn

from colddiff import perception
from colddiff import run as runs
from colddiff.checkpoint import SHIPPED, load, save
from colddiff.cli import main
from colddiff.commands import train_restorer
from colddiff.data import load_data
from colddiff.degradations import GaussianBlur, GaussianMask
from colddiff.publish import stage
from colddiff.recommended import FILE, MOST_CALLS, MOST_STARTS, Recommended, Setting, recommended_in
from colddiff.report import evaluate, store, write_card
from colddiff.training import train

DATA = load_data("digits", split="test")
SETTINGS = {
    "distortion": (Setting(0.25, "one_shot", 1), Setting(1.0, "improved", 3)),
    "perception": (Setting(0.5, "naive", 4),),
}
RECOMMENDED = Recommended(SETTINGS, "digits", 180)


class Counting(nn.Module):
    """A restorer that counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.calls = nn.Parameter(torch.zeros(1)), 0

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * 0.9


def calls(recommended: Recommended | None, degradation=None, **chosen) -> int:
    """Of the restorer, for a restore."""
    run = replace(tiny.run_of(Counting(), degradation or GaussianBlur()), recommended=recommended)
    run.restore(torch.rand(2, 1, 8, 8), **chosen)
    return run.net.calls


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tiny.config(tmp_path_factory.mktemp("recommended") / "run", steps=1), progress=False).path


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of a run that nothing recommends anything for."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def measured(run: runs.Run, images: int = 40, **options):
    return evaluate(run, DATA, starts=(0.5, 1.0), steps=(2,), images=images, progress=False, **options)


# --- what a restore takes --------------------------------------------------------------------------------------------


def test_without_a_recommendation_twenty_calls_are_taken():
    assert calls(None) == calls(None, goal="perception") == 20
    assert tiny.run_of(Counting(), GaussianBlur()).setting() == Setting(1.0, "improved", 20)


@pytest.mark.parametrize(
    ("start", "count"), [(0.1, 1), (0.25, 1), (0.6, 1), (0.7, 3), (1.0, 3), (torch.tensor([0.1, 0.9]), 3)]
)
def test_the_nearest_start_that_was_measured_is_taken(start, count):
    assert calls(RECOMMENDED, start=start) == count


def test_what_is_recommended_is_what_is_done():
    x, run = torch.rand(2, 1, 8, 8), tiny.run_of(tiny.NET.build(), GaussianBlur())
    known = replace(run, recommended=RECOMMENDED)
    assert torch.equal(known.restore(x), run.restore(x, sampler="improved", steps=3))
    asked = known.restore(x, start=0.5, goal="perception")
    assert torch.equal(asked, run.restore(x, start=0.5, sampler="naive", steps=4))
    walked = [*known.walk(x, start=0.5, goal="perception")]
    assert len(walked) == 4 and torch.equal(walked[-1].x.clamp(0, 1), asked)


def test_what_is_chosen_wins():
    x, run = torch.rand(2, 1, 8, 8), tiny.run_of(tiny.NET.build(), GaussianBlur())
    known = replace(run, recommended=RECOMMENDED)
    for chosen in ({"steps": 7}, {"sampler": "naive"}, {"sampler": "one_shot"}, {"sampler": "naive", "steps": 2}):
        assert torch.equal(known.restore(x, start=0.2, **chosen), run.restore(x, start=0.2, **chosen)), chosen
    assert calls(RECOMMENDED, start=0.2, steps=7) == 7 and calls(RECOMMENDED, start=0.2, sampler="naive") == 20


def test_a_goal_that_was_not_measured_gets_what_suits_the_degradation():
    known = Recommended({"distortion": SETTINGS["distortion"]}, "digits", 180)
    assert calls(known) == 3 and calls(known, goal="perception") == 20
    with pytest.raises(ValueError, match="goal must be distortion or perception, got 'beauty'"):
        calls(None, goal="beauty")


def test_where_there_are_fewer_levels_no_more_calls_are_taken():
    known = Recommended({"distortion": (Setting(1.0, "naive", 3),)}, "digits", 180)
    assert calls(known, GaussianMask(num_steps=8), start=0.25) == 2
    assert calls(known, GaussianMask(num_steps=8), start=1.0) == 3


# --- what an evaluation stores ---------------------------------------------------------------------------------------


def test_an_evaluation_becomes_the_default_of_the_run(folder):
    run = load(folder, device="cpu")
    report = measured(run)
    assert store(run, report) == f"stored as the default of restores: {folder / FILE}"
    again = load(folder, device="cpu")
    assert run.recommended is None and again.recommended == report.recommended != RECOMMENDED
    assert [s.start for s in again.recommended.settings["distortion"]] == [0.5, 1.0]
    assert str(again.recommended) == "40 images of digits"


def test_a_later_evaluation_replaces_an_earlier_one_unless_it_saw_too_little(folder):
    RECOMMENDED.save(folder)
    run = load(folder, device="cpu")
    told = store(run, measured(run, images=31))
    assert told == "not stored as the default of restores: that takes 32 images, and 31 were measured"
    assert "pictures come in 8 bits" in store(run, measured(run, eight_bit=False))
    assert "1 were measured" in store(run, measured(run, images=1))
    assert recommended_in(folder) == RECOMMENDED
    store(run, measured(run, images=32))
    assert recommended_in(folder).images == 32


def test_nothing_is_stored_in_a_run_of_the_library_or_of_the_hub(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(perception, "SHIPPED", folder.parent)
    run = load(folder, device="cpu")
    assert store(run, measured(run)).endswith("the run comes with the library") and not (folder / FILE).exists()
    monkeypatch.setattr(perception, "SHIPPED", SHIPPED)
    snapshot = tmp_path / "models--alice--blur" / "snapshots" / "abc"
    shutil.copytree(folder, snapshot)
    cached = load(snapshot, device="cpu")
    assert store(cached, measured(cached)).endswith("the run comes from the hub") and not (snapshot / FILE).exists()
    lost = replace(cached, path=tmp_path / "gone")
    assert store(lost, measured(lost)).endswith("the run has no folder that can be written")


def test_what_was_measured_of_other_weights_goes_with_them(folder):
    RECOMMENDED.save(folder)
    run = load(folder, device="cpu")
    save(folder, run.net.state_dict(), run.config, run.prior)
    assert run.recommended == RECOMMENDED and load(folder, device="cpu").recommended is None


# --- a file that anybody may have written -----------------------------------------------------------------------------


def told(**changes) -> bytes:
    return json.dumps(RECOMMENDED.to_dict() | changes).encode()


def one(**changes) -> bytes:
    return told(goals={"distortion": [{"start": 1.0, "sampler": "improved", "steps": 3} | changes]})


HOSTILE = {
    "sampler": one(sampler="os.system"),
    "sampler-list": one(sampler=["improved"]),
    "many-calls": one(steps=MOST_CALLS + 1),
    "no-calls": one(steps=0),
    "half-calls": one(steps=2.5),
    "true-calls": one(steps=True),
    "start": one(start=1.5),
    "start-zero": one(start=0),
    "start-huge": one(start=10**300),
    "start-text": one(start="1"),
    "start-nan": one(start=float("nan")),
    "no-steps": told(goals={"distortion": [{"start": 1.0, "sampler": "improved"}]}),
    "list": b"[1, 2]",
    "nothing": told(goals={}),
    "no-start": told(goals={"distortion": []}),
    "goals": told(goals=["distortion"]),
    "goal": told(goals={"distortion": {"start": 1.0}}),
    "many-starts": told(goals={"distortion": [{"start": 1.0, "sampler": "naive", "steps": 1}] * (MOST_STARTS + 1)}),
    "data": told(measured={"data": "x" * 201, "images": 9}),
    "images": told(measured={"data": "digits", "images": "many"}),
    "many-images": told(measured={"data": "digits", "images": 10**300}),
    "unmeasured": told(measured=None),
    "large": told(note="x" * 2**20),
    "deep": CONFIGS["deep"][0],
    "latin": CONFIGS["latin"][0],
    "empty": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_recommendation_is_left_out_with_one_warning(name, folder):
    (folder / FILE).write_bytes(HOSTILE[name])
    with pytest.warns(UserWarning, match="restores go without a recommendation, measure again") as warned:
        run = load(folder, device="cpu")
    assert len(warned) == 1 and "\n" not in str(warned[0].message)
    assert run.recommended is None and run.setting().steps == 20


def test_what_the_hostile_ones_were_made_from_is_read(folder):
    (folder / FILE).write_bytes(told(note="what nobody knows is passed over"))
    assert load(folder, device="cpu").recommended == RECOMMENDED
    (folder / FILE).write_bytes(one(steps=MOST_CALLS))
    assert load(folder, device="cpu").setting().steps == MOST_CALLS


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / FILE)
    with pytest.warns(UserWarning, match="is a pipe or device, not a file"):
        assert load(folder, device="cpu").recommended is None


def test_what_is_stored_is_not_written_through_a_link(folder, tmp_path):
    (tmp_path / "precious").write_text("mine")
    (folder / FILE).symlink_to(tmp_path / "precious")
    run = load("digits", device="cpu")
    store(replace(run, path=folder), measured(run))
    assert (tmp_path / "precious").read_text() == "mine" and not (folder / FILE).is_symlink()


# --- the commands and the card ---------------------------------------------------------------------------------------


def colddiff_restore(folder: Path, tmp_path: Path, *more: str) -> int:
    given = pictures(tmp_path / "given", 1, (8, 8)) if not (tmp_path / "given").exists() else tmp_path / "given"
    arguments = ["restore", str(folder), str(given), "--out", str(tmp_path / "out"), "--overwrite", "--device", "cpu"]
    return main([*arguments, *more])


def test_restore_says_in_a_line_what_it_takes(folder, tmp_path, capsys):
    RECOMMENDED.save(folder)
    assert colddiff_restore(folder, tmp_path) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("improved (3 calls): recommended for distortion, measured on 180 images of digits")
    assert colddiff_restore(folder, tmp_path, "--goal", "perception", "--start", "0.9") == 0
    assert capsys.readouterr().out.startswith("naive (4 calls): recommended for perception, ")
    for chosen in (("--steps", "2"), ("--sampler", "one_shot")):
        assert colddiff_restore(folder, tmp_path, *chosen) == 0
        assert "recommended" not in capsys.readouterr().out
    (folder / FILE).unlink()
    assert colddiff_restore(folder, tmp_path) == 0
    assert "call" not in capsys.readouterr().out
    assert colddiff_restore(folder, tmp_path, "--goal", "perception") == 0
    assert capsys.readouterr().out.startswith("improved (20 calls): nothing was measured for perception ")


def test_restored_files_are_what_was_recommended(folder, tmp_path):
    RECOMMENDED.save(folder)
    made = {}
    for name, chosen in {
        "distortion": (), "three": ("--sampler", "improved", "--steps", "3"),
        "perception": ("--goal", "perception"), "four": ("--sampler", "naive", "--steps", "4"),
    }.items():  # fmt: skip
        assert colddiff_restore(folder, tmp_path, *chosen) == 0
        made[name] = next((tmp_path / "out").rglob("*.png")).read_bytes()
    assert made["distortion"] == made["three"] != made["perception"] == made["four"]


def test_of_a_strangers_recommendation_no_folder_is_published(folder, tmp_path):
    Recommended(SETTINGS, "/home/alice/secret/album", 180).save(folder)
    (tmp_path / "staged").mkdir()
    with pytest.warns(UserWarning, match="nothing was measured"):
        stage(load(folder, device="cpu"), tmp_path / "staged", "alice/blur")
    assert recommended_in(tmp_path / "staged") == Recommended(SETTINGS, "album", 180)
    assert "secret" not in (tmp_path / "staged" / "README.md").read_text()


def test_inspect_and_the_card_tell_the_default(folder, capsys):
    evil = Recommended(SETTINGS, "\x1b[2J[a](//b) digits", 180)
    evil.save(folder)
    run = load(folder, device="cpu")
    assert main(["inspect", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "for distortion one_shot (1 call) at t = 0.25, improved (3 calls) at t = 1.00, measured on 180" in said
    assert "for perception naive (4 calls) at t = 0.50" in said and "\x1b" not in said
    write_card(run, measured(run, images=2))
    card = (folder / "README.md").read_text()
    assert "\n- for perception naive (4 calls) at t = 0.50\n" in card and FILE in card
    assert "\x1b" not in card and "\n[a](//b)" not in card and " [a](//b)" not in card


def test_eval_says_that_it_has_stored_what_it_found(folder, capsys):
    arguments = ["--start", "1", "--steps", "2", "--images", "40", "--device", "cpu", "--perception", "none"]
    assert main(["eval", str(folder), "digits", *arguments]) == 0
    assert f"stored as the default of restores: {folder / FILE}" in capsys.readouterr().out
    assert load(folder, device="cpu").recommended.images == 40


def test_a_training_leaves_a_run_with_a_default(tmp_path, capsys):
    train_restorer(tiny.config(tmp_path / "run", steps=1), resume=False)
    found = load(tmp_path / "run", device="cpu").recommended
    assert [s.start for s in found.settings["distortion"]] == [0.5, 1.0] and found.images >= 128
    assert f"stored as the default of restores: {tmp_path / 'run' / FILE}" in capsys.readouterr().out
    assert f"- {found.lines()[0]}\n" in (tmp_path / "run" / "README.md").read_text()
