"""How damaged a picture is: what is told of it, how sure that is, and what restores make of it."""

import json
import signal
import warnings
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support import tiny

from colddiff import viz
from colddiff.cli import main
from colddiff.commands import MOST_LINES
from colddiff.data import load_data
from colddiff.data.framing import Framing
from colddiff.degradations import GaussianBlur, GaussianMask, Interpolate
from colddiff.models.recommended import Recommended, Setting
from colddiff.models.run import Run
from colddiff.models.serialization import load
from colddiff.models.time_estimator import BINS, FILE, Severity, SeverityEstimator, features, joined, posterior, targets
from colddiff.restoring import Job, restore_files
from colddiff.samplers.early_stopping import Settled
from colddiff.training.batches import Batches
from colddiff.training.time_estimator import FEWEST, SHARE, fit_estimator, images_within, worth_fitting
from colddiff.training.train import train
from colddiff.utils.signals import Interrupted

CPU = torch.device("cpu")
BLUR = GaussianBlur(sigma_max=3.0)


def batches(split="train", degradation=BLUR, **changes):
    return Batches(load_data("digits", split=split), degradation, 8, 0, **changes)


@pytest.fixture(scope="module")
def fitted():
    return fit_estimator(batches(), batches("test"), 3000, CPU, progress=False)


class Sees(SeverityEstimator):
    """An estimator that takes the mean of a picture for its time."""

    def __init__(self, channels=1, error=0.0):
        super().__init__(channels)
        self.error.fill_(error)

    def severity(self, x):
        t = x.mean(dim=(1, 2, 3)).double().cpu()
        return Severity(t, t - 0.01, t + 0.01)


def grey(*values):
    return torch.stack([torch.full((1, 8, 8), value) for value in values])


def blind(net=None, degradation=BLUR, error=0.0, **changes):
    return replace(tiny.run_of(net or tiny.Counting(), degradation), estimator=Sees(error=error), **changes)


# --- what it tells ---------------------------------------------------------------------------------------------------


def test_it_tells_how_blurred_held_out_digits_are(fitted):
    assert float(fitted.error) < 0.04 and 0.85 < float(fitted.coverage) <= 1 and fitted.usable
    x = load_data("digits", split="test")[:64]
    told = [fitted.severity((BLUR(x, t) * 255).round() / 255) for t in (0.2, 0.5, 0.8)]
    for t, severity in zip((0.2, 0.5, 0.8), told, strict=True):
        assert float((severity.t - t).abs().mean()) < 0.05
        assert bool(((severity.low <= severity.t) & (severity.t <= severity.high)).all())


def test_what_it_says_of_itself_is_what_is_found_on_held_out_pictures(fitted):
    x, errors = load_data("digits", split="test")[:], []
    for t in (0.1, 0.3, 0.5, 0.7, 0.9):
        errors.append((fitted.severity((BLUR(x, t) * 255).round() / 255).t - t).abs().mean())
    assert float(fitted.error) == pytest.approx(float(torch.stack(errors).mean()), rel=0.5)


def test_it_says_where_nothing_can_be_told():
    faint = GaussianBlur(sigma_max=0.001)
    net = fit_estimator(batches(degradation=faint), batches("test", faint), 2048, CPU, progress=False)
    assert float(net.error) > 0.2 and not net.usable
    told = net.severity(load_data("digits", split="test")[:8])
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
    told = SeverityEstimator(shape[0]).severity(torch.rand(2, *shape))
    assert seen.isfinite().all() and told.t.shape == (2,) and bool(((told.t > 0) & (told.t <= 1)).all())


def test_what_is_seen_of_a_large_picture_is_the_mean_of_its_parts():
    x = torch.rand(1, 1, 256, 256)
    wide = features(torch.cat([x, x, x], dim=3))
    assert torch.allclose(wide, features(x), atol=1e-4)


def test_a_picture_is_told_alone_as_among_others(fitted):
    x = (BLUR(load_data("digits", split="test")[:6], 0.5) * 255).round() / 255
    together = fitted.severity(x).t
    assert torch.allclose(together, torch.cat([fitted.severity(each[None]).t for each in x]), atol=1e-4)


def test_what_lies_outside_of_the_range_is_what_a_file_would_hold(fitted):
    x = 3 * torch.rand(2, 1, 8, 8) - 1
    assert torch.equal(fitted.severity(x).t, fitted.severity(x.clamp(0, 1)).t)


def test_targets_are_read_back_as_the_times_that_they_were_made_of():
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    assert torch.allclose(targets(t).sum(dim=1), torch.ones(19)) and targets(t).shape == (19, BINS)
    told = posterior((targets(t) + 1e-12).log())
    assert float((told.t - t).abs().max()) < 1 / BINS
    assert bool(((told.low <= t) & (t <= told.high)).all()) and float(told.spread.max()) < 2 / BINS


def test_an_even_posterior_has_its_median_in_the_middle():
    told = posterior(torch.zeros(1, BINS))
    assert [round(float(value), 6) for value in (told.low, told.t, told.high)] == [0.05, 0.5, 0.95]


# --- beside a training -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(tiny.config(tmp_path_factory.mktemp("whole") / "run", steps=64), progress=False)


def test_a_training_leaves_one_that_a_run_reads_back(whole):
    run = whole
    assert run.estimator is not None and run.blind and (run.path / FILE).stat().st_size < 160_000
    x = run.degrade(load_data("digits", split="test")[:32], 0.6)
    assert float((run.severity(x).t - 0.6).abs().mean()) < 0.1
    again = load(run.path, device="cpu")
    assert torch.equal(again.severity(x).t, run.severity(x).t)


def test_a_training_that_was_stopped_there_goes_on_to_the_same(whole, tmp_path, monkeypatch):
    seen = []

    def stop(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        seen.append(options["stopped"]())
        return fit_estimator(*arguments, **options)

    monkeypatch.setattr("colddiff.training.train.fit_estimator", stop)
    cut = tiny.config(tmp_path / "cut", steps=64)
    with pytest.raises(Interrupted):
        train(cut, progress=False)
    assert seen == [True] and not (tmp_path / "cut" / FILE).exists()
    monkeypatch.undo()
    assert train(cut, resume=True, progress=False).config["step"] == 64
    assert (tmp_path / "cut" / FILE).read_bytes() == (whole.path / FILE).read_bytes()
    monkeypatch.setattr("colddiff.training.train.fit_estimator", pytest.fail)  # what is there is not made again
    train(cut, resume=True, progress=False)


def test_a_training_that_saw_too_little_goes_without(tmp_path):
    run = train(tiny.config(tmp_path / "run", steps=2), progress=False)
    assert run.estimator is None and not run.blind and not (run.path / FILE).exists()
    with pytest.raises(ValueError, match="nothing that tells how damaged a picture is: train with blind"):
        run.severity(torch.rand(1, 1, 8, 8))


def test_it_learns_from_as_much_as_the_training_is_worth(tmp_path):
    plain, shape = tiny.config(tmp_path), (1, 8, 8)
    assert worth_fitting(plain, 10**6, shape) == 64_000 and worth_fitting(plain, 100, shape) == 3200
    assert worth_fitting(plain, 10**6, shape, most=5000) == 5000 and worth_fitting(plain, 10, shape) == 0
    assert FEWEST < worth_fitting(plain, 10**6, (3, 512, 512)) < 10_000, "large ones tell more, and take longer"
    pairs = {"degradation": Interpolate(), "damaged": "b"}
    for other in ({"blind": False}, {"condition": BLUR, "degradation": GaussianBlur()}, pairs):
        assert worth_fitting(tiny.config(tmp_path, **other), 10**6, shape) == 0


def test_a_budget_spares_a_tenth_at_most(tmp_path):
    spared, count = images_within(1.0, tiny.config(tmp_path), batches(), CPU)
    assert 0 < spared <= SHARE and 0 < count < 64_000
    assert images_within(1.0, tiny.config(tmp_path, blind=False), batches(), CPU) == (0.0, 0)


# --- files of others -------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path):
    run = train(tiny.config(tmp_path / "run", steps=1), progress=False)
    estimator = SeverityEstimator(1)
    estimator.error.fill_(0.01)
    estimator.save(run.path)
    return run.path


@pytest.mark.parametrize("spoil", ["no table", "colours", "infinite", "missing"])
def test_a_file_that_is_none_goes_unused_with_a_warning(spoil, trained):
    file = trained / FILE
    if spoil == "no table":
        file.write_bytes(b"not a table")
    elif spoil == "colours":
        SeverityEstimator(3).save(trained)
    else:
        tensors = load_file(file)
        tensors["scale"][0] = float("inf")
        if spoil == "missing":
            del tensors["scale"]
        save_file(tensors, file)
    with pytest.warns(UserWarning, match=r"severity\.safetensors' .*: restores begin at t = 1 where nobody says"):
        run = load(trained, device="cpu")
    assert run.estimator is None and run.starts(torch.rand(1, 1, 8, 8)) == 1.0


def test_weights_that_overflow_tell_a_time_that_can_be_started_from(trained):
    tensors = {name: torch.full_like(value, 3e38) for name, value in load_file(trained / FILE).items()}
    save_file(tensors | {"error": torch.tensor(0.0), "coverage": torch.tensor(1.0)}, trained / FILE)
    told = load(trained, device="cpu").severity(torch.rand(2, 1, 8, 8))
    assert bool(((told.t > 0) & (told.t <= 1)).all())


# --- what restores make of it ----------------------------------------------------------------------------------------


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
    assert not run.blind and run.starts(grey(0.2)) == 1.0 and len([*run.walk(grey(0.2))]) == 20


def test_a_start_is_on_the_levels_of_the_degradation_without_a_word():
    run = blind(degradation=GaussianMask(num_steps=5))
    assert run.starts(grey(0.0, 0.33, 0.97)).tolist() == pytest.approx([0.2, 0.4, 1.0])
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
    told = run.severity([grey(0.6, 0.4), picture])
    assert told.t.tolist() == pytest.approx([0.6, 0.4, 0.2]) and told.spread.tolist() == pytest.approx([0.01] * 3)
    assert joined([told, told]).t.shape == (6,)
    with pytest.raises(ValueError, match=r"expected images \(B, 1, H, W\)"):
        run.severity(torch.rand(1, 3, 8, 8))


# --- the command line ------------------------------------------------------------------------------------------------


def files(folder, *values):
    folder.mkdir()
    for i, value in enumerate(values):
        viz.to_image(grey(value)[0]).save(folder / f"{i}.png")
    return [folder]


def test_each_picture_is_told_and_begun_by_itself(tmp_path):
    run, lines = blind(), []
    restore_files(run, files(tmp_path / "in", 0.2, 0.8), tmp_path / "out", Job(Framing(colour="grey")), lines.append)
    assert lines[0].startswith("0.png: t = 0.20 +- 0.01, improved (4 calls)")
    assert lines[1].startswith("1.png: t = 0.80 +- 0.01, improved (16 calls)") and len(lines) == 2
    assert max(t[0] for t in run.net.asked) == pytest.approx(0.8)


@pytest.mark.parametrize("given", [{"start": 1.0}, {"degrade": True}])
def test_nothing_is_estimated_where_it_is_known(given, tmp_path):
    run, lines = blind(), []
    job = Job(Framing(colour="grey"), steps=2, **given)
    restore_files(run, files(tmp_path / "in", 0.2), tmp_path / "out", job, lines.append)
    assert lines == [] and max(t[0] for t in run.net.asked) == 1.0


def test_a_picture_that_hardly_tells_is_said_to(tmp_path, monkeypatch):
    monkeypatch.setattr(Sees, "severity", lambda self, x: Severity(*(torch.tensor([v]) for v in (0.5, 0.1, 0.9))))
    lines = []
    restore_files(blind(), files(tmp_path / "in", 0.2), tmp_path / "o", Job(Framing(colour="grey")), lines.append)
    assert lines[0].startswith("0.png: t = 0.50 +- 0.40 (the picture hardly tells: --start says it), ")


def command(capsys, *words):
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_command_says_what_it_sees_and_what_it_takes_for_granted(trained, tmp_path, capsys):
    pictures = files(tmp_path / "in", *[0.5] * (MOST_LINES + 2))[0]
    *lines, more, last = command(capsys, "restore", trained, pictures, "--out", tmp_path / "a", "--device", "cpu")
    assert len(lines) == MOST_LINES and all(" +- " in line for line in lines) and more == "... and 2 more"
    assert "--start" not in last
    told = command(capsys, "restore", trained, pictures, "--out", tmp_path / "b", "--start", "0.5", "--steps", "1")
    assert len(told) == 1 and "--start" not in told[0]
    assert any(line.startswith("severity     off by 0.010 in t") for line in command(capsys, "inspect", trained))
    (trained / FILE).unlink()
    told = command(capsys, "restore", trained, pictures, "--out", tmp_path / "c", "--steps", "1")
    assert told[-1].endswith("from t = 1, as no --start said otherwise")


def test_distances_go_with_what_was_told_of_no_single_start(tmp_path):
    where = files(tmp_path / "in", 0.2, 0.8)
    job = Job(Framing(colour="grey"), reference=where[0])
    restore_files(blind(), where, tmp_path / "out", job)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["start"] is None


# --- stopping early --------------------------------------------------------------------------------------------------


def asked_of(R, times):
    x = torch.zeros(1, 1, 4, 4)
    return [R(x, torch.tensor([t])) for t in times]


def test_a_restorer_whose_answers_rest_is_asked_no_more():
    net = tiny.Counting(pace=0.0)
    R = Settled(net)
    answers = asked_of(R, (1.0, 0.8, 0.6, 0.4))
    assert len(net.asked) == 2 == R.calls and all(torch.equal(answer, answers[0]) for answer in answers)


@pytest.mark.parametrize("pace", [0.001, 0.004, 0.02])
def test_at_a_constant_pace_what_is_left_out_is_below_half_a_level(pace):
    net = tiny.Counting(pace=pace)
    answers = asked_of(Settled(net), [k / 100 for k in range(100, 0, -1)])
    assert float((answers[-1] - 0.5).abs().max()) <= 1 / 510 + 1e-6
    assert len(net.asked) < 100 or pace * 0.01 > 1 / 510


def test_each_image_rests_by_itself():
    asked = []

    def pace(x, t):
        asked.append(len(x))
        return x * t.reshape(-1, 1, 1, 1).to(x.dtype)

    R, x = Settled(pace), torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    for t in (1.0, 0.9, 0.8):
        answer = R(x, torch.tensor([t, t]))
    assert asked == [2, 2, 1]
    assert torch.equal(answer[0], torch.zeros(1, 2, 2)) and torch.allclose(answer[1], torch.full((1, 2, 2), 0.8))


def test_times_that_stand_still_are_no_reason_to_rest():
    net = tiny.Counting(pace=0.0)
    asked_of(Settled(net), (0.5, 0.5, 0.5))
    assert len(net.asked) == 3


def test_digits_that_settled_are_those_of_the_whole_walk_to_within_a_level():
    run = load("digits", device="cpu", precision="fp32")
    x = (run.degrade(load_data("digits", split="test", size=16)[:4], 0.5) * 255).round() / 255
    whole, settled = (run.restore(x, start=0.5, steps=20, sampler="improved", settle=s) for s in (False, True))
    assert float(((whole * 255).round() - (settled * 255).round()).abs().max()) <= 1
    answers = [state.x0 for state in run.walk(x, start=0.5, steps=20, sampler="improved", settle=True)]
    assert torch.equal(answers[-1], answers[-2]), "the last answer was not asked for"


def test_restores_settle_where_nobody_chose_and_else_take_every_step():
    for how, calls in (({}, 2), ({"steps": 10}, 10), ({"start": 0.5}, 20), ({"settle": False}, 10)):
        net = tiny.Counting(pace=0.0)
        blind(net).restore(grey(0.5), **how)
        assert len(net.asked) == calls, how
        net.asked.clear()
        list(blind(net).walk(grey(0.5), **how))
        assert len(net.asked) == calls, how


def test_the_command_tells_how_many_calls_were_spared(tmp_path):
    lines = []
    job = Job(Framing(colour="grey"))
    restore_files(blind(tiny.Counting(pace=1e-5)), files(tmp_path / "in", 0.5), tmp_path / "out", job, lines.append)
    assert lines == ["0.png: t = 0.50 +- 0.01, improved (10 calls), 8 of them spared"]


def test_the_run_that_ships_tells_how_blurred_a_digit_is():
    run = load("digits", device="cpu")
    assert isinstance(run, Run) and run.blind and float(run.estimator.error) < 0.02
    x = load_data("digits", split="test", size=16)[:64]
    for t in (0.2, 0.5, 0.9):
        told = run.severity((run.degrade(x, t) * 255).round() / 255)
        assert float((told.t - t).abs().mean()) < 0.03
