"""The table of methods: what it trains, what its cells hold, what it concludes."""

import json
import math
import signal
import sys
from importlib import import_module

import pytest
import torch
from PIL import Image
from support.tiny import NET

import colddiff.training.train
from colddiff import load, load_data
from colddiff.degradations import GaussianMask, GaussianNoise, Interpolate, IteratedBlur
from colddiff.evaluation.feature_ensemble import together
from colddiff.evaluation.features import features_of
from colddiff.paper import methods as methods_module
from colddiff.paper.compare import TASKS, compare
from colddiff.paper.comparison_table import Comparison
from colddiff.paper.methods import GENERATING, RESTORING
from colddiff.utils.rng import generator_for
from colddiff.utils.statistics import MethodRow, SeedStats

module = import_module("colddiff.paper.compare")  # the package may have a function of that name
BLUR = IteratedBlur(num_steps=4, kernel_size=3)


def tiny(out, **changes):
    """A comparison on digits that takes seconds."""
    plain = {
        "image_size": 8, "images": 24, "seeds": (0, 1), "steps": (1, 3), "restorer": NET, "training_steps": 3,
        "degradation": BLUR, "batch_size": 16, "device": "cpu", "progress": False,
    }  # fmt: skip
    return compare("digits", out, **plain | changes)


@pytest.fixture(scope="module", autouse=True)
def fast_judges():
    """Networks that have seen less, for numbers that mean nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("colddiff.evaluation.rotation_classifier.STEPS", 10)
        yield


@pytest.fixture(scope="module")
def restored(tmp_path_factory):
    pytest.importorskip("torchmetrics")
    out = tmp_path_factory.mktemp("restored")
    return tiny(out, methods=("one_shot", "improved", "ddpm")), out


def test_a_training_is_shared_by_its_samplers_and_done_once(restored, monkeypatch) -> None:
    found, out = restored
    runs = sorted(file.parent.name for file in out.glob("*/config.json"))
    assert runs == [f"deblur-{name}-seed{seed}" for name in ("cold", "ddpm") for seed in (0, 1)]
    monkeypatch.setattr("colddiff.training.train.train", lambda *given, **more: pytest.fail("trained again"))
    again = tiny(out, methods=("one_shot", "improved", "ddpm"))
    assert [row.values for row in again.rows] == [row.values for row in found.rows]
    tiny(out, methods=("naive",), steps=(2,))


def test_rows_are_methods_by_calls(restored) -> None:
    found, _ = restored
    told = [(row.method, row.calls) for row in found.rows]
    assert told == [("degraded", 0), ("one_shot", 1), ("improved", 1), ("improved", 3), ("ddpm", 1), ("ddpm", 3)]
    for row in found.rows:
        assert row.values.keys() == {"rmse", "ssim", "kid"} and (row.seconds > 0) == (row.calls > 0)
        assert all(
            len(value.seeds) == (2 if row.calls else 1) and math.isfinite(value.mean) for value in row.values.values()
        )


def test_a_cell_is_what_its_definition_says(restored) -> None:
    found, out = restored
    x0 = load_data("digits", split="test", size=8)[:24]
    y = (BLUR(x0, 1.0) * 255).round() / 255
    for seed in (0, 1):
        cold = load(out / f"deblur-cold-seed{seed}", precision="fp32")
        x = cold.restore(y, steps=3, sampler="improved")
        assert found.rows[3].values["rmse"].seeds[seed] == pytest.approx(float((x - x0).square().mean().sqrt()), 1e-5)
    noisy = load(out / "deblur-ddpm-seed1", precision="fp32")
    assert noisy.condition == BLUR and noisy.shape == (1, 8, 8)
    *_, state = noisy.walk(
        y, steps=3, sampler="estimated", generator=[generator_for(1, "compared", i) for i in range(24)]
    )
    x = state.x.clamp(0, 1)
    assert found.rows[5].values["rmse"].seeds[1] == pytest.approx(float((x - x0).square().mean().sqrt()), 1e-5)
    net = module.trained_ensemble(load_data("digits", split="train", size=8), out, torch.device("cpu"), progress=False)
    kid = together(net.kids(features_of(net, x0), features_of(net, x))).mean
    assert found.rows[5].values["kid"].seeds[1] == pytest.approx(kid, rel=1e-3, abs=1e-5)


def test_it_is_saved_with_curves_and_pictures(restored, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    found, _ = restored
    text, data, plot, sheet = found.save(tmp_path)
    assert [file.name for file in (text, data, plot, sheet)] == [
        "compare-deblur.md", "compare-deblur.json", "compare-deblur.png", "compare-deblur-pictures.png"
    ]  # fmt: skip
    told = json.loads(data.read_text())
    assert told["conclusion"] == found.conclusion and told["rows"][3]["rmse"]["seeds"] == [
        *found.rows[3].values["rmse"].seeds
    ]
    assert "| improved | 3 |" in text.read_text() and "steps trained: cold 3 / 3, ddpm 3 / 3" in text.read_text()
    with Image.open(plot) as curve, Image.open(sheet) as pictures:
        assert min(curve.size) > 500 and pictures.height > 5 * 64
    assert [label for label, _ in found.pictures] == ["clean", "degraded", "one_shot, 1", "improved, 3", "ddpm, 3"]


def test_generation_is_compared_too(tmp_path) -> None:
    pytest.importorskip("torchmetrics")
    given = {"task": "generate", "methods": ("ihdm", "flow"), "degradation": None, "steps": (2,)}
    found = tiny(tmp_path, **given)
    assert [(row.method, row.calls) for row in found.rows] == [("training images", 0), ("ihdm", 2), ("flow", 2)]
    assert all(row.values.keys() == {"kid", "fid", "nearest"} for row in found.rows)
    assert found.rows[0].values["nearest"].mean < 0.001 and found.rows[1].values["nearest"].mean > 0
    assert found.protocol["ihdm"].endswith("from lowres_gmm") and "standard_normal" in found.protocol["flow"]
    assert load(tmp_path / "generate-ihdm-seed1").config["training"]["input_noise"] == 0.01


@pytest.mark.parametrize("methods", [RESTORING, GENERATING])
def test_every_method_is_a_training_that_is_allowed(methods, tmp_path) -> None:
    base = module.TrainConfig(data="digits", out="x", degradation=BLUR)
    for name, method in methods.items():
        config = module._config(base, method, BLUR, 8, tmp_path / name, 0)
        assert (config.condition == BLUR) == method.beside
        assert config.loss == ("l2" if method.training in ("ihdm", "blur_noise") else "l1")
        hot = (
            isinstance(config.degradation, GaussianNoise | methods_module.BlurNoise)
            or method.degradation(BLUR, 8).prior
        )
        assert config.quantize_inputs != bool(hot)
    shared = [m.training for m in methods.values()]
    for name, method in methods.items():  # what shares a folder is the same training
        first = list(methods.values())[shared.index(method.training)]
        assert method.changes == first.changes and method.degradation(BLUR, 8) == first.degradation(BLUR, 8), name


def rows(**by_method) -> Comparison:
    """A comparison from {method: {calls: (rmse of each seed, kid of each seed)}}."""
    told = [
        MethodRow(method, calls, calls / 1000, {"rmse": SeedStats(rmse), "kid": SeedStats(kid)})
        for method, cells in by_method.items()
        for calls, (rmse, kid) in cells.items()
    ]
    return Comparison("deblur", ("rmse", "kid"), told, {"data": "made up"})


def test_what_overlaps_is_not_told_apart() -> None:
    found = rows(
        one_shot={1: ((0.10, 0.12), (0.5, 0.6))},
        indi={1: ((0.11, 0.13), (0.52, 0.61)), 5: ((0.12, 0.14), (0.1, 0.2))},
        naive={1: ((0.3, 0.4), (0.5, 0.6)), 5: ((0.5, 0.6), (0.7, 0.8))},
    )
    first, second, *bought = found.conclusion
    assert first == (
        "RMSE: one_shot (1 call) is best with 0.1100 [0.1000, 0.1200]; not told apart by 2 seeds from indi (1 call)."
    )
    assert (
        second.startswith("KID*: indi (5 calls) is best")
        and "its 2 seeds lie apart from the best of every other" in second
    )
    assert bought == [
        "indi: RMSE 0.1200 with 1 call, 0.1300 with 5 (not told apart), KID* 0.5650 with 1 call, 0.1500 with 5 "
        "(iteration helps).",
        "naive: RMSE 0.3500 with 1 call, 0.5500 with 5 (worse with every number of calls), KID* 0.5500 with 1 call, "
        "0.7500 with 5 (worse with every number of calls).",
    ]


def test_one_seed_tells_of_no_spread() -> None:
    told = rows(one_shot={1: ((0.1,), (0.5,))}, naive={1: ((0.3,), (0.5,))}).conclusion
    assert told[0] == "RMSE: one_shot (1 call) is best with 0.1000." and "One seed has no spread" in told[-1]


def test_without_matplotlib_the_tables_are_written_and_a_line_says_how_to_get_the_curves(tmp_path, monkeypatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.warns(UserWarning, match=r"^compare-deblur.png is left out: .*pip install \"colddiff\[plots\]\"$"):
        files = rows(one_shot={1: ((0.1,), (0.5,))}).save(tmp_path)
    assert [file.name for file in files] == ["compare-deblur.md", "compare-deblur.json"]
    assert sorted(tmp_path.iterdir()) == sorted(files)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"task": "deblurr"}, LookupError, "did you mean 'deblur'"),
        ({"methods": ("inid",)}, LookupError, "did you mean 'indi'"),
        ({"images": 0}, ValueError, "images must be > 0, got 0"),
        ({"minutes": -1.0}, ValueError, "minutes must be > 0"),
        ({"steps": (0, 5)}, ValueError, "steps must be > 0"),
        ({"steps": ()}, ValueError, "steps must be > 0"),
        ({"training_steps": 0}, ValueError, "steps must be > 0"),
        ({"seeds": (1, 1)}, ValueError, "different seeds"),
        ({"images": 3}, ValueError, "KID needs 4 test"),
        ({"degradation": Interpolate()}, ValueError, "damages images itself"),
    ],
)
def test_nothing_is_begun_that_cannot_end(changes, error, message, tmp_path) -> None:
    pytest.importorskip("torchmetrics")
    with pytest.raises(error, match=message):
        tiny(tmp_path, **changes)
    assert not list(tmp_path.glob("*"))


def test_a_place_that_cannot_be_written_is_found_before_training(tmp_path) -> None:
    pytest.importorskip("torchmetrics")
    (tmp_path / "compare-deblur.md").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        tiny(tmp_path)


def test_a_run_of_another_training_is_not_used(restored) -> None:
    _, out = restored
    with pytest.raises(ValueError, match="steps was 3, now 4; give what it was made with"):
        tiny(out, methods=("one_shot",), training_steps=4)


def test_what_was_interrupted_goes_on_where_it_was(tmp_path, monkeypatch) -> None:
    pytest.importorskip("torchmetrics")
    given = {"methods": ("indi",), "steps": (1,), "images": 8, "training_steps": 4}
    called, train = [], colddiff.training.train.train

    def noted(config, **more):
        called.append((config.seed, more["resume"]))
        return train(config, **more)

    def rate(step, steps, config):
        if (config.seed, step) == (1, 1):
            signal.raise_signal(signal.SIGINT)
        return config.lr

    monkeypatch.setattr("colddiff.training.train.train", noted)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("colddiff.training.loop.learning_rate", rate)
        tiny(tmp_path, **given)
    found = tiny(tmp_path, **given)
    assert called == [(0, False), (1, False), (1, True)]
    assert found.protocol["steps trained"] == "indi 4 / 4"


def test_improved_is_left_out_where_params_cannot_be_known() -> None:
    D = module.Degradation.from_config("snow")
    assert "improved" not in module._suited(TASKS["deblur"], None, D)
    with pytest.raises(ValueError, match="leave it out"):
        module._suited(TASKS["deblur"], ("improved",), D)
    for known in (GaussianMask(), GaussianNoise(), BLUR):
        assert module._suited(TASKS["deblur"], None, known) == RESTORING
