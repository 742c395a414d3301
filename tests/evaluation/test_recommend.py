"""What an evaluation stores as the default of a run."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import tiny
from support.image_folders import pictures
from support.recommending import RECOMMENDED, SETTINGS, measured, store, stored
from torch import nn

from colddiff.apps.cli.commands.train import run as train_restorer
from colddiff.apps.cli.main import main
from colddiff.data import load_data
from colddiff.degradations import GaussianBlur
from colddiff.evaluation import features
from colddiff.evaluation.report import Report, write_card
from colddiff.models.recommended import FILE, Recommended, Setting, recommended_in
from colddiff.models.serialization import SHIPPED, load, save

DATA = load_data("digits", split="test")


def test_an_evaluation_becomes_the_default_of_the_run(folder):
    run = load(folder, device="cpu")
    report = measured(run)
    assert store(run, report) == f"stored as the default of restores: {folder / FILE}"
    again = load(folder, device="cpu")
    assert run.recommended is None and again.recommended == report.recommended != RECOMMENDED
    assert [s.start for s in again.recommended.settings["distortion"]] == [0.5, 1.0]
    assert str(again.recommended) == "40 images of digits"


def test_what_was_measured_on_too_little_or_on_no_pictures_is_not_stored(folder):
    RECOMMENDED.save(folder)
    run = load(folder, device="cpu")
    told = store(run, measured(run, images=31))
    assert told.startswith(
        "not stored as the default of restores: that takes 32 images, and 31 were measured (--save-settings"
    )
    assert "pictures come in 8 bits" in store(run, measured(run, quantize_inputs=False))
    assert "1 were measured" in store(run, measured(run, images=1))
    assert "nothing could be compared" in store(run, measured(run, images=1), "always")
    assert recommended_in(folder) == RECOMMENDED


def test_other_images_and_those_of_the_training_are_not_stored_unless_somebody_says_so(folder, tmp_path):
    run = load(folder, device="cpu")
    RECOMMENDED.save(folder)
    album = pictures(tmp_path / "album", 200, (8, 8))
    other = measured(run, data=load_data(album, split="all", colour="grey"))
    assert f"measured on {album}, and trained on digits (--save-settings always" in store(run, other)
    seen = measured(run, data=load_data("digits", split="train"))
    assert "split 'train' holds images that it was trained on (--save-settings always" in store(run, seen)
    assert "'all' holds" in store(run, measured(run, data=load_data("digits", split="all")))
    assert recommended_in(folder) == RECOMMENDED
    assert store(run, seen, "always") == f"stored as the default of restores: {folder / FILE}"
    assert str(recommended_in(folder)) == "40 images of digits (train)"
    assert "what is there was measured on digits (train) (--save-settings always" in store(run, measured(run))
    assert store(run, measured(run), "always").startswith("stored") and recommended_in(folder).data == "digits"


def test_other_damage_of_the_same_images_is_not_that_of_the_run(folder):
    run = load(folder, device="cpu")
    pairs = replace(run, config=run.config | {"data": run.config["data"] | {"paired_data": "scans"}})
    report = measured(run)
    assert "measured on other images, and trained on scans" in store(pairs, report)
    again = replace(report, protocol=report.protocol | {"paired_data": str(Path("scans").resolve())})
    assert store(pairs, again).startswith("stored")


def test_an_evaluation_replaces_what_was_measured_on_no_more_images_and_nothing_else(folder):
    RECOMMENDED.save(folder)
    run = load(folder, device="cpu")
    assert store(run, measured(run)) == (
        f"stored as the default of restores: {folder / FILE}; kept for distortion one_shot (1 call) at t = 0.25, "
        "improved (3 calls) at t = 1.00, for perception naive (4 calls) at t = 0.50"
    )
    kept = {("distortion", 0.25): 180, ("distortion", 1.0): 180, ("perception", 0.5): 180}
    assert stored(folder) == kept | {("distortion", 0.5): 40}
    assert str(recommended_in(folder)) == "40 to 180 images of digits"
    told = store(run, measured(run, images=39))
    assert told.startswith("not stored as the default of restores: what is there was measured on more images")
    assert store(run, measured(run, images=40, steps=(3,))).startswith("stored")
    store(run, measured(run, images=180, start_times=(1.0,)))
    assert stored(folder) == kept | {("distortion", 0.5): 40}


def test_whoever_wants_nothing_stored_says_so(folder):
    run = load(folder, device="cpu")
    assert (
        store(run, measured(run), "never").endswith("as was asked (--save-settings never)")
        and not (folder / FILE).exists()
    )
    with pytest.raises(ValueError, match="when to store must be auto, always, never, got 'sometimes'"):
        store(run, measured(run), "sometimes")


def test_a_finished_training_that_is_resumed_keeps_what_was_measured_on_more(tmp_path, capsys):
    config = tiny.config(tmp_path / "run", steps=1)
    train_restorer(config, resume=False)
    many = Setting(0.5, "one_shot", 1, 1000)
    run = load(tmp_path / "run", device="cpu")
    Recommended({"distortion": (many,), "perception": SETTINGS["perception"]}, "digits").save(run.path)
    train_restorer(config, resume=True)
    found = recommended_in(run.path).settings
    assert found["distortion"][0] == many and found["distortion"][1].start == 1.0
    assert found["perception"] == SETTINGS["perception"]
    assert "; kept for distortion one_shot (1 call) at t = 0.50, " in capsys.readouterr().out


def test_a_report_that_cannot_be_saved_changes_no_default(folder, monkeypatch):
    def full(*_):
        raise OSError("the disk is full")

    run = load(folder, device="cpu")
    report = measured(run)
    monkeypatch.setattr(Report, "save", full)
    with pytest.raises(OSError, match="full"):
        write_card(run, report)
    assert not (folder / FILE).exists()


class Broken(nn.Module):
    """A restorer that has no answer at one time."""

    def __init__(self, last: float) -> None:
        super().__init__()
        self.weight, self.last = nn.Parameter(torch.zeros(1)), last

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.where((t <= self.last).reshape(-1, 1, 1, 1), torch.nan, x * 0.9)


def test_what_is_not_finite_is_neither_measured_nor_recommended_and_is_said(tmp_path):
    report = measured(tiny.run_of(Broken(0.3), GaussianBlur()), start_times=(0.5, 1.0))
    lost = "naive (2 calls) at t = 0.50, improved (2 calls) at t = 0.50"
    assert f"Left out, as what it made is not finite: {lost}." in report.conclusion
    assert report.protocol["not finite"] == ["naive, 2 at t = 0.50", "improved, 2 at t = 0.50"]
    assert [r["method"] for r in report.rows if r["start"] == 0.5] == ["degraded", "one_shot"]
    assert report.recommended.at(0.5, "distortion").sampler == "one_shot"
    assert report.save(tmp_path)
    nothing = measured(tiny.run_of(Broken(1.0), GaussianBlur()))
    assert nothing.recommended is None and nothing.conclusion[-1] == "Nothing is left to compare."
    assert tmp_path / "worth.png" not in nothing.save(tmp_path)


def test_nothing_is_stored_in_a_run_of_the_library_or_of_the_hub(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHIPPED", folder.parent)
    run = load(folder, device="cpu")
    assert store(run, measured(run)).endswith("the run comes with the library") and not (folder / FILE).exists()
    monkeypatch.setattr(features, "SHIPPED", SHIPPED)
    snapshot = tmp_path / "models--alice--blur" / "snapshots" / "abc"
    shutil.copytree(folder, snapshot)
    cached = load(snapshot, device="cpu")
    assert store(cached, measured(cached)).endswith("the run comes from the hub") and not (snapshot / FILE).exists()
    lost = replace(cached, path=tmp_path / "gone")
    assert store(lost, measured(lost)).endswith("the run has no folder that can be written")


def test_what_was_measured_of_other_weights_goes_with_them(folder):
    RECOMMENDED.save(folder)
    run = load(folder, device="cpu")
    weights = run.net.state_dict()
    save(folder, weights, run.config, run.prior)
    assert run.recommended == load(folder, device="cpu").recommended == RECOMMENDED
    save(folder, {name: value + 1e-6 for name, value in weights.items()}, run.config, run.prior)
    assert load(folder, device="cpu").recommended is None


def test_eval_says_that_it_has_stored_what_it_found(folder, capsys):
    arguments = ["--start", "1", "--steps", "2", "--images", "40", "--device", "cpu", "--perception", "none"]
    assert main(["eval", str(folder), "digits", *arguments]) == 0
    assert f"stored as the default of restores: {folder / FILE}" in capsys.readouterr().out
    assert stored(folder) == {("distortion", 1.0): 40}
    (folder / FILE).unlink()
    for option, told in {"never": "as was asked", "auto": "'all' holds images", "always": "stored as"}.items():
        assert main(["eval", str(folder), "digits", "--split", "all", *arguments, "--save-settings", option]) == 0
        assert told in capsys.readouterr().out.splitlines()[-1] and (folder / FILE).exists() == (option == "always")
