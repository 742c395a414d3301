"""Time can be made linear in a metric, and a grid equally spaced in Wasserstein distance."""

import json
import shutil
import warnings

import pytest
import torch
from support import tiny
from support.calibrating import NEW, SEEN
from support.run_files import assert_same
from torch import Tensor

import colddiff as cd
from colddiff import viz
from colddiff.degradations import Degradation
from colddiff.evaluation.calibration import Sample, measure_at, straightness
from colddiff.samplers.time_grid import default_grid, time_grid
from colddiff.testing import check_degradation
from colddiff.training.checkpoints import snapshots
from colddiff.training.train import train

PHOTOS = cd.load_data("photos")


HELD_OUT = cd.load_data("photos", split="test")


NOISE = cd.GaussianNoise(betas=cd.LinearBetas(num_steps=50))


TIMES = torch.linspace(0, 1, 21, dtype=torch.float64)


STRAIGHT: list[Degradation] = [
    cd.GaussianBlur(),
    cd.GaussianBlur(schedule=cd.Power(exponent=2)),
    cd.IteratedBlur(),
    cd.GaussianNoise(),
    cd.GaussianNoise(betas=cd.CosineBetas()),
    cd.Pixelate(),
    cd.PixelMask(),
    cd.Compose(parts=(cd.Desaturate(), cd.GaussianBlur())),
]


def times_of(metric: str) -> Tensor:
    """The times for which a metric is to be linear."""
    return TIMES[1:] if metric == "psnr" else TIMES


@pytest.mark.parametrize("metric", ["psnr", "rmse"])
@pytest.mark.parametrize("op", STRAIGHT, ids=str)
def test_a_metric_of_images_that_were_not_seen_is_linear_in_calibrated_time(op, metric):
    times = times_of(metric)
    calibrated = cd.calibrate(op, SEEN, metric)
    before, after = (straightness(times, measure_at(d, NEW, times, metric)) for d in (op, calibrated))
    assert after >= 0.99 and before < after


def test_ssim_is_linear_in_calibrated_time():
    calibrated = cd.calibrate(cd.GaussianBlur(), SEEN[:24], "ssim", knots=9)
    assert straightness(TIMES, measure_at(calibrated, NEW[:32], TIMES, "ssim")) > 0.99


def test_a_line_is_straight_and_a_square_is_not():
    assert straightness(TIMES, 3 - 2 * TIMES) == pytest.approx(1)
    assert 0.9 < straightness(TIMES, TIMES**2) < 0.97


def test_psnr_is_linear_from_t_min_where_the_damage_stays_what_it_was():
    op = cd.GaussianBlur(schedule=cd.Power(exponent=2))
    for t_min in (0.05, 0.2, 0.21):  # which is no knot: the nearest is taken
        schedule = cd.calibrate(op, SEEN, t_min=t_min).schedule
        begins = round(t_min * 20) / 20
        times = torch.tensor([begins, begins / 2], dtype=torch.float64)
        assert schedule(times).tolist() == pytest.approx([begins**2, begins**2 / 2])
    assert cd.calibrate(op, SEEN, "rmse", t_min=0.2) == cd.calibrate(op, SEEN, "rmse")


def test_only_the_schedule_is_another_one():
    op = cd.IteratedBlur(num_steps=7, schedule=cd.Cosine())
    calibrated = cd.calibrate(op, SEEN)
    assert calibrated.to_config() | {"schedule": None} == op.to_config() | {"schedule": None}
    assert type(calibrated.schedule) is cd.PiecewiseLinear and len(calibrated.schedule.values) == 21


def test_what_was_there_as_a_schedule_is_no_matter():
    ways = [cd.calibrate(cd.Pixelate(schedule=s), SEEN, "rmse") for s in (cd.Linear(), cd.Power(), cd.Cosine())]
    assert ways[0] == ways[1] == ways[2] == cd.calibrate(ways[0], SEEN, "rmse")


def test_levels_stay_at_other_times():
    op = cd.IteratedBlur(num_steps=10)
    calibrated = cd.calibrate(op, SEEN)
    moved, plain = calibrated.level_times(), op.level_times()
    assert moved[0] == 0 and moved[-1] == 1 and float((moved - plain).abs().max()) > 0.1
    assert torch.equal(calibrated(SEEN, float(moved[3])), op(SEEN, 0.3))


def test_a_callable_is_a_metric():
    def distance(x, x0):
        return (x - x0).abs().mean(dim=(1, 2, 3))

    calibrated = cd.calibrate(cd.GaussianBlur(), SEEN, distance)
    assert straightness(TIMES, measure_at(calibrated, NEW, TIMES, distance)) > 0.99


def test_what_is_infinite_where_images_are_clean_begins_at_t_min():
    calibrated = cd.calibrate(cd.GaussianBlur(), SEEN, lambda x, x0: (x - x0).square().mean(dim=(1, 2, 3)).log())
    assert calibrated.schedule(torch.tensor(0.05, dtype=torch.float64)) == pytest.approx(0.05)


@pytest.mark.parametrize("op", [cd.GaussianNoise(), cd.PixelMask()], ids=str)
def test_calibration_is_the_same_every_time_and_for_every_caller(op):
    torch.manual_seed(0)
    first = cd.calibrate(op, SEEN)
    torch.manual_seed(1)
    assert cd.calibrate(op, SEEN) == first and cd.calibrate(op, SEEN, seed=1) != first


def test_params_do_not_depend_on_how_many_images_are_damaged_at_a_time():
    sample = Sample.of(cd.PixelMask(), SEEN[:5], None, 0)
    (whole,) = (D.params["rank"] for _, D in sample.batches())
    parts = [D.params["rank"] for _, D in sample.batches(numbers=2 * SEEN[0].numel())]
    assert len(parts) == 3 and torch.equal(torch.cat(parts), whole)


def test_image_data_bring_their_images_and_params():
    calibrated = cd.calibrate(cd.GaussianBlur(), cd.ImageData(PHOTOS.images[:48]))
    assert calibrated == cd.calibrate(cd.GaussianBlur(), SEEN)
    pairs = cd.from_images(PHOTOS.images[:48], PHOTOS.images[:48].flip(0))
    op, given = cd.Interpolate(), {"endpoint": SEEN.flip(0)}
    assert cd.calibrate(op, pairs) == cd.calibrate(op, SEEN, params=given)


@pytest.mark.parametrize(
    "op", [cd.GaussianBlur(), cd.IteratedBlur(num_steps=6), cd.PixelMask(), cd.Pixelate()], ids=str
)
def test_a_calibrated_degradation_keeps_every_promise(op):
    calibrated = cd.calibrate(op, SEEN)
    check_degradation(calibrated)
    assert Degradation.from_config(json.loads(json.dumps(calibrated.to_config()))) == calibrated


def test_calibrated_noise_keeps_every_promise():
    check_degradation(cd.calibrate(cd.GaussianNoise(), SEEN))


def test_pictures_that_say_nothing_are_left_out():
    flat, broken = torch.full_like(SEEN[:2], 0.3), torch.full_like(SEEN[:1], torch.nan)
    with_them, without = (cd.calibrate(cd.GaussianBlur(), x) for x in (torch.cat([SEEN, flat, broken]), SEEN))
    # Images of another batch are summed in another order.
    assert with_them.schedule.values == pytest.approx(without.schedule.values, abs=1e-6)


def from_bad(op: Degradation = cd.GaussianBlur(), images: object = SEEN, *arguments: object, **named: object) -> object:
    return cd.calibrate(op, images, *arguments, **named)  # type: ignore[arg-type]


BACK = cd.from_callable(lambda x, s: x + s * (1.2 - s))


MISTAKES = {
    "up and down": ((BACK,), ValueError, "psnr of .* is not monotone: it goes back by .* from severity 0.62 to 1"),
    "still": ((cd.Desaturate(), SEEN.mean(1, keepdim=True).expand(-1, 3, -1, -1), "rmse"), ValueError, "does not move"),
    "flat": ((cd.GaussianBlur(), torch.full((3, 1, 8, 8), 0.5)), ValueError, "finite for none of 3 images"),
    "nan": ((cd.GaussianBlur(), torch.full((3, 1, 8, 8), torch.nan)), ValueError, "hold nan"),
    "empty": ((cd.GaussianBlur(), SEEN[:0]), ValueError, "expected images to measure on, got none"),
    "no images": ((cd.GaussianBlur(), PHOTOS.images), TypeError, "expected a float tensor of images .* torch.uint8"),
    "one image alone": ((cd.GaussianBlur(), SEEN[0]), ValueError, r"x\[None\] makes a batch of one"),
    "no operator": (("gaussian_blur",), TypeError, "expected a degradation, got str"),
    "a misspelt metric": ((cd.GaussianBlur(), SEEN, "pnsr"), LookupError, "did you mean 'psnr'"),
    "no metric": ((cd.GaussianBlur(), SEEN, 3), TypeError, "metric must be one of psnr, ssim, rmse or a callable"),
    "a metric of all": ((cd.GaussianBlur(), SEEN, lambda x, y: x.mean()), TypeError, r"one number per image, \(48,\)"),
    "a param that lacks": ((cd.Interpolate(), SEEN), TypeError, "needs the param 'endpoint'"),
}


@pytest.mark.parametrize("row", MISTAKES)
def test_what_cannot_be_calibrated_is_told_in_a_sentence(row):
    arguments, kind, said = MISTAKES[row]
    with pytest.raises(kind, match=said):
        from_bad(*arguments)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"knots": 2}, "knots must be a whole number in 3"),
        ({"t_min": 0.0}, r"t_min must be in \(0, 1\), got 0.0"),
        ({"params": {"endpoint": SEEN[:3]}}, "one row per image, 48, got 3"),
    ],
)
def test_numbers_out_of_range_are_told(named, said):
    with pytest.raises(ValueError, match=said):
        from_bad(**named)


def test_a_few_images_will_do():
    for images in (SEEN[:1], SEEN[:2, :2], SEEN[:3, :1, :9, :7].double()):
        schedule = cd.calibrate(cd.GaussianBlur(), images).schedule
        assert isinstance(schedule, cd.PiecewiseLinear) and schedule != cd.Linear()


@pytest.mark.parametrize("metric", ["psnr", "rmse"])
def test_a_training_calibrates_and_says_what_was_asked(metric, tmp_path):
    config = tiny.config(tmp_path / "run", calibrate=metric)
    run = train(config, progress=False)
    told = json.loads((tmp_path / "run" / "config.json").read_text())
    digits = cd.load_data("digits")
    assert run.degradation == cd.calibrate(config.degradation, digits, metric) == cd.load(tmp_path / "run").degradation
    assert told["training"]["calibrate"] == metric and told["degradation"]["schedule"]["type"] == "table"
    assert told["training"]["degradation"] == config.degradation.to_config()
    assert torch.isfinite(run.restore(torch.rand(2, 1, 8, 8), steps=3)).all()


def test_a_calibrated_training_that_is_resumed_is_that_of_one_go(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(tiny.config(whole, calibrate="psnr", checkpoint_every=3), progress=False)
    train(tiny.config(cut, calibrate="psnr", checkpoint_every=3), progress=False)
    shutil.rmtree(snapshots(cut)[-1])  # as if it had been stopped before the end
    train(tiny.config(cut, calibrate="psnr", checkpoint_every=3), resume=True, progress=False)
    assert_same(whole, cut)
    with pytest.raises(ValueError, match="calibrate was 'psnr', now None"):
        train(tiny.config(cut, checkpoint_every=3), resume=True, progress=False)


def test_noise_that_a_network_predicts_is_the_calibrated_one(tmp_path):
    config = tiny.config(tmp_path / "run", calibrate="psnr", degradation=NOISE, predict="epsilon")
    run = train(config, progress=False)
    assert run.degradation.schedule != cd.Linear()


def test_a_training_on_what_cannot_be_calibrated_leaves_nothing(tmp_path, capsys):
    from colddiff.apps.cli import main

    line = [
        "train",
        "digits",
        "--degradation",
        "desaturate",
        "--calibrate",
        "rmse",
        "--steps",
        "2",
        "--unet-size",
        "0.3M",
    ]
    assert main.main([*line, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and "colddiff: " in said[0]
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_plot_of_a_calibration_has_a_line_and_a_grid_of_each_schedule():
    pytest.importorskip("matplotlib")
    curves = [("as it is", TIMES**2), ("calibrated", TIMES)]
    figure = viz.calibration(TIMES, curves, [TIMES[::4], TIMES[::5]], metric="RMSE", title="blur")
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["as it is", "calibrated"]
    assert [len(line.get_xdata()) for line in ax.lines] == [21, 21, 6, 5]
    marks = [float(line.get_ydata()[0]) for line in ax.lines[2:]]
    assert ax.get_ylim()[0] < marks[1] < marks[0] < 0 and "blur" in figure.get_suptitle()
    with pytest.raises(ValueError, match="at least one curve"):
        viz.calibration(TIMES, [], [], metric="RMSE", title="blur")


def test_a_calibration_is_plotted_from_a_line(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    from PIL import Image

    from colddiff.apps.cli import main

    line = ["plot", "calibration", "digits", "--degradation", "gaussian_blur", "--metric", "rmse"]
    assert main.main([*line, "--out", str(tmp_path / "c.png")]) == 0
    said = capsys.readouterr().out
    before, after = (float(part.split()[1]) for part in said.split(", ")[:2])
    assert before < 0.99 <= after <= 1 and "in " in said
    with Image.open(tmp_path / "c.png") as plot:
        assert min(plot.size) > 400


FEW_PHOTOS = cd.load_data("photos")[:24]


CHAINS = {T: cd.calibrate(cd.IteratedBlur(num_steps=T, kernel_size=5), FEW_PHOTOS) for T in (1, 10, 20)}


UNEVEN = CHAINS[20].level_times()
assert UNEVEN is not None


@pytest.mark.parametrize("T", [10, 20])
def test_the_time_axis_belongs_to_the_levels_from_t_min_on(T):
    levels = CHAINS[T].level_times()
    assert float(levels[1]) == pytest.approx(0.05)
    told = measure_at(CHAINS[T], FEW_PHOTOS, levels[1:])
    assert straightness(levels[1:], told) > 0.999


def test_a_chain_of_one_level_has_nowhere_else_to_begin():
    assert CHAINS[1].level_times().tolist() == [0, 1]
    assert CHAINS[1].severity(torch.tensor(0.05)) == pytest.approx(0.05)


@pytest.mark.parametrize(("T", "asked"), [(10, 10), (10, 50), (20, 20), (20, 300)])
def test_as_many_steps_as_there_are_levels_visit_each_however_uneven(T, asked):
    levels = CHAINS[T].level_times()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(default_grid(asked, 1.0, levels), levels.flip(0))
        assert torch.equal(time_grid(T, levels=levels), levels.flip(0))


@pytest.mark.parametrize("k", [1, 2, 7, 19])
def test_so_they_do_below_a_start(k):
    start = float(UNEVEN[k])
    assert torch.equal(default_grid(20, start, UNEVEN), UNEVEN[: k + 1].flip(0))
    between = start * 0.9 + float(UNEVEN[k - 1]) * 0.1
    with pytest.warns(UserWarning, match="is between levels"):
        assert torch.equal(default_grid(20, between, UNEVEN), UNEVEN[: k + 1].flip(0))


def test_of_several_starts_each_visits_its_own_levels():
    starts = UNEVEN[[3, 12, 20]]
    times = default_grid(20, starts, UNEVEN)
    for column, k in zip(times.T, (3, 12, 20), strict=True):
        assert torch.equal(column.unique(), UNEVEN[: k + 1])
    fewer = time_grid(12, UNEVEN[[3, 20]], levels=UNEVEN)
    with pytest.warns(UserWarning, match="12 steps on 20 levels"):
        alone = time_grid(12, levels=UNEVEN)
    assert torch.equal(fewer[:, 1].unique(), alone.flip(0)) and torch.equal(fewer[:, 0].unique(), UNEVEN[:4])


@pytest.mark.parametrize("T", [3, 10, 300])
def test_evenly_spaced_levels_are_the_nearest_to_equal_times(T):
    levels = torch.arange(T + 1, dtype=torch.float64) / T
    starts = levels[[1, T // 2, T]]
    for steps in (T // 2, T):
        times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:, None] * starts
        nearest = levels[torch.bucketize(times, (levels[1:] + levels[:-1]) / 2, right=True)]
        nearest[0] = starts
        assert torch.equal(default_grid(steps, starts, levels).unique(dim=0), nearest.unique(dim=0))


@pytest.mark.parametrize("schedule", [cd.Power(exponent=3), cd.Exponential(rate=20.0)], ids=str)
def test_where_the_old_schedule_has_no_damage_yet_it_begins_at_more(schedule):
    op = cd.GaussianBlur(sigma_max=6, schedule=schedule)
    calibrated = cd.calibrate(op, FEW_PHOTOS)
    begins, was = (float(d.severity(torch.tensor(0.05))) for d in (calibrated, op))
    assert was < 5e-4 < begins < 0.01
    times = torch.linspace(0.05, 1, 20, dtype=torch.float64)
    assert straightness(times, measure_at(calibrated, FEW_PHOTOS, times)) > 0.999


def test_it_begins_where_most_images_are_damaged_and_not_where_one_is():
    def first(x, x0):  # finite from severity 0.3 on, but for one image from the beginning
        found = (x - x0).abs().mean(dim=(1, 2, 3))
        late = (found < 0.3) & (torch.arange(len(x)) > 0)
        return torch.where(late | (found <= 0), torch.inf, found)

    up = cd.from_callable(lambda x, s: x + s)
    assert float(cd.calibrate(up, torch.zeros_like(FEW_PHOTOS), first).severity(torch.tensor(0.05))) == pytest.approx(
        0.4
    )
