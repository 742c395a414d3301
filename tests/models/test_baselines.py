"""Classical restorers are what the mathematics says, saved with a run and measured beside it."""

import json
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from support import tiny

from colddiff import load
from colddiff.data import ImageData, load_data
from colddiff.degradations import (
    Compose,
    Desaturate,
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    IteratedBlur,
    Jpeg,
    MotionBlur,
    Pixelate,
    PixelMask,
    Resolution,
    SaltAndPepper,
)
from colddiff.degradations.blur_schedules import LinearSigma
from colddiff.degradations.families.separable import SeparableLinear, spectral
from colddiff.degradations.schedules import Power
from colddiff.degradations.spectral import from_spectrum, spectral_basis
from colddiff.evaluation.conclusion import Outcome, conclude
from colddiff.evaluation.report import evaluate
from colddiff.models import wiener
from colddiff.models.baselines import BASELINES, Bicubic, MeanFill, Wiener, baseline_for, kind_for
from colddiff.models.serialization import SHIPPED
from colddiff.models.wiener import ROUNDING_VARIANCE
from colddiff.utils.config import register

DIGITS, TEST = load_data("digits"), load_data("digits", split="test")
HALF, END = torch.tensor([0.5], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)

# Estimates divide by no less than the standard deviation of 8-bit rounding, and so grows what float32 rounds.
ROUNDING = torch.finfo(torch.float32).eps * 255 * 12**0.5


def rounded(x):
    return (x * 255).round() / 255


def rmse(a, b):
    return float((a - b).square().mean().sqrt())


# --- the Wiener estimate ---------------------------------------------------------------------------------------------

BLURS = [
    (IteratedBlur(num_steps=4, kernel_size=5, sigmas=LinearSigma(start=0.6, slope=0.2)), 0.75),
    (IteratedBlur(num_steps=4, kernel_size=5, border="reflect"), 0.6),
    (GaussianBlur(sigma_max=2.0, border="circular", schedule=Power(exponent=2)), 0.9),
    (GaussianBlur(sigma_max=2.0, border="reflect"), 0.7),
    (GaussianBlur(sigma_max=2.0, border="symmetric"), 0.7),
]


def dense(f, size):
    """A linear map of images as one matrix."""
    h, w = size
    return f(torch.eye(h * w, dtype=torch.float64).reshape(-1, 1, h, w)).reshape(h * w, h * w).mT


@pytest.mark.parametrize(("op", "t"), BLURS, ids=str)
@pytest.mark.parametrize("size", [(8, 8), (6, 8)], ids=str)
def test_the_wiener_estimate_is_the_lmmse_of_the_dense_linear_system(op, t, size, images) -> None:
    data = ImageData((images(50, 2, *size).cumsum(dim=-1) * 30).to(torch.uint8))
    wiener = baseline_for(op, data)
    assert isinstance(wiener, Wiener)
    (back_h, there_h), (back_w, there_w) = (op.spectrum(n, torch.zeros(1, dtype=torch.long))[0] for n in size)
    V, W = torch.kron(back_h, back_w), torch.kron(there_h, there_w)
    A = dense(lambda x: op(x, t), size)
    N = V @ torch.diag((W @ W.mT).diagonal() * ROUNDING_VARIANCE) @ V.mT
    if op.border != "reflect":
        assert torch.allclose(N, ROUNDING_VARIANCE * torch.eye(len(N), dtype=N.dtype), atol=1e-15)
    x = op(images(3, 2, *size, seed=1), t)
    found = wiener(x, torch.full((3,), t, dtype=torch.float64))
    for c in range(2):
        C = V @ torch.diag(wiener.statistics["power"][c].double().flatten()) @ V.mT
        mean = wiener.statistics["mean"][c].double().flatten()
        estimator = C @ A.mT @ torch.linalg.inv(A @ C @ A.mT + N)
        expected = mean + (x[:, c].flatten(1) - A @ mean) @ estimator.mT
        assert (found[:, c].flatten(1) - expected).abs().max() < 1e-8


def test_without_noise_an_invertible_blur_is_undone(images, monkeypatch) -> None:
    monkeypatch.setattr(Wiener, "noise", 0.0)
    x, t = images(2, 1, 8, 8), torch.full((2,), 0.8, dtype=torch.float64)
    for op in (GaussianBlur(sigma_max=0.8), IteratedBlur(num_steps=3, kernel_size=3, sigmas=LinearSigma())):
        assert (op(x, t) - x).abs().max() > 0.1
        assert (baseline_for(op, DIGITS)(op(x, t), t) - x).abs().max() < 1e-9


def test_where_only_the_level_is_left_the_mean_is_given_that_level() -> None:
    op = GaussianBlur(sigma_max=200.0)
    added = baseline_for(op, DIGITS)(rounded(op(TEST[:20], 1.0)), torch.ones(20)) - DIGITS[:].mean(dim=0)
    assert added.std(dim=(2, 3)).max() < 1e-4 and added.mean(dim=(2, 3)).std() > 0.01


def test_each_image_has_its_own_time(images) -> None:
    for op in (BLURS[0][0], BLURS[2][0], GaussianMask(num_steps=8, random_center=False), Pixelate(), Resolution()):
        baseline, x = baseline_for(op, DIGITS), images(4, 1, 8, 8, dtype=torch.float32)
        t = torch.tensor([0.1, 0.4, 0.75, 1.0], dtype=torch.float64)
        x_t = op(x, t)
        together = baseline(x_t, t)
        assert together.dtype == torch.float32
        for i in range(4):
            assert (together[i] - baseline(x_t[i : i + 1], t[i : i + 1])[0]).abs().max() < ROUNDING, op


def test_the_wiener_estimate_beats_the_blurred_image_by_far() -> None:
    for op in (GaussianBlur(sigma_max=2.0), IteratedBlur(num_steps=4, kernel_size=5)):
        wiener = baseline_for(op, DIGITS)
        x = rounded(op(TEST[:], 0.5))
        assert rmse(wiener(x, torch.full((len(x),), 0.5)), TEST[:]) < 0.5 * rmse(x, TEST[:])


def test_a_spectral_operator_of_ones_own_gets_it_too(images) -> None:
    @register("fades")
    @dataclass(frozen=True, kw_only=True)
    class Fades(SeparableLinear):
        """Frequency k is divided by 1 + s k."""

        def axis(self, n, size):
            return spectral(spectral_basis(n, "symmetric")[0])

        def matrix(self, s, axis):
            n = axis["identity"].shape[-1]
            gain = 1 / (1 + s.reshape(-1, 1) * torch.arange(n, dtype=s.dtype))
            return from_spectrum(axis["basis"], axis["identity"], gain - 1)

        def spectrum(self, n, s):
            return spectral_basis(n, "symmetric")[0], 1 / (1 + s[:, None] * torch.arange(n, dtype=torch.float64))

    x = rounded(Fades()(TEST[:], 1.0))
    assert rmse(baseline_for(Fades(), DIGITS)(x, END.expand(len(x))), TEST[:]) < 0.3 * rmse(x, TEST[:])


def test_the_gain_is_what_the_operator_does_between_its_levels_too(images) -> None:
    x, t = images(3, 2, 6, 8), torch.tensor([0.0, 0.3, 0.55], dtype=torch.float64)
    for op in (BLURS[1][0], BLURS[3][0]):
        (back_h, there_h), (back_w, there_w) = (op.spectrum(n, torch.zeros(1, dtype=torch.long))[0] for n in (6, 8))
        spectrum = op.gain(op.severity(t), (6, 8)) * (there_h @ x @ there_w.mT)
        assert (op(x, t) - back_h @ spectrum @ back_w.mT).abs().max() < 1e-12


# --- the mean image in the hole --------------------------------------------------------------------------------------


def test_mean_fill_keeps_what_is_seen_and_fills_what_is_lost() -> None:
    x0, op = TEST[:16], PixelMask(fill=(0.2,))  # which no pixel of a digit is
    params = op.draw(x0, torch.Generator().manual_seed(0))
    x = op(x0, 0.5, params)
    fill = baseline_for(op, DIGITS)
    found, hole = fill(x, HALF.expand(16)), params["rank"] < 0.5
    mean = DIGITS[:].mean(dim=0).expand_as(x)
    assert torch.equal(found[~hole], x[~hole])
    assert torch.allclose(found[hole], mean[hole], atol=1e-6)
    assert rmse(found, x0) < rmse(x, x0)


def test_mean_fill_divides_out_what_is_only_faint() -> None:
    x0, op = TEST[:], GaussianMask(num_steps=20, random_center=False)
    kept = op(torch.ones_like(x0), 1.0) - op(torch.zeros_like(x0), 1.0)
    faint = (kept > 0.1) & (kept < 0.9) & (DIGITS[:].var(dim=0) > 0.01)
    x = rounded(op(x0, 1.0))
    found = baseline_for(op, DIGITS)(x, END.expand(len(x)))
    assert faint.sum() > 300 and rmse(x[faint], x0[faint]) > 0.1 and rmse(found[faint], x0[faint]) < 0.01


def test_mean_fill_reads_off_the_picture_where_the_hole_is() -> None:
    for op in (GaussianMask(num_steps=20), PixelMask(fill=(0.2,))):
        x = rounded(op(TEST[:], 0.7, op.draw(TEST[:], torch.Generator().manual_seed(0))))
        fill = baseline_for(op, DIGITS)
        assert isinstance(fill, MeanFill)
        assert rmse(fill(x, torch.full((len(x),), 0.7)), TEST[:]) < 0.8 * rmse(x, TEST[:]), op


def test_mean_fill_is_exact_where_it_knows_the_place_and_the_rounding_is_small(images) -> None:
    op = GaussianMask(num_steps=20, random_center=False)
    data = ImageData((images(60, 1, 8, 8) * 255).to(torch.uint8))
    x0 = images(3, 1, 8, 8, seed=2)
    D = op.bind(like=x0)
    kept = (D(torch.ones_like(x0), 0.5) - D(torch.zeros_like(x0), 0.5))[:1]
    mean, variance = (baseline_for(op, data).statistics[name].double() for name in ("mean", "variance"))
    deviation = D(x0, 0.5) - D(mean[None].expand_as(x0), 0.5)
    expected = mean + kept * variance / (kept**2 * variance + ROUNDING_VARIANCE) * deviation
    expected = torch.where(kept == 1, D(x0, 0.5), expected)
    assert (baseline_for(op, data)(D(x0, 0.5), HALF.expand(3)) - expected).abs().max() < 1e-12


# --- enlargement -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 16), (8, 24)], ids=str)
def test_bicubic_is_interpolation_of_the_small_image(size, images) -> None:
    x0 = images(3, 2, *size)
    x = Resolution(num_steps=3, mode="area")(x0, 2 / 3)
    expected = F.interpolate(x[..., ::4, ::4], size=size, mode="bicubic", align_corners=False)
    assert (baseline_for(Resolution(num_steps=3))(x, torch.full((3,), 2 / 3)) - expected).abs().max() < 1e-12
    op = Pixelate(largest=8)
    x = op(x0, 2 / 3)
    expected = F.interpolate(x[..., ::4, ::4], size=size, mode="bicubic", align_corners=False)
    assert (baseline_for(op)(x, torch.full((3,), 2 / 3)) - expected).abs().max() < 1e-12


def test_bicubic_follows_sides_that_divide_nothing(images) -> None:
    x = F.interpolate(images(2, 1, 7, 9), size=(10, 12), mode="nearest-exact")
    op = Resolution(num_steps=4, halving=False)
    small = F.interpolate(x, size=(7, 9), mode="nearest-exact")
    expected = F.interpolate(small, size=(10, 12), mode="bicubic", align_corners=False)
    assert (baseline_for(op)(x, END.expand(2)) - expected).abs().max() < 1e-12
    # The last block of a row is narrower, and its centre where that of a whole one would be.
    x0 = images(2, 1, 10, 10)
    x = Pixelate(largest=4)(x0, 1.0)
    small = F.avg_pool2d(x0, 4, ceil_mode=True, count_include_pad=False)
    expected = F.interpolate(small, size=(12, 12), mode="bicubic", align_corners=False)[..., :10, :10]
    assert (baseline_for(Pixelate(largest=4))(x, END.expand(2)) - expected).abs().max() < 1e-12


def test_bicubic_leaves_what_is_clean_and_lies_between_its_levels(images) -> None:
    x, bicubic = images(2, 1, 8, 8), baseline_for(Pixelate())
    assert isinstance(bicubic, Bicubic) and (bicubic(x, torch.zeros(2)) - x).abs().max() < 1e-15
    between = 0.6 * bicubic(x, torch.full((2,), 1 / 3)) + 0.4 * bicubic(x, torch.full((2,), 2 / 3))
    t = torch.full((2,), 1.4 / 3, dtype=torch.float64)
    assert (bicubic(x, t) - between).abs().max() < 1e-6


# --- which, saved and loaded -----------------------------------------------------------------------------------------


def test_what_an_operator_can_tells_its_baseline() -> None:
    kinds = {
        GaussianBlur(): Wiener, IteratedBlur(): Wiener, GaussianMask(): MeanFill, PixelMask(): MeanFill,
        SaltAndPepper(): MeanFill, Pixelate(): Bicubic, Resolution(): Bicubic, Jpeg(): None, MotionBlur(): None,
        GaussianNoise(): None, Desaturate(): None, Compose(parts=(PixelMask(),)): MeanFill,
        Compose(parts=(GaussianBlur(), PixelMask())): None,
    }  # fmt: skip
    assert {op: kind_for(op) for op in kinds} == kinds
    assert set(BASELINES.values()) == {Wiener, MeanFill, Bicubic}
    assert baseline_for(GaussianBlur()) is None and baseline_for(Jpeg(), DIGITS) is None


def test_few_of_many_images_are_enough_and_batches_do_not_matter(monkeypatch, images) -> None:
    whole = baseline_for(PixelMask(), DIGITS).statistics
    assert torch.allclose(whole["mean"], DIGITS[:].double().mean(dim=0).float())
    assert torch.allclose(whole["variance"], DIGITS[:].double().var(dim=0, correction=0).float(), atol=1e-7)
    monkeypatch.setattr(wiener, "BATCH_VALUES", 100)
    for name, value in baseline_for(PixelMask(), DIGITS).statistics.items():
        assert torch.allclose(value, whole[name], atol=1e-7)
    monkeypatch.setattr(wiener, "MOST_IMAGES", 400)
    few = baseline_for(PixelMask(), DIGITS).statistics["mean"]
    assert 0 < rmse(few, whole["mean"]) < 0.02


OPTIONS = {"start_times": (0.5, 1.0), "steps": (2,), "num_images": 40, "progress": False}


def test_what_was_fitted_at_training_time_is_loaded(folder) -> None:
    saved, fitted = load(folder, device="cpu").baseline, baseline_for(GaussianBlur(sigma_max=3.0), DIGITS)
    assert saved.name == "wiener" and saved.statistics.keys() == fitted.statistics.keys()
    assert all(torch.equal(saved.statistics[name], fitted.statistics[name]) for name in fitted.statistics)
    assert (folder / "baseline.safetensors").stat().st_size < 2000


def test_a_report_has_its_row_at_each_start(folder) -> None:
    report = evaluate(load(folder, device="cpu"), TEST, **OPTIONS)
    value = json.loads(report.to_json())
    rows = [row for row in value["rows"] if row["method"] == "wiener"]
    assert [row["start"] for row in rows] == [0.5, 1.0]
    assert {(row["calls"], row["steps"], row["oracle"]) for row in rows} == {(0, 0, False)}
    op = GaussianBlur(sigma_max=3.0)
    found = baseline_for(op, DIGITS)(rounded(op(TEST[:40], 1.0)), END.expand(40)).clamp(0, 1)
    assert rows[1]["rmse"]["global"] == pytest.approx(rmse(found, TEST[:40]), rel=1e-4)
    assert report.to_markdown().count("| wiener | 0 |") == 2
    assert [label for label, _ in report.pictures][:3] == ["clean", "degraded", "wiener"]
    assert "take wiener (classical, no network): RMSE" in report.conclusion[1]
    assert value["protocol"]["baseline"] == Wiener.description


def test_a_run_of_before_goes_without_or_by_the_training_images(folder) -> None:
    (folder / "baseline.safetensors").unlink()
    run = load(folder, device="cpu")
    without = evaluate(run, TEST, **OPTIONS)
    assert "wiener" not in {row["method"] for row in without.rows}
    assert without.protocol["baseline"].startswith("wiener left out: the run came without statistics")
    given = evaluate(run, TEST, train_data=DIGITS, **OPTIONS)
    assert "wiener" in {row["method"] for row in given.rows} and given.protocol["baseline"] == Wiener.description


def test_images_of_another_size_go_without(folder) -> None:
    report = evaluate(load(folder, device="cpu"), load_data("digits", split="test", size=12), **OPTIONS)
    assert "wiener" not in {row["method"] for row in report.rows}
    assert "another size than 12 x 12" in report.protocol["baseline"]


def test_a_broken_file_is_told_in_one_sentence_and_restores_go_on(folder) -> None:
    from safetensors.torch import save_file

    (folder / "baseline.safetensors").write_bytes(b"not a table")
    with pytest.warns(UserWarning, match=r"baseline.safetensors' is not a readable safetensors file.*go without"):
        assert load(folder, device="cpu").baseline is None
    save_file({"mean": torch.zeros(1, 8, 8)}, folder / "baseline.safetensors")
    with pytest.warns(UserWarning, match=r"baseline wiener needs mean, power, all \(C, H, W\), got .*go without"):
        assert load(folder, device="cpu").baseline is None


def test_enlargement_needs_no_statistics_and_any_size() -> None:
    run = tiny.run_of(tiny.NET.build(), Pixelate())
    report = evaluate(run, load_data("digits", split="test", size=12), **OPTIONS)
    assert [row["calls"] for row in report.rows if row["method"] == "bicubic"] == [0, 0]
    assert "baseline" not in evaluate(tiny.run_of(tiny.NET.build(), Jpeg()), TEST, **OPTIONS).protocol


def test_numbers_of_a_baseline_do_not_depend_on_the_batch_size() -> None:
    for op in (Pixelate(), GaussianMask(num_steps=5), IteratedBlur(num_steps=3, kernel_size=3)):
        run = replace(tiny.run_of(tiny.NET.build(), op), baseline=baseline_for(op, DIGITS))
        whole, parts = (evaluate(run, TEST, batch_size=size, **OPTIONS) for size in (40, 7))
        for a, b in zip(whole.rows, parts.rows, strict=True):
            if a["method"] in BASELINES:
                assert a["rmse"] == pytest.approx(b["rmse"], abs=ROUNDING)


def test_the_run_of_the_library_has_one() -> None:
    run, images = load("digits", device="cpu", precision="fp32"), load_data("digits", size=16)
    fitted = baseline_for(run.degradation, images).statistics
    assert all(torch.allclose(run.baseline.statistics[name], fitted[name], atol=1e-6) for name in fitted)
    assert (SHIPPED / "digits" / "baseline.safetensors").stat().st_size < 4096


# --- what is concluded -----------------------------------------------------------------------------------------------


def test_a_baseline_that_is_as_good_as_the_network_is_said_to_be() -> None:
    damaged = torch.linspace(0.2, 0.6, 50, dtype=torch.float64)
    ways = [Outcome("degraded", 0.5, 0, damaged), Outcome("wiener", 0.5, 0, damaged * 0.5)]
    line = conclude([*ways, Outcome("one_shot", 0.5, 1, damaged * 0.499)])[1]
    assert "take wiener (classical, no network): RMSE 0.2000 against 0.4000 damaged, 0.1996 for one_shot" in line
    assert "one_shot (1 call) has 0.1996: wiener is as good" in line
    better = conclude([*ways, Outcome("one_shot", 0.5, 1, damaged * 0.4)])[1]
    assert "take one_shot (1 call)" in better and "wiener" not in better
    useless = conclude(
        [ways[0], Outcome("wiener", 0.5, 0, damaged * 0.995), Outcome("one_shot", 0.5, 1, damaged * 1.1)]
    )[1]
    assert "leave the picture as it is" in useless and "best: 0.3980, wiener (classical, no network)" in useless
