"""The table tells the truth about a run, and how it was measured."""

import json

import pytest
import tiny
import torch

from colddiff.data import ImageData, load_data
from colddiff.degradations import GaussianBlur, GaussianMask, GaussianNoise, IteratedBlur, PixelMask, PixelNoise
from colddiff.report import PICTURED, evaluate, write_card

DATA = load_data("digits", split="test")
MEAN = {"mean", "low", "high"}


def report_of(degradation, net=None, n=12, **options):
    torch.manual_seed(0)
    run = tiny.run_of(net or tiny.NET.build(), degradation)
    options = {"starts": (0.5, 1.0), "steps": (3,), "images": n, "progress": False} | options
    return evaluate(run, DATA, **options)


def methods(report, start=1.0):
    return [row["method"] for row in report.rows if row["start"] == start]


def test_the_json_has_the_schema_of_the_command(tmp_path):
    value = json.loads(report_of(GaussianBlur()).to_json())
    assert value.keys() == {"protocol", "n_images", "rows"} and value["n_images"] == 12
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
    assert report_of(GaussianBlur(), eight_bit=False).protocol["input"] == "float32"


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
        rows = report_of(op, net, eight_bit=False).rows
        restored = [row["rmse"]["global"] for row in rows if row["method"] != "degraded"]
        assert max(restored) < 1e-3, op
        assert min(row["rmse"]["global"] for row in rows if row["method"] == "degraded") > 0.01


def test_the_global_rmse_is_over_all_values():
    report = report_of(GaussianBlur(), eight_bit=False)
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
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(report.rows)
    for row, line in zip(report.rows, table[2:], strict=True):
        assert f"| {row['method']} |" in line and f"{row['rmse']['global']:.4f}" in line
    assert all(any(line.startswith(f"- {key}: ") for line in lines) for key in report.protocol)


def test_starts_and_steps_snap_to_levels():
    report = report_of(GaussianMask(num_steps=4), starts=(0.3,), steps=(20,))
    assert {row["start"] for row in report.rows} == {0.25}
    assert {row["steps"] for row in report.rows} == {0, 1}


@pytest.mark.parametrize(
    ("options", "told"),
    [({"starts": (0.0,)}, r"start must be in \(0, 1\], got 0"), ({"starts": (2.0,)}, "start must be in"),
     ({"steps": (0,)}, "steps must be a whole number"), ({"n": 0}, "at least one image"), ({"n": -3}, "at least one"),
     ({"starts": ()}, "at least one"), ({"steps": ()}, "at least one")],
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
    from colddiff.training import train

    run = train(tiny.config(tmp_path / "run", steps=1), progress=False)
    report = evaluate(run, DATA, starts=(1.0,), steps=(2,), images=4, progress=False)
    write_card(run, report)
    card = (run.path / "README.md").read_text()
    assert report.to_markdown() in card and "(report.png)" in card and '"sigma_max": 3.0' in card
    assert (run.path / "report.png").is_file()
    assert json.loads((run.path / "report.json").read_text())["n_images"] == 4


def test_starts_on_one_level_are_measured_once():
    rows = report_of(IteratedBlur(num_steps=2), starts=(0.25, 0.5, 0.75, 1.0)).rows
    assert [row["start"] for row in rows if row["method"] == "degraded"] == [0.5, 1.0]
