"""Pairs of clean and damaged pictures, with no formula for the damage, are trained on and restored."""

import itertools
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from support import tiny
from support.command_line import command
from torch import nn

from colddiff import Compose, GaussianBlur, Interpolate, load, train
from colddiff.data import load_data
from colddiff.training.batches import Batches
from colddiff.training.checkpoints import snapshots
from colddiff.training.loop import Loop
from colddiff.training.setup import data_for, prior_for
from colddiff.utils.signals import Interrupted

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Thirty textured pictures, each also damaged: inverted and darker."""
    root = tmp_path_factory.mktemp("pairs")
    generator = np.random.default_rng(0)
    for name in ("clean", "damaged"):
        (root / name / "deep").mkdir(parents=True)
    for i in range(30):
        pixels = generator.integers(0, 256, (8, 8)).astype(np.uint8)
        name = f"deep/{i:02d}" if i % 3 == 0 else f"{i:02d}"
        Image.fromarray(pixels).save(root / "clean" / f"{name}.png")
        Image.fromarray((255 - pixels) // 2).save(root / "damaged" / f"{name}.bmp")
    return root


def config(folders, out, **changes):
    plain = {"data": str(folders / "clean"), "paired_data": str(folders / "damaged"), "degradation": Interpolate()}
    return tiny.config(out, **plain | changes)


def damage(x):
    """What the damaged half of a pair is, in [0, 1]."""
    return torch.div(255 - (x * 255).round(), 2, rounding_mode="floor") / 255


# --- what a step sees ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augmentation", [{}, {"flip": True}, {"shift": 3}, {"flip": True, "shift": 2}], ids=str)
def test_the_endpoint_is_augmented_exactly_as_the_clean_image(augmentation, folders):
    data = load_data(folders / "clean", paired_data=folders / "damaged")
    plain, moved = (Batches(data, Interpolate(), 64, 0, **a).at(5, CPU) for a in ({}, augmentation))
    assert torch.allclose(moved.params["endpoint"], damage(moved.x0), atol=1e-6)
    changed = (moved.x0 != plain.x0).flatten(1).any(dim=1).float().mean()
    if augmentation.get("shift"):
        assert float(changed) > 0.8
    else:
        assert 0.3 < float(changed) < 0.7 if augmentation else not changed
        assert torch.equal(moved.t, plain.t) or augmentation


def test_pairs_of_a_batch_are_those_of_its_positions_whatever_its_size(folders):
    data = load_data(folders / "clean", paired_data=folders / "damaged")
    whole = Batches(data, Interpolate(), 40, 3, flip=True, shift=2).at(0, CPU)
    parts = [Batches(data, Interpolate(), 8, 3, flip=True, shift=2).at(8 * i, CPU) for i in range(5)]
    for read in (lambda b: b.x0, lambda b: b.t, lambda b: b.params["endpoint"]):
        assert torch.equal(torch.cat([read(part) for part in parts]), read(whole))


def test_validation_sees_every_pair_once_and_as_it_is(folders):
    data = load_data(folders / "clean", split="all", paired_data=folders / "damaged")
    batches = [*Batches(data, Interpolate(), 8, 0, flip=True, shift=3).one_pass(CPU)]
    x0, endpoint = torch.cat([b.x0 for b in batches]), torch.cat([b.params["endpoint"] for b in batches])
    assert torch.equal(x0, data[:]) and torch.allclose(endpoint, damage(x0), atol=1e-6)
    assert len(torch.cat([b.t for b in batches]).unique()) == 30


@pytest.mark.parametrize("num_steps", [1, 4])
def test_training_draws_times_on_the_levels_alone(num_steps, folders):
    data = load_data(folders / "clean", paired_data=folders / "damaged")
    op = Interpolate(num_steps=num_steps)
    for batch in (Batches(data, op, 64, 0).at(0, CPU), next(Batches(data, op, 27, 0).one_pass(CPU))):
        assert {float(t) for t in batch.t} == {k / num_steps for k in range(1, num_steps + 1)}
        if num_steps == 1:
            assert torch.allclose(op(batch.x0, batch.t, batch.params), batch.params["endpoint"], atol=1e-6)


def test_between_levels_a_chain_is_still_a_straight_line():
    x, y = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    for t in (0.0, 0.1, 0.25, 0.6, 1.0):
        assert float(Interpolate(num_steps=4)(x, t, {"endpoint": y}).mean()) == pytest.approx(t)
    with pytest.raises(ValueError, match="num_steps must be >= 1, got 0"):
        Interpolate(num_steps=0)


# --- training --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(folders, tmp_path_factory):
    """A run that saw nothing but pairs, and only their endpoints."""
    spec = tiny.NET.from_config(tiny.NET.to_config() | {"attention_levels": 0})
    chosen = config(
        folders, tmp_path_factory.mktemp("trained") / "run", degradation=Interpolate(num_steps=1), steps=150,
        restorer=spec, lr=2e-2, ema_decay=0.9, flip=True, max_shift=1,
    )  # fmt: skip
    return train(chosen, progress=False), chosen


def test_a_run_undoes_damage_that_it_has_no_formula_for(trained, folders):
    run, _ = trained
    held = load_data(folders / "clean", split="test", paired_data=folders / "damaged")
    x, x0 = held.params_at(slice(None))["endpoint"], held[:]
    error, before = ((restored - x0).square().mean().sqrt() for restored in (run.restore(x), x))
    assert error < 0.5 * before


def test_a_restore_needs_nothing_but_the_picture(trained, folders):
    run = load(trained[1].out, device="cpu")
    file = folders / "damaged" / "01.bmp"
    with Image.open(file) as image:
        restored = run.restore(image)
        assert np.array_equal(np.asarray(run.restore(file)), np.asarray(restored)) and restored.size == (8, 8)
        x = torch.from_numpy(np.asarray(image).copy())[None, None] / 255
    *_, state = run.walk(x)
    times = torch.ones(1, dtype=torch.float64)
    assert torch.allclose(state.x, run.R(x, times), atol=1e-5), "with one level it is one call"


def test_halfway_the_endpoint_is_estimated_and_the_walk_ends_in_the_answer(folders):
    x0, y = load_data(folders / "clean")[:3], torch.rand(3, 1, 8, 8)
    run = tiny.run_of(tiny.Oracle(x0), Interpolate())
    x = (x0 + y) / 2
    for sampler in ("improved", "naive", "estimated", "one_shot"):
        states = [*run.walk(x, start=0.5, steps=4, sampler=sampler)]
        assert torch.allclose(states[-1].x, x0, atol=1e-6)
        if sampler != "one_shot":
            assert torch.allclose(states[0].x, x0 + 0.375 * (y - x0), atol=1e-5)


def test_a_run_of_pairs_says_that_it_does_not_generate(trained):
    run = load(trained[1].out, device="cpu")
    assert run.prior is None and run.config["prior"] is None
    with pytest.raises(ValueError, match="has no prior to start from: it restores, and does not generate"):
        run.sample(2)
    assert not (Path(trained[1].out) / "prior.safetensors").exists()


def test_the_run_says_which_pairs_it_was_trained_on(trained, folders):
    told = json.loads((Path(trained[1].out) / "config.json").read_text())
    assert told["data"]["paired_data"] == str(folders / "damaged") and "relative path" in told["data"]["pairs"]
    assert told["training"]["paired_data"] == str(folders / "damaged")
    assert (Path(trained[1].out) / "samples" / "step-00000150.png").is_file()


def test_a_network_of_ones_own_learns_from_pairs_too(folders, tmp_path):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Conv2d(1, 1, 1)

        def forward(self, x, t):
            return self.last(x)

    run = train(config(folders, tmp_path / "run", restorer=None, steps=2), net=Own(), progress=False)
    assert run.restore(torch.rand(1, 1, 8, 8)).shape == (1, 1, 8, 8)


HARD = {"steps": 6, "flip": True, "max_shift": 2, "grad_accumulation": 2, "degradation": Interpolate(num_steps=3)}


def test_a_training_on_pairs_goes_on_to_the_last_bit(folders, tmp_path, monkeypatch):
    train(config(folders, tmp_path / "whole", **HARD), progress=False)
    original, calls = Loop.step, itertools.count()

    def stopping(self):
        if next(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return original(self)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Loop, "step", stopping)
        train(config(folders, tmp_path / "cut", **HARD), progress=False)
    train(config(folders, tmp_path / "cut", **HARD), resume=True, progress=False)
    whole, cut = (load_file(snapshots(tmp_path / name)[-1] / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    with pytest.raises(ValueError, match="cannot resume with other settings: paired_data was"):
        other = config(folders, tmp_path / "cut", **HARD | {"paired_data": str(folders / "clean" / "deep")})
        train(other, resume=True, progress=False)


def test_the_damaged_half_is_what_is_trained_on(folders, tmp_path):
    runs = []
    for name, damaged in (("right", folders / "damaged"), ("wrong", tmp_path / "black")):
        for file in folders.glob("damaged/**/*.bmp") if name == "wrong" else ():
            target = damaged / file.relative_to(folders / "damaged")
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8)).save(target)
        runs.append(train(config(folders, tmp_path / name, paired_data=str(damaged), steps=2), progress=False))
    assert not torch.equal(*(tiny.weights(run.net) for run in runs))


def test_one_that_goes_to_a_degradation_needs_no_pairs(tmp_path):
    chosen = tiny.config(tmp_path / "run", degradation=Interpolate(to=GaussianBlur(sigma_max=3), num_steps=1), steps=2)
    run = train(chosen, progress=False)
    assert run.prior is not None and run.sample(1, steps=1).shape == (1, 1, 8, 8)


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"paired_data": None},
            r"interpolate has no endpoint of its own: name the damaged images .*--paired-data FOLDER",
        ),
        ({"degradation": GaussianBlur()}, "gaussian_blur has no use for damaged images: leave them out, or train thr"),
        ({"degradation": Interpolate(to=GaussianBlur())}, "interpolate has no use for damaged images"),
        ({"prior": "uniform"}, "what is trained on pairs restores, and does not generate: leave prior out"),
        (
            {"degradation": Compose(parts=(Interpolate(),))},
            "compose needs 0.endpoint from the data, which bring no more",
        ),
        ({"predict": "epsilon"}, "is for gaussian_noise only"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, told, folders, tmp_path):
    with pytest.raises(ValueError, match=told):
        config(folders, tmp_path / "run", **changes)


def test_an_endpoint_at_any_depth_of_interpolations_is_that_of_the_pairs(folders, tmp_path):
    chosen = config(folders, tmp_path / "run", degradation=Interpolate(to=Interpolate()))
    assert prior_for(chosen, load_data(folders / "clean")) is None
    assert chosen == replace(chosen) == type(chosen).from_config(json.loads(json.dumps(chosen.to_config())))


def test_the_data_of_a_training_bring_the_pairs(folders, tmp_path):
    chosen = config(folders, tmp_path / "run", image_size=6, resize_mode="crop", colour="rgb")
    data = data_for(chosen)
    assert data.images.shape == data.params["endpoint"].shape == (len(load_data(folders / "clean")), 3, 6, 6)


# --- command line ----------------------------------------------------------------------------------------------------

TINY = ["--steps", "2", "--batch-size", "4", "--device", "cpu", "--restorer", "unet", "--restorer.width", "8"]
TINY += ["--restorer.multipliers", "[1]", "--restorer.blocks", "1"]


@pytest.mark.parametrize("num_steps", [None, 1], ids=["continuous", "endpoints"])
def test_the_command_trains_on_pairs_measures_and_restores(num_steps, folders, tmp_path, capsys):
    pairs = [folders / "clean", "--paired-data", folders / "damaged", "--degradation", "interpolate"]
    levels = [] if num_steps is None else ["--degradation.num_steps", num_steps]
    assert command("train", *pairs, *levels, "--out", tmp_path / "run", *TINY) == 0
    told = capsys.readouterr()
    assert "| 1.00 | improved |" in told.out and "warning" not in told.err
    where = [folders / "damaged", "--reference", folders / "clean", "--out", tmp_path / "out"]
    assert command("restore", tmp_path / "run", *where) == 0
    told = capsys.readouterr()
    assert "30 pictures, restored, in" in told.out and told.err == ""
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())["pictures"]
    x0, x = (load_data(folders / name, split="all")[:] for name in ("clean", "damaged"))
    assert sum(row["damaged"]["rmse"] for row in rows) / 30 == pytest.approx(
        float((x - x0).square().mean(dim=(1, 2, 3)).sqrt().mean()), rel=1e-5
    )
    assert command("sample", tmp_path / "run", "--out", tmp_path / "grid.png") == 2
    assert "it restores, and does not generate" in capsys.readouterr().err


@pytest.fixture
def measured(monkeypatch):
    """What a command would measure on what, and the training images that it found, instead of measuring."""
    seen = {}

    class Nothing:
        recommended, protocol = None, {"input": "float32"}

        def to_markdown(self):
            return ""

        def save(self, *where):
            return []

    def evaluate(run, data, **options):
        seen.update(options, data=data)
        return Nothing()

    monkeypatch.setattr("colddiff.evaluation.report.evaluate", evaluate)
    monkeypatch.setattr("colddiff.evaluation.report.write_card", lambda run, report: None)
    return seen


def test_eval_takes_the_damaged_halves_of_the_run_however_its_folder_is_spelled(
    trained, folders, measured, tmp_path, monkeypatch
):
    monkeypatch.chdir(folders)
    for spelled in ("clean", "clean/", "./clean", folders / "clean", folders / "damaged" / ".." / "clean"):
        measured.clear()
        assert command("eval", trained[1].out, spelled, "--perception", "none", "--out", tmp_path / "report") == 0
        assert "endpoint" in measured["data"].params


def test_eval_reads_pictures_with_the_share_of_broken_ones_that_the_training_had(folders, measured, tmp_path, capsys):
    clean, damaged = tmp_path / "clean", tmp_path / "damaged"
    shutil.copytree(folders / "clean", clean)
    shutil.copytree(folders / "damaged", damaged)
    for file in sorted(damaged.glob("*.bmp"))[:12]:
        file.unlink()
    pairs = [clean, "--paired-data", damaged, "--degradation", "interpolate", "--max-unreadable", "0.9"]
    assert command("train", *pairs, "--out", tmp_path / "run", *TINY) == 0
    rest = ["--perception", "none", "--split", "train", "--out", tmp_path / "report"]
    assert command("eval", tmp_path / "run", clean, *rest) == 0
    assert "left out" in capsys.readouterr().err and len(measured["data"]) < 25


def test_training_images_that_only_a_run_names_are_asked_for(trained, folders, measured, tmp_path, capsys, monkeypatch):
    pytest.importorskip("torchmetrics")
    config = json.loads((Path(trained[1].out) / "config.json").read_text())
    shutil.copytree(trained[1].out, tmp_path / "run")
    rest = ["--paired-data", folders / "damaged", "--perception", "classifier", "--out", tmp_path / "report"]
    for place in (str(tmp_path / "gone"), "owner/album"):
        config["data"]["data"] = place
        (tmp_path / "run" / "config.json").write_text(json.dumps(config))
        assert command("eval", tmp_path / "run", folders / "clean", *rest) == 0
        told = capsys.readouterr().err
        assert "is not opened because a file says so: name it with --train-data" in told and told.count("\n") == 1
        assert measured["train_data"] is None
    named = []

    def read(source, **options):
        named.append((source, options["split"]))
        return load_data(folders / "clean", **options)

    monkeypatch.setattr("colddiff.data.dataset.load_data", read)
    assert command("eval", tmp_path / "run", "owner/album", *rest) == 0
    assert ("owner/album", "train") in named and len(measured["train_data"]) and not capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--degradation", "interpolate"], "name the damaged images as paired_data (--paired-data FOLDER)"),
        (
            ["--degradation", "gaussian_blur", "--paired-data", "DAMAGED"],
            "has no use for damaged images: leave them out",
        ),
        (["--degradation", "interpolate", "--paired-data", "none"], "no data at 'none'"),
        (["--degradation", "interpolate", "--paired-data", "CLEAN"], "clean and damaged pictures are both"),
        (["--degradation", "interpolate", "--paired-data", "DAMAGED", "--prior", "uniform"], "leave prior out"),
        (["--degradation", "interpolate", "--degradation.num_steps", "0"], "num_steps must be >= 1"),
        (["--degradation", "interpolate", "--paired-data", "EMPTY"], "EMPTY"),
    ],
)
def test_a_mistake_with_pairs_ends_in_one_line(arguments, told, folders, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    places = {"DAMAGED": folders / "damaged", "CLEAN": folders / "clean", "EMPTY": tmp_path / "empty"}
    given = [places.get(a, a) for a in arguments]
    assert command("train", folders / "clean", *given, "--out", tmp_path / "run", *TINY) == 2
    line = capsys.readouterr().err
    assert line.startswith("colddiff: ") and line.count("\n") == 1, line
    assert str(places.get(told, told)) in line and not (tmp_path / "run").exists()
