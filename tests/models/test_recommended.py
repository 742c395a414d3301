"""What an evaluation found best is what restores take, until somebody chooses otherwise."""

import os
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import tiny
from support.hostile_files import CONFIGS
from support.image_folders import pictures
from support.recommending import RECOMMENDED, SETTINGS, measured, store, stored, told
from torch import nn

from colddiff.apps.cli.commands.train import run as train_restorer
from colddiff.apps.cli.main import main
from colddiff.data import load_data
from colddiff.degradations import (
    BlurNoise,
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    Interpolate,
    IteratedBlur,
    PixelMask,
    PixelNoise,
)
from colddiff.degradations.schedules import Power
from colddiff.evaluation.conclusion import Outcome, recommend
from colddiff.evaluation.measure import eval_cases
from colddiff.evaluation.report import write_card
from colddiff.interop.huggingface import stage
from colddiff.models import run as runs
from colddiff.models.recommended import FILE, LEFT_ALONE, MOST_CALLS, MOST_STARTS, Recommended, Setting, recommended_in
from colddiff.models.serialization import load
from colddiff.samplers.algorithms import SAMPLERS
from colddiff.samplers.sample import supports
from colddiff.training.train import train

DATA = load_data("digits", split="test")


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


def test_without_a_recommendation_twenty_calls_are_taken():
    assert calls(None) == calls(None, goal="perception") == 20
    assert tiny.run_of(Counting(), GaussianBlur()).default_settings() == Setting(1.0, "improved", 20)


@pytest.mark.parametrize(
    ("start", "count"), [(0.1, 1), (0.25, 1), (0.6, 1), (0.7, 3), (1.0, 3), (torch.tensor([0.1, 0.9]), 1 + 3)]
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
    known = Recommended({"distortion": SETTINGS["distortion"]}, "digits")
    assert calls(known) == 3 and calls(known, goal="perception") == 20
    with pytest.raises(ValueError, match="goal must be distortion or perception, got 'beauty'"):
        calls(None, goal="beauty")


def test_where_there_are_fewer_levels_no_more_calls_are_taken():
    known = Recommended({"distortion": (Setting(1.0, "naive", 3, 180),)}, "digits")
    assert calls(known, GaussianMask(num_steps=8), start=0.25) == 2
    assert calls(known, GaussianMask(num_steps=8), start=1.0) == 3


@pytest.mark.filterwarnings("ignore:.* steps on 30 levels")
@pytest.mark.parametrize("steps", [2, 5, 20, 40])
def test_what_a_restore_walks_is_what_was_measured_where_levels_are_uneven(steps, monkeypatch):
    """Of so many steps many fall on one level; asked for as many as there were, others would."""
    op = IteratedBlur(num_steps=30, schedule=Power(exponent=3))
    run = tiny.run_of(tiny.NET.build(), op)
    cell = next(c for c in eval_cases(op, (0.5,), (steps,)) if c.method == "improved")
    distances = [torch.full((40,), value) for value in (0.5, 0.4, 0.1)]
    ways = [Outcome("degraded", cell.start, 0, distances[0]), Outcome("one_shot", cell.start, 1, distances[1])]
    best = Outcome("improved", cell.start, len(cell.times) - 1, distances[2], steps=cell.steps)
    known = replace(run, recommended=Recommended(recommend([*ways, best]), "digits"))
    grids = []
    monkeypatch.setattr(runs, "restore", lambda R, D, x, times, **_: grids.append(times) or iter(()))
    known.restore(torch.rand(1, 1, 8, 8), start=cell.start)
    assert torch.equal(grids[0], cell.times) and len(cell.times) - 1 == best.calls
    assert f"improved ({best.calls} call" in known.recommended.lines(op.level_times())[0]


def test_what_is_restored_does_not_depend_on_the_images_beside():
    torch.manual_seed(0)
    x, start = torch.rand(4, 1, 8, 8), torch.tensor([0.2, 1.0, 0.6, 0.9])
    blur = replace(tiny.run_of(tiny.NET.build(), GaussianBlur()), recommended=RECOMMENDED)
    uneven = tiny.run_of(tiny.NET.build(), IteratedBlur(num_steps=30, schedule=Power(exponent=3)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # starts are between levels
        for run, chosen in ((blur, {}), (blur, {"goal": "perception"}), (uneven, {}), (uneven, {"sampler": "naive"})):
            together = run.restore(x, start=start, **chosen)
            alone = [run.restore(x[i : i + 1], start=start[i : i + 1], **chosen) for i in range(4)]
            assert torch.allclose(together, torch.cat(alone), atol=1e-6), chosen
    listed = blur.restore([x[0], x[1:3], x[3]], start=start)
    assert torch.allclose(torch.cat([listed[0][None], listed[1], listed[2][None]]), blur.restore(x, start=start))


def test_a_goal_is_looked_at_before_all_else():
    run, x = tiny.run_of(Counting(), GaussianBlur()), torch.rand(1, 1, 8, 8)
    for chosen in ({}, {"steps": 2}, {"sampler": "naive"}, {"sampler": "one_shot", "steps": 1}):
        for restored in (run.restore, run.walk):
            with pytest.raises(ValueError, match="goal must be distortion or perception, got 'percepton'"):
                restored(x, goal="percepton", **chosen)
    assert not run.net.calls


def one(**changes) -> bytes:
    return told(goals={"distortion": [{"start": 1.0, "sampler": "improved", "steps": 3, "images": 9} | changes]})


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
    "no-steps": told(goals={"distortion": [{"start": 1.0, "sampler": "improved", "images": 9}]}),
    "beaten-by-text": one(beaten_by="[a](//b)"),
    "beaten-by-much": one(beaten_by="x" * 41),
    "beaten-by-list": one(beaten_by=["wiener"]),
    "list": b"[1, 2]",
    "nothing": told(goals={}),
    "no-start": told(goals={"distortion": []}),
    "goals": told(goals=["distortion"]),
    "goal": told(goals={"distortion": {"start": 1.0}}),
    "many-starts": told(
        goals={"distortion": [{"start": 1.0, "sampler": "naive", "steps": 1, "images": 9}] * (MOST_STARTS + 1)}
    ),
    "data": told(measured={"data": "x" * 201}),
    "images": one(images="many"),
    "no-images": one(images=0),
    "many-images": one(images=10**300),
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
    assert run.recommended is None and run.default_settings().steps == 20


def test_what_the_hostile_ones_were_made_from_is_read(folder):
    (folder / FILE).write_bytes(told(note="what nobody knows is passed over"))
    assert load(folder, device="cpu").recommended == RECOMMENDED
    (folder / FILE).write_bytes(one(steps=MOST_CALLS))
    assert load(folder, device="cpu").default_settings().steps == MOST_CALLS


@pytest.mark.parametrize("sampler", ["momentum", "estimated", "ddpm"])
def test_a_sampler_that_cannot_undo_the_degradation_is_left_out_and_the_others_stay(sampler, folder):
    (folder / FILE).write_bytes(one(sampler=sampler))
    with pytest.warns(UserWarning, match=f"{sampler}, which cannot undo the run's degradation: restores go") as warned:
        run = load(folder, device="cpu")
    assert len(warned) == 1 and run.recommended is None and len(run.restore(torch.rand(1, 1, 8, 8))) == 1
    beside = Setting(0.5, sampler, 3, 9)
    Recommended({"distortion": (beside, Setting(1.0, "naive", 2, 9)), "perception": (beside,)}, "digits").save(folder)
    with pytest.warns(UserWarning, match="restores go without that"):
        known = load(folder, device="cpu").recommended
    assert known.settings == {"distortion": (Setting(1.0, "naive", 2, 9),)}


@pytest.mark.parametrize("op", [GaussianBlur(), GaussianNoise(), BlurNoise(), PixelMask(), PixelNoise(), Interpolate()])
def test_whatever_is_said_to_walk_does_and_nothing_else(op):
    x, given = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    run = tiny.run_of(tiny.NET.build(), op)
    x = op(x, 1.0, {"endpoint": given} if op.required_params else op.draw(x, torch.Generator().manual_seed(0)))
    for name in SAMPLERS:
        if supports(name, op):
            run.restore(x.clamp(-3, 4), sampler=name, steps=2)
        else:
            with pytest.raises((ValueError, NotImplementedError, KeyError)):
                run.restore(x.clamp(-3, 4), sampler=name, steps=2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / FILE)
    with pytest.warns(UserWarning, match="is a pipe or device, not a file"):
        assert load(folder, device="cpu").recommended is None


def test_what_is_stored_is_not_written_through_a_link(folder, tmp_path):
    (tmp_path / "precious").write_text("mine")
    (folder / FILE).symlink_to(tmp_path / "precious")
    run = load("digits", device="cpu", precision="fp32")
    store(replace(run, path=folder), measured(run))
    assert (tmp_path / "precious").read_text() == "mine" and not (folder / FILE).is_symlink()


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


def test_restore_says_what_it_will_do_at_that_start(tmp_path, capsys):
    run = train(tiny.config(tmp_path / "run", steps=1, degradation=GaussianMask(num_steps=8)), progress=False)
    RECOMMENDED.save(run.path)
    assert colddiff_restore(run.path, tmp_path, "--start", "0.75") == 0
    assert capsys.readouterr().out.startswith("improved (3 calls): recommended for distortion, measured on 180 images")
    Recommended({"distortion": (Setting(0.5, "naive", 20, 180),)}, "digits").save(run.path)
    assert colddiff_restore(run.path, tmp_path, "--start", "0.25") == 0
    assert capsys.readouterr().out.startswith("naive (2 calls): recommended")
    assert main(["inspect", str(run.path)]) == 0 and "naive (4 calls) at t = 0.50" in capsys.readouterr().out
    write_card(run, measured(run, images=2))
    assert "naive (4 calls) at t = 0.50" in (run.path / "README.md").read_text()


def test_a_goal_that_chooses_nothing_is_said_to(folder, tmp_path, capsys):
    RECOMMENDED.save(folder)
    for name, value in (("--steps", "3"), ("--sampler", "naive")):
        assert colddiff_restore(folder, tmp_path, "--goal", "perception", name, value) == 0
        first = capsys.readouterr().out.splitlines()[0]
        assert first == f"--goal perception chooses nothing here: {name} was given"


@pytest.mark.parametrize("better", ["wiener", LEFT_ALONE])
def test_what_is_as_good_without_a_network_is_said_wherever_the_default_is(better, folder, tmp_path, capsys):
    Recommended({"distortion": (Setting(1.0, "improved", 2, 180, better),)}, "digits").save(folder)
    assert colddiff_restore(folder, tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        f"measured on 180 images of digits, from t = 1.00: {better}, without a network, is at least as good for "
        "distortion; of the network improved (2 calls) is best; --sampler or --steps choose otherwise"
    )
    line = f"for distortion improved (2 calls) at t = 1.00 ({better}, without a network, is at least as good)"
    assert main(["inspect", str(folder)]) == 0
    assert line in capsys.readouterr().out
    run = load(folder, device="cpu")
    write_card(run, measured(run, images=2))
    assert f"\n- {line}\n" in (folder / "README.md").read_text()


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
    Recommended(SETTINGS, "/home/alice/secret/album").save(folder)
    (tmp_path / "staged").mkdir()
    with pytest.warns(UserWarning, match="nothing was measured"):
        stage(load(folder, device="cpu"), tmp_path / "staged", "alice/blur")
    assert recommended_in(tmp_path / "staged") == Recommended(SETTINGS, "album")
    assert "secret" not in (tmp_path / "staged" / "README.md").read_text()


def test_inspect_and_the_card_tell_the_default(folder, capsys):
    evil = Recommended(SETTINGS, "\x1b[2J[a](//b) digits")
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


def test_a_training_leaves_a_run_with_a_default(tmp_path, capsys):
    train_restorer(tiny.config(tmp_path / "run", steps=1), resume=False)
    found = load(tmp_path / "run", device="cpu").recommended
    assert [s.start for s in found.settings["distortion"]] == [0.5, 1.0] and min(
        stored(tmp_path / "run").values()
    ) >= 128
    assert f"stored as the default of restores: {tmp_path / 'run' / FILE}" in capsys.readouterr().out
    assert f"- {found.lines()[0]}\n" in (tmp_path / "run" / "README.md").read_text()
