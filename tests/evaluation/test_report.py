"""The table tells the truth about a run, and how it was measured."""

import json
import shutil
import sys
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from support import tiny
from torch import nn

from colddiff.apps.cli.commands import evaluate as evaluate_module
from colddiff.apps.cli.main import main
from colddiff.data import ImageData, load_data
from colddiff.degradations import (
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    Interpolate,
    IteratedBlur,
    PixelMask,
    PixelNoise,
)
from colddiff.evaluation import rotation_classifier
from colddiff.evaluation.measure import PICTURED
from colddiff.evaluation.report import evaluate, write_card
from colddiff.models.serialization import SHIPPED
from colddiff.samplers.priors import StandardNormal
from colddiff.training.train import train

DATA = load_data("digits", split="test")
MEAN = {"mean", "low", "high"}


def report_of(degradation, net=None, n=12, **options):
    torch.manual_seed(0)
    run = tiny.run_of(net or tiny.NET.build(), degradation)
    options = {"start_times": (0.5, 1.0), "steps": (3,), "num_images": n, "progress": False} | options
    return evaluate(run, DATA, **options)


def methods(report, start=1.0):
    return [row["method"] for row in report.rows if row["start"] == start]


def test_the_json_has_the_schema_of_the_command(tmp_path):
    value = json.loads(report_of(GaussianBlur()).to_json())
    assert value.keys() == {"conclusion", "protocol", "n_images", "rows"} and value["n_images"] == 12
    assert all(isinstance(sentence, str) for sentence in value["conclusion"])
    for row in value["rows"]:
        assert row["rmse"].keys() == {"global"} | MEAN and row["psnr"].keys() == row["ssim"].keys() == MEAN
        assert row["rmse"]["low"] <= row["rmse"]["mean"] <= row["rmse"]["high"]
    assert {row["start"] for row in value["rows"]} == {0.5, 1.0}
    degraded, one_shot, *others = value["rows"][:4]
    assert (degraded["method"], degraded["steps"], degraded["calls"]) == ("degraded", 0, 0)
    assert (one_shot["method"], one_shot["steps"], one_shot["calls"]) == ("one_shot", 1, 1)
    assert [(r["method"], r["steps"], r["calls"]) for r in others] == [("naive", 3, 3), ("improved", 3, 3)]


def test_the_protocol_states_data_split_size_resize_averaging_and_precision():
    protocol = report_of(GaussianBlur()).protocol
    told = {"data": "digits", "split": "test", "size": [8, 8], "resize": "none", "images": 12, "seed": 0}
    assert protocol | told == protocol
    assert "8-bit" in protocol["input"] and "global" in protocol["averaging"] and "7 taps" in protocol["ssim"]
    assert report_of(GaussianBlur(), quantize_inputs=False).protocol["input"] == "float32"


def test_numbers_do_not_depend_on_the_batch_size():
    for op in (GaussianBlur(), PixelMask(), GaussianNoise(), PixelNoise()):
        whole, parts = (report_of(op, batch_size=size) for size in (12, 5))
        for a, b in zip(whole.rows, parts.rows, strict=True):
            assert a["calls"] == b["calls"]
            for name in ("rmse", "psnr", "ssim"):
                assert a[name] == pytest.approx(b[name], abs=2e-4), (op, a["method"])
        for (label, a), (same, b) in zip(whole.pictures, parts.pictures, strict=True):
            assert label == same and a.shape == b.shape == (PICTURED, 1, 8, 8)


def test_a_perfect_restorer_has_no_error():
    net = tiny.Oracle(DATA[:12])
    for op in (GaussianBlur(), GaussianMask(num_steps=10), PixelMask(), GaussianNoise()):
        rows = report_of(op, net, quantize_inputs=False).rows
        restored = [row["rmse"]["global"] for row in rows if row["method"] != "degraded"]
        assert max(restored) < 1e-3, op
        assert min(row["rmse"]["global"] for row in rows if row["method"] == "degraded") > 0.01


def test_the_global_rmse_is_over_all_values():
    report = report_of(GaussianBlur(), quantize_inputs=False)
    x0 = DATA[:12]
    x = GaussianBlur()(x0, 1.0)
    row = next(r for r in report.rows if r["method"] == "degraded" and r["start"] == 1.0)
    assert row["rmse"]["global"] == pytest.approx(float((x.clamp(0, 1) - x0).square().mean().sqrt()), rel=1e-5)


def test_samplers_get_what_a_restore_would_have_and_rows_that_know_more_are_labelled():
    masked = report_of(PixelMask())
    oracle = [row["method"] for row in masked.rows if row["oracle"]]
    assert oracle == ["naive (oracle)", "improved (oracle)"] * 2
    assert "improved" in methods(masked) and "read off" in masked.protocol["params"]
    assert methods(report_of(GaussianNoise()))[2:5] == ["naive", "improved", "estimated"]
    assert not any(row["oracle"] for row in report_of(GaussianBlur()).rows)


def test_improved_is_left_out_where_nobody_could_know_the_params():
    report = report_of(PixelNoise())
    assert methods(report) == ["degraded", "one_shot", "naive", "naive (oracle)", "improved (oracle)"]
    assert "improved is left out" in report.protocol["params"]


def test_an_estimate_shares_the_first_call():
    rows = report_of(GaussianNoise()).rows
    assert {row["calls"] for row in rows if row["method"] == "improved"} == {3}
    assert {row["calls"] for row in rows if row["method"] == "improved (oracle)"} == {3}


def test_the_markdown_has_every_row_and_the_protocol():
    report = report_of(PixelMask())
    lines = report.to_markdown().splitlines()
    assert lines[: len(report.conclusion)] == [f"- {sentence}" for sentence in report.conclusion]
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(report.rows)
    for row, line in zip(report.rows, table[2:], strict=True):
        assert f"| {row['method']} |" in line and f"{row['rmse']['global']:.4f}" in line
    assert all(any(line.startswith(f"- {key}: ") for line in lines) for key in report.protocol)


def test_the_protocol_is_in_words_and_in_the_json_as_it_is():
    report = report_of(GaussianBlur())
    lines = report.to_markdown().splitlines()
    assert "- framing: fit resize, colour grey, background 1.0" in lines and "- size: 8 x 8" in lines
    assert not any(mark in line for line in lines if line.startswith("- ") for mark in "{}'")
    assert json.loads(report.to_json())["protocol"]["framing"]["type"] == "framing"


def test_starts_and_steps_snap_to_levels():
    report = report_of(GaussianMask(num_steps=4), start_times=(0.3,), steps=(20,))
    assert {row["start"] for row in report.rows} == {0.25}
    assert {row["steps"] for row in report.rows} == {0, 1}


@pytest.mark.parametrize(
    ("options", "told"),
    [({"num_generated": -3}, r"to generate \(--num-generated\) must be >= 0, got -3"),
     ({"start_times": (0.0,)}, r"start must be in \(0, 1\], got 0"), ({"start_times": (2.0,)}, "start must be in"),
     ({"steps": (0,)}, "steps must be a whole number"), ({"n": 0}, r"at least one image \(--images\), got 0$"),
     ({"n": -3}, r"at least one image \(--images\), got -3$"), ({"start_times": ()}, "at least one start"),
     ({"steps": ()}, "at least one number of steps")],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused(options, told):
    with pytest.raises(ValueError, match=told):
        report_of(GaussianBlur(), **options)


def test_images_of_other_channels_are_refused():
    run = tiny.run_of(tiny.NET.build(), GaussianBlur())
    with pytest.raises(ValueError, match="the run takes 1 channels, the images have 3"):
        evaluate(run, ImageData(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)))


def test_one_image_has_numbers_too():
    text = report_of(GaussianBlur(), n=1).to_json()
    assert "NaN" not in text and json.loads(text)["n_images"] == 1


def test_a_card_has_the_table_the_picture_and_the_degradation(tmp_path):
    run = train(tiny.config(tmp_path / "run", steps=1), progress=False)
    report = evaluate(run, DATA, start_times=(1.0,), steps=(2,), num_images=4, progress=False)
    write_card(run, report)
    card = (run.path / "README.md").read_text()
    assert report.to_markdown() in card and "(report.png)" in card and '"sigma_max": 3.0' in card
    assert (run.path / "report.png").is_file()
    assert json.loads((run.path / "report.json").read_text())["n_images"] == 4


def test_starts_on_one_level_are_measured_once():
    rows = report_of(IteratedBlur(num_steps=2), start_times=(0.25, 0.5, 0.75, 1.0)).rows
    assert [row["start"] for row in rows if row["method"] == "degraded"] == [0.5, 1.0]


# --- perception ------------------------------------------------------------------------------------------------------


class Pooled(nn.Module):
    """Features of every quarter of an image."""

    num_features = 4

    def forward(self, x):
        return nn.functional.adaptive_avg_pool2d(x.mean(dim=1, keepdim=True), 2).flatten(1)


def test_fid_and_kid_are_measured_where_they_are_asked_for():
    pytest.importorskip("torchmetrics")
    report = report_of(PixelMask(), features=Pooled())
    for row in json.loads(report.to_json())["rows"]:
        assert row["fid"] >= 0 and row["kid"].keys() == {"mean", "std"}
    head = report.to_markdown().splitlines()[len(report.conclusion) + 1]
    assert "FID" in head and "KID" in head and "your own Pooled" in report.protocol["perception"]
    assert "For perception" in report.conclusion[1] and "for perception" in report.conclusion[2].lower()
    plain = report_of(PixelMask())
    assert plain.rows[0].keys() == report.rows[0].keys() - {"fid", "kid"} and "perception" not in plain.protocol
    assert "KID" not in plain.to_markdown()


def test_a_perfect_restorer_looks_real():
    pytest.importorskip("torchmetrics")
    rows = report_of(GaussianBlur(), tiny.Oracle(DATA[:12]), quantize_inputs=False, features=Pooled()).rows
    for row in rows:
        real = row["fid"] < 1e-6 and abs(row["kid"]["mean"]) < 1e-6
        assert real == (row["method"] != "degraded"), row


def test_perception_does_not_depend_on_the_batch_size():
    pytest.importorskip("torchmetrics")
    whole, parts = (report_of(PixelMask(), features=Pooled(), batch_size=size) for size in (12, 5))
    for a, b in zip(whole.rows, parts.rows, strict=True):
        assert a["fid"] == pytest.approx(b["fid"], abs=1e-4) and a["kid"] == pytest.approx(b["kid"], abs=1e-4)


def test_lpips_has_a_mean_and_an_interval_like_other_distances(monkeypatch):
    def stub(net, verbose):
        return type("Stub", (nn.Module,), {"forward": lambda self, a, b, normalize: (a - b).abs().mean((1, 2, 3))})()

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=stub))
    report = report_of(GaussianBlur(), features="lpips")
    assert report.rows[0]["lpips"].keys() == MEAN and "fid" not in report.rows[0]
    assert "LPIPS [95%]" in report.to_markdown() and "LPIPS" in report.conclusion[2]


def test_oracle_rows_are_never_recommended():
    class Grey(nn.Linear):
        """Sees nothing: what helps is to subtract the noise, which is known to oracles only."""

        def forward(self, x, t):
            return torch.full_like(x, 0.3)

    report = report_of(PixelNoise(), Grey(1, 1), start_times=(0.5,))
    best = min(report.rows, key=lambda row: row["rmse"]["mean"])
    assert best["oracle"], "the test has lost its point: an oracle is to be best"
    assert "oracle" not in " ".join(report.conclusion)


def test_pairs_are_damaged_as_their_other_half_says():
    endpoint = DATA.images.flip(-1)
    data = replace(DATA, params={"endpoint": endpoint})
    run = tiny.run_of(tiny.NET.build(), Interpolate())
    report = evaluate(run, data, start_times=(1.0,), steps=(2,), num_images=7, batch_size=4, progress=False)
    expected = (DATA[:7] - endpoint[:7] / 255).square().mean(dim=(1, 2, 3)).sqrt().mean()
    assert report.rows[0]["rmse"]["mean"] == pytest.approx(float(expected), rel=1e-5)


# --- generated images ------------------------------------------------------------------------------------------------


def test_generated_images_are_compared_with_training_images(tmp_path):
    run = replace(tiny.run_of(tiny.NET.build(), GaussianNoise()), prior=StandardNormal())
    options = {"start_times": (1.0,), "steps": (2,), "num_images": 8, "progress": False}
    report = evaluate(run, DATA, num_generated=3, train_data=load_data("digits"), **options)
    value = json.loads(report.to_json())["generation"]
    assert value["images"] == 3 and value["verdict"] == report.generation.verdict
    assert report.generation.verdict in report.to_markdown()
    assert tmp_path / "neighbours.png" in report.save(tmp_path) and (tmp_path / "neighbours.png").is_file()
    with pytest.raises(ValueError, match=r"needs the training images: name them with training \(--train-data\)"):
        evaluate(run, DATA, num_generated=3, **options)
    without = evaluate(replace(run, prior=None), DATA, num_generated=3, **options)
    assert without.generation is None and "no prior" in without.protocol["generation"]


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(one_step_run, tmp_path, monkeypatch):
    monkeypatch.setattr(rotation_classifier, "STEPS", 2)
    return shutil.copytree(one_step_run, tmp_path / "run")


def colddiff_eval(folder, *arguments):
    plain = ["--start", "1", "--steps", "2", "--images", "8", "--device", "cpu"]
    return main(["eval", str(folder), "digits", *plain, *map(str, arguments)])


def told(folder):
    return json.loads((folder / "report" / "report.json").read_text())


def test_eval_trains_a_classifier_once(folder, capsys):
    pytest.importorskip("torchmetrics")
    assert colddiff_eval(folder) == 0
    first = told(folder)
    assert first["rows"][0]["kid"] and (folder / "features.safetensors").is_file()
    assert capsys.readouterr().out.startswith("- Is iterating worth it? For distortion ")
    assert colddiff_eval(folder, "--perception", "classifier") == 0
    assert told(folder)["rows"] == first["rows"]


def test_eval_without_perception_measures_none(folder):
    assert colddiff_eval(folder, "--perception", "none") == 0
    assert "kid" not in told(folder)["rows"][0] and not (folder / "features.safetensors").exists()


def test_eval_says_what_to_install(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    assert colddiff_eval(folder) == 0
    assert (
        'left out: FID and KID need torchmetrics, which is not installed: pip install "colddiff[metrics]"'
        in (told(folder)["protocol"]["perception"])
    )
    assert colddiff_eval(folder, "--perception", "classifier") == 2
    assert 'pip install "colddiff[metrics]"' in capsys.readouterr().err


def test_eval_generates_and_compares(folder, capsys):
    assert colddiff_eval(folder, "--perception", "none", "--num-generated", 3) == 0
    assert told(folder)["generation"]["training"] == len(load_data("digits"))
    assert "neighbours.png" in capsys.readouterr().out and (folder / "report" / "neighbours.png").is_file()


def test_eval_finds_the_training_data_or_asks_for_them(folder, capsys):
    config = json.loads((folder / "config.json").read_text())
    config["data"] |= {"data": str(folder / "gone")}
    (folder / "config.json").write_text(json.dumps(config))
    assert colddiff_eval(folder, "--num-generated", 3) == 2
    assert "needs the training images: name them with training (--train-data)" in capsys.readouterr().err
    assert colddiff_eval(folder, "--perception", "none", "--num-generated", 3, "--train-data", "digits") == 0
    assert colddiff_eval(folder, "--num-generated", 3, "--train-data", "digitz") == 2
    assert "no data at 'digitz'" in capsys.readouterr().err
    if not (folder / "features.safetensors").exists():
        assert colddiff_eval(folder) == 0
        assert told(folder)["protocol"]["perception"].startswith("left out: ")


def test_eval_looks_where_it_will_write_before_it_measures(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("colddiff.evaluation.report.evaluate", None)
    (tmp_path / "file").touch()
    assert colddiff_eval(folder, "--out", tmp_path / "file") == 2
    assert "is a file, not a folder" in capsys.readouterr().err
    (tmp_path / "taken" / "neighbours.png").mkdir(parents=True)
    assert colddiff_eval(folder, "--num-generated", 1, "--out", tmp_path / "taken") == 2
    assert "neighbours.png' is a folder" in capsys.readouterr().err


def test_eval_has_saved_what_it_prints(folder, monkeypatch):
    def broken(*_):
        raise BrokenPipeError

    monkeypatch.setattr(evaluate_module, "print", broken, raising=False)
    colddiff_eval(folder, "--perception", "none")
    assert told(folder)["rows"]


@pytest.mark.parametrize("name", ["digits", SHIPPED / "digits"])
def test_eval_of_a_run_of_the_library_writes_beside_the_user(name, tmp_path, monkeypatch):
    monkeypatch.setattr(rotation_classifier, "STEPS", 2)
    monkeypatch.chdir(tmp_path)
    before = sorted(SHIPPED.rglob("*"))
    assert colddiff_eval(name) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report"] and sorted(SHIPPED.rglob("*")) == before
    if find_spec("torchmetrics"):
        assert "not saved, as the run comes with the library" in told(tmp_path)["protocol"]["perception"]


def test_eval_without_matplotlib_goes_on_and_says_what_is_missing(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "worth.png").write_text("of an earlier report")
    assert colddiff_eval(folder, "--perception", "none", "--out", tmp_path / "out") == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["report.json", "report.md", "report.png"]
    said = capsys.readouterr().out
    assert 'worth.png left out, as matplotlib is not installed: pip install "colddiff[plots]"' in said
