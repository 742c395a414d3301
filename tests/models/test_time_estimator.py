"""How damaged a picture is: what is told of it, how sure that is, and what restores make of it."""

import json
import warnings
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support import tiny
from support.blind import Sees, batches, blind, files, flat, flat_picture, framed, grey, restored
from support.command_line import printed

from colddiff.apps.cli.commands.restore import MOST_LINES
from colddiff.apps.cli.main import main
from colddiff.apps.cli.restore_files import RestoreOptions, restore_files
from colddiff.data import load_data
from colddiff.data.framing import Framing
from colddiff.degradations import GaussianBlur, GaussianMask, Interpolate
from colddiff.models.recommended import Recommended, Setting
from colddiff.models.run import Run
from colddiff.models.serialization import load
from colddiff.models.time_estimator import (
    BINS,
    FILE,
    UNSURE,
    TimeEstimate,
    TimeEstimator,
    features,
    joined,
    posterior,
    targets,
)
from colddiff.training.batches import Batches
from colddiff.training.time_estimator import fit_estimator
from colddiff.training.train import train

CPU = torch.device("cpu")


BLUR = GaussianBlur(sigma_max=3.0)


@pytest.fixture(scope="module")
def fitted():
    return fit_estimator(batches(), batches("test"), 3000, CPU, progress=False)


def test_it_tells_how_blurred_held_out_digits_are(fitted):
    assert float(fitted.error) < 0.04 and 0.85 < float(fitted.coverage) <= 1 and fitted.usable
    x = load_data("digits", split="test")[:64]
    told = [fitted.estimate((BLUR(x, t) * 255).round() / 255) for t in (0.2, 0.5, 0.8)]
    for t, severity in zip((0.2, 0.5, 0.8), told, strict=True):
        assert float((severity.t - t).abs().mean()) < 0.05
        assert bool(((severity.low <= severity.t) & (severity.t <= severity.high)).all())


def test_what_it_says_of_itself_is_what_is_found_on_held_out_pictures(fitted):
    x, errors = load_data("digits", split="test")[:], []
    for t in (0.1, 0.3, 0.5, 0.7, 0.9):
        errors.append((fitted.estimate((BLUR(x, t) * 255).round() / 255).t - t).abs().mean())
    assert float(fitted.error) == pytest.approx(float(torch.stack(errors).mean()), rel=0.5)


def test_it_says_where_nothing_can_be_told():
    faint = GaussianBlur(sigma_max=0.001)
    net = fit_estimator(batches(degradation=faint), batches("test", faint), 2048, CPU, progress=False)
    assert float(net.error) > 0.2 and not net.usable
    told = net.estimate(load_data("digits", split="test")[:8])
    assert float(told.spread.min()) > 0.3, "it is not sure of what cannot be seen"


def test_it_is_the_same_every_time_and_leaves_the_random_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, other = (fit_estimator(batches(), batches("test"), 640, CPU, progress=False) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert torch.equal(before, torch.get_rng_state())
    moved = fit_estimator(replace(batches(), seed=1), batches("test"), 640, CPU, progress=False)
    assert not torch.equal(one.layers[0].weight, moved.layers[0].weight)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 5), (1, 33, 300), (3, 16, 8), (4, 9, 9)])
def test_pictures_of_any_size_and_number_of_channels_are_told(shape):
    seen = features(torch.rand(2, *shape))
    told = TimeEstimator(shape[0]).estimate(torch.rand(2, *shape))
    assert seen.isfinite().all() and told.t.shape == (2,) and bool(((told.t > 0) & (told.t <= 1)).all())


def test_what_is_seen_of_a_large_picture_is_the_mean_of_its_parts():
    x = torch.rand(1, 1, 256, 256)
    wide = features(torch.cat([x, x, x], dim=3))
    assert torch.allclose(wide, features(x), atol=1e-4)


def test_a_picture_is_told_alone_as_among_others(fitted):
    x = (BLUR(load_data("digits", split="test")[:6], 0.5) * 255).round() / 255
    together = fitted.estimate(x).t
    assert torch.allclose(together, torch.cat([fitted.estimate(each[None]).t for each in x]), atol=1e-4)


def test_what_lies_outside_of_the_range_is_what_a_file_would_hold(fitted):
    x = 3 * torch.rand(2, 1, 8, 8) - 1
    assert torch.equal(fitted.estimate(x).t, fitted.estimate(x.clamp(0, 1)).t)


def test_targets_are_read_back_as_the_times_that_they_were_made_of():
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    assert torch.allclose(targets(t).sum(dim=1), torch.ones(19)) and targets(t).shape == (19, BINS)
    told = posterior((targets(t) + 1e-12).log())
    assert float((told.t - t).abs().max()) < 1 / BINS
    assert bool(((told.low <= t) & (t <= told.high)).all()) and float(told.spread.max()) < 2 / BINS


def test_an_even_posterior_has_its_median_in_the_middle():
    told = posterior(torch.zeros(1, BINS))
    assert [round(float(value), 6) for value in (told.low, told.t, told.high)] == [0.05, 0.5, 0.95]


@pytest.fixture
def trained(folder):
    estimator = TimeEstimator(1)
    estimator.error.fill_(0.01)
    estimator.save(folder)
    return folder


@pytest.mark.parametrize("spoil", ["no table", "colours", "infinite", "missing"])
def test_a_file_that_is_none_goes_unused_with_a_warning(spoil, trained):
    file = trained / FILE
    if spoil == "no table":
        file.write_bytes(b"not a table")
    elif spoil == "colours":
        TimeEstimator(3).save(trained)
    else:
        tensors = load_file(file)
        tensors["scale"][0] = float("inf")
        if spoil == "missing":
            del tensors["scale"]
        save_file(tensors, file)
    with pytest.warns(UserWarning, match=r"time_estimator\.safetensors' .*: restores begin at t = 1 where nobody says"):
        run = load(trained, device="cpu")
    assert run.estimator is None and run.default_start(torch.rand(1, 1, 8, 8)) == 1.0


def test_weights_that_overflow_tell_a_time_that_can_be_started_from(trained):
    tensors = {name: torch.full_like(value, 3e38) for name, value in load_file(trained / FILE).items()}
    save_file(tensors | {"error": torch.tensor(0.0), "coverage": torch.tensor(1.0)}, trained / FILE)
    told = load(trained, device="cpu").estimate_time(torch.rand(2, 1, 8, 8))
    assert bool(((told.t > 0) & (told.t <= 1)).all())


def test_restores_begin_at_each_pictures_own_time_and_take_steps_in_proportion():
    run = blind()
    run.restore(grey(0.2, 0.8))
    assert len(run.net.asked) == 4 + 16 and max(t[0] for t in run.net.asked) == pytest.approx(0.8)
    assert [len([*run.walk(grey(value))]) for value in (0.2, 0.8)] == [4, 16]
    assert next(run.walk(grey(0.2, 0.8))).t.tolist() == pytest.approx([0.1875, 0.75])


def test_what_is_given_is_taken():
    run = blind()
    states = [*run.walk(grey(0.2), start=1.0)]
    assert len(states) == 20 and len([*run.walk(grey(0.2), steps=7)]) == 7
    assert next(run.walk(grey(0.2), start=0.5, steps=2)).t.tolist() == [0.25]
    assert len([*run.walk(grey(0.2), sampler="naive")]) == 4


def test_one_that_errs_too_much_is_not_asked():
    run = blind(error=0.11)
    assert not run.can_estimate_time() and run.default_start(grey(0.2)) == 1.0 and len([*run.walk(grey(0.2))]) == 20


def test_a_start_is_on_the_levels_of_the_degradation_without_a_word():
    run = blind(degradation=GaussianMask(num_steps=5))
    assert run.default_start(grey(0.0, 0.33, 0.97)).tolist() == pytest.approx([0.2, 0.4, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.restore(grey(0.33, 0.97), sampler="naive")


def test_what_was_recommended_for_the_nearest_start_is_taken():
    settings = tuple(Setting(start, "naive", steps, 100) for start, steps in ((0.25, 3), (1.0, 9)))
    run = blind(recommended=Recommended({"distortion": settings}, "digits"))
    assert [len([*run.walk(grey(value))]) for value in (0.2, 0.9)] == [3, 9]


def test_pictures_of_any_kind_are_told_in_order():
    run = blind()
    picture = Image.new("L", (8, 8), 51)
    told = run.estimate_time([grey(0.6, 0.4), picture])
    assert told.t.tolist() == pytest.approx([0.6, 0.4, 0.2]) and told.spread.tolist() == pytest.approx([0.01] * 3)
    assert joined([told, told]).t.shape == (6,)
    with pytest.raises(ValueError, match=r"expected images \(B, 1, H, W\)"):
        run.estimate_time(torch.rand(1, 3, 8, 8))


def test_each_picture_is_told_and_begun_by_itself(tmp_path):
    run, lines = blind(), []
    restore_files(
        run, files(tmp_path / "in", 0.2, 0.8), tmp_path / "out", RestoreOptions(Framing(colour="grey")), lines.append
    )
    assert lines[0].startswith("0.png: t = 0.20 +- 0.01, improved (4 calls)")
    assert lines[1].startswith("1.png: t = 0.80 +- 0.01, improved (16 calls)") and len(lines) == 2
    assert max(t[0] for t in run.net.asked) == pytest.approx(0.8)


@pytest.mark.parametrize("given", [{"start": 1.0}, {"degrade": True}])
def test_nothing_is_estimated_where_it_is_known(given, tmp_path):
    run, lines = blind(), []
    job = RestoreOptions(Framing(colour="grey"), steps=2, **given)
    restore_files(run, files(tmp_path / "in", 0.2), tmp_path / "out", job, lines.append)
    assert lines == [] and max(t[0] for t in run.net.asked) == 1.0


def test_a_picture_that_hardly_tells_is_said_to(tmp_path, monkeypatch):
    monkeypatch.setattr(Sees, "estimate", lambda self, x: TimeEstimate(*(torch.tensor([v]) for v in (0.5, 0.1, 0.9))))
    lines = []
    restore_files(
        blind(), files(tmp_path / "in", 0.2), tmp_path / "o", RestoreOptions(Framing(colour="grey")), lines.append
    )
    assert lines[0].startswith("0.png: t = 0.50 +- 0.40 (the picture hardly tells: --start says it), ")


def test_the_command_says_what_it_sees_and_what_it_takes_for_granted(trained, tmp_path, capsys):
    pictures = files(tmp_path / "in", *[0.5] * (MOST_LINES + 2))[0]
    *lines, more, last = printed(capsys, "restore", trained, pictures, "--out", tmp_path / "a", "--device", "cpu")
    assert len(lines) == MOST_LINES and all(" +- " in line for line in lines) and more == "... and 2 more"
    assert "--start" not in last
    told = printed(capsys, "restore", trained, pictures, "--out", tmp_path / "b", "--start", "0.5", "--steps", "1")
    assert len(told) == 1 and "--start" not in told[0]
    assert any(line.startswith("time         off by 0.010 in t") for line in printed(capsys, "inspect", trained))
    (trained / FILE).unlink()
    told = printed(capsys, "restore", trained, pictures, "--out", tmp_path / "c", "--steps", "1")
    assert told[-1].endswith("from t = 1, as no --start said otherwise")


def test_distances_go_with_what_was_told_of_no_single_start(tmp_path):
    where = files(tmp_path / "in", 0.2, 0.8)
    job = RestoreOptions(Framing(colour="grey"), reference=where[0])
    restore_files(blind(), where, tmp_path / "out", job)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["start"] is None


def test_the_run_that_ships_tells_how_blurred_a_digit_is():
    run = load("digits", device="cpu", precision="fp32")
    assert isinstance(run, Run) and run.can_estimate_time() and float(run.estimator.error) < 0.02
    x = load_data("digits", split="test", size=16)[:64]
    for t in (0.2, 0.5, 0.9):
        told = run.estimate_time((run.degrade(x, t) * 255).round() / 255)
        assert float((told.t - t).abs().mean()) < 0.03


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (10, 8)])
def test_pictures_of_about_the_size_of_the_training_are_told(size):
    assert framed().can_estimate_time(flat(0.4, *size)) and float(
        framed().default_start(flat(0.4, *size))
    ) == pytest.approx(0.4)


@pytest.mark.parametrize("size", [(5, 8), (8, 11), (64, 64)])
def test_of_pictures_of_another_size_nothing_is_said_and_they_are_taken_for_the_worst(size):
    run = framed()
    assert run.default_start(flat(0.4, *size)) == 1.0 and len([*run.walk(flat(0.4, *size))]) == 20
    run.net.asked.clear()
    run.restore(flat(0.4, *size))
    assert run.net.asked[0] == [1.0] and len(run.net.asked) == 20
    assert float(run.estimate_time(flat(0.4, *size)).t) == pytest.approx(0.4), "whoever asks is answered"


def test_at_their_own_scale_larger_pictures_are_told_and_smaller_ones_are_not():
    for fit in ("crop", "tiles"):
        run = framed(fit=fit)
        assert (
            float(run.default_start(flat(0.4, 64, 9))) == pytest.approx(0.4)
            and run.default_start(flat(0.4, 64, 5)) == 1.0
        )


def test_larger_pictures_at_their_own_scale_are_told_from_parts_of_the_size_of_the_training():
    training, test = (Batches(load_data("digits", split=split), BLUR, 8, 0) for split in ("train", "test"))
    x, net = test.data[:60], fit_estimator(training, test, 3000, CPU, progress=False)
    run = replace(framed(fit="crop"), estimator=net)
    for t in (0.2, 0.5, 0.8):
        rows = (BLUR(x, t) * 255).round() / 255
        sheet = rows.reshape(6, 10, 8, 8).transpose(1, 2).reshape(1, 1, 48, 80)
        assert float((run.estimate_time(sheet).t - t).abs()) < 0.03
        assert torch.equal(run.estimate_time(rows).t, net.estimate(rows).t), "of the size of the training as ever"


def test_what_does_not_fill_a_part_is_left_out_at_the_edges():
    net, x = TimeEstimator(1), torch.rand(1, 1, 8, 16)
    wider = torch.cat([torch.zeros(1, 1, 8, 3), x, torch.ones(1, 1, 8, 4)], dim=3)
    assert torch.equal(net.estimate_in_parts(wider, (8, 8)).t, net.estimate_in_parts(x, (8, 8)).t)
    halves = torch.stack([features(half) for half in x.split(8, dim=3)])
    pooled, counted = features(x, (8, 8)), slice(0, 17)
    assert torch.allclose(pooled[:, counted], halves.mean(dim=0)[:, counted], atol=1e-5)


def test_the_command_says_of_what_size_it_should_have_been(tmp_path):
    run, file = framed(), flat_picture(tmp_path / "in", 0.4, 24, 32)
    (line,) = restored(run, file, tmp_path / "out")
    assert line == (
        "32x24.png: 32 x 24 pixels, not the 8 x 8 of the training: from t = 1 (--start says otherwise, "
        "or --resize-as-training)"
    )
    assert run.net.asked[0] == [1.0]
    (line,) = restored(run, file, tmp_path / "framed", framing=run.framing)
    assert line.startswith("32x24.png: t = 0.40 +- 0.01, improved (8 calls)")
    (line,) = restored(run, file, tmp_path / "sized", framing=replace(run.framing, size=10))
    assert line.startswith("32x24.png: t = 0.40 +- 0.01")
    (line,) = restored(run, file, tmp_path / "too", framing=replace(run.framing, size=12))
    assert line == "32x24.png: 12 x 12 pixels, not the 8 x 8 of the training: from t = 1 (--start says otherwise)"


@pytest.mark.parametrize("words", [["--resize-as-training"], ["--image-size", "9"]])
def test_pictures_that_are_brought_to_the_size_of_the_training_are_told(words, tmp_path, capsys):
    run = tmp_path / "run"
    train(tiny.config(run, steps=1), progress=False)
    estimator = TimeEstimator(1)
    estimator.error.fill_(0.01)
    estimator.save(run)
    file = flat_picture(tmp_path / "in", 0.4, 24, 32)
    command = ["restore", str(run), str(file), "--device", "cpu", "--steps", "1", "--out"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    assert "32 x 24 pixels, not the 8 x 8" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "brought"), *words]) == 0
    assert " +- " in capsys.readouterr().out


def test_a_picture_that_does_not_say_is_taken_for_the_worst_in_python_and_on_the_command_line(tmp_path):
    run = framed(spread=UNSURE + 0.01)
    assert (
        float(run.default_start(flat(0.4))) == 1.0
        and float(framed(spread=UNSURE - 0.01).default_start(flat(0.4))) < 0.5
    )
    (line,) = restored(run, flat_picture(tmp_path / "in", 0.4), tmp_path / "out")
    assert line == (
        "8x8.png: t = 0.40 +- 0.21 (the picture hardly tells: --start says it), from t = 1, improved (20 calls)"
    )
    assert run.net.asked[0] == [1.0]


def test_a_picture_that_is_damaged_all_the_way_is_in_the_interval():
    logits = torch.zeros(2, BINS)
    logits[0, -1], logits[1, -2] = 20, 20
    found = posterior(logits)
    assert float(found.t[0]) == 1 == float(found.high[0]) and float(found.low[0]) < 1
    assert float(found.high[1]) < 1, "and what is not is not"
    run = load("digits", device="cpu", precision="fp32")
    x = load_data("digits", split="test", size=16)[:64]
    end = run.estimate_time((run.degrade(x, 1.0) * 255).round() / 255)
    assert float(((end.low <= 1) & (end.high >= 1)).double().mean()) > 0.9


def test_what_was_told_of_a_picture_stands_beside_its_distances(tmp_path):
    files = [flat_picture(tmp_path / "in", 0.4), flat_picture(tmp_path / "in", 0.4, 24, 24)]
    job = RestoreOptions(Framing(colour="grey"), reference=tmp_path / "in")
    restore_files(framed(), files, tmp_path / "out", job)
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())["pictures"]
    assert [row.get("time") for row in rows] == [{"t": 0.4, "low": 0.39, "high": 0.41}, None]


@pytest.mark.parametrize("error, coverage", [(-0.1, 0.9), (0.01, 1.1), (0.01, -0.1), (3e38, 2.0)])
def test_a_file_that_says_of_itself_what_cannot_be_goes_unused(error, coverage, tmp_path):
    run = train(tiny.config(tmp_path / "run", steps=1), progress=False)
    estimator = TimeEstimator(1)
    estimator.error.fill_(error)
    estimator.coverage.fill_(coverage)
    estimator.save(run.path)
    with pytest.warns(UserWarning, match="which cannot be; copy it again: restores begin at t = 1"):
        assert load(run.path, device="cpu").estimator is None


def test_one_that_lies_beside_a_conditional_run_goes_unused(tmp_path):
    beside = tiny.config(tmp_path / "run", steps=1, condition=BLUR, restorer=replace(tiny.NET, cond_channels=1))
    run = train(beside, progress=False)
    TimeEstimator(1).save(run.path)
    assert load(run.path, device="cpu").estimator is None


def test_one_that_lies_beside_a_run_of_pairs_goes_unused(tmp_path):
    for name in ("clean", "damaged"):
        for i in range(12):
            flat_picture(tmp_path / name, i / 12).rename(tmp_path / name / f"{i}.png")
    pairs = {"data": str(tmp_path / "clean"), "paired_data": str(tmp_path / "damaged"), "degradation": Interpolate()}
    run = train(tiny.config(tmp_path / "run", steps=1, **pairs), progress=False)
    TimeEstimator(1).save(run.path)
    assert load(run.path, device="cpu").estimator is None


def test_one_colour_tells_nothing_and_no_picture_nothing_to_tell():
    run = load("digits", device="cpu", precision="fp32")
    seen = run.estimate_time(torch.ones(2, 1, 16, 16))
    assert bool((seen.spread > 0.4).all()) and run.default_start(torch.zeros(1, 1, 16, 16)) == 1.0
    assert len(run.estimate_time([]).t) == len(run.estimate_time(torch.zeros(0, 1, 16, 16)).t) == 0
    with pytest.raises(ValueError, match="expected images"):
        run.estimate_time(torch.zeros(1, 1, 0, 16))
