"""The card of a run, as the hub reads it."""

import json
import re

import huggingface_hub
import pytest
from support.hub_lines import header
from support.published_run import NAME

import colddiff as cd
from colddiff.evaluation.report import evaluate
from colddiff.models.redaction import strip_paths

REPORT = {"report.json", "report.png"}


def test_the_card_on_the_hub_is_that_of_the_run_under_its_name_there(there, trained):
    local = (trained.path / "README.md").read_text()
    shared = there.files(NAME)["README.md"].decode()
    told = shared.replace("# or the path of a copy", "# the path of this folder")
    assert told.replace(NAME, "blur").replace("blur.png", "blur damaged.png") == local.replace(
        "blur.png", "blur damaged.png"
    )


def test_the_header_of_the_card_is_what_the_hub_reads(there, trained):
    card = huggingface_hub.ModelCard(there.files(NAME)["README.md"].decode())
    told = card.data.to_dict()
    assert (told["library_name"], told["pipeline_tag"], "license" in told) == ("colddiff", "image-to-image", False)
    assert "gaussian_blur" in told["tags"] and "datasets" not in told
    rows = json.loads((trained.path / "report.json").read_text())["rows"]
    measured = {
        (f"{title}, {row['method']}, calls: {row['calls']}", round(row[metric][key], 6))
        for row in rows if row["start"] == 1 and row["method"] in ("one_shot", "naive", "improved")
        for metric, title, key in (("rmse", "RMSE", "global"), ("psnr", "PSNR", "mean"), ("ssim", "SSIM", "mean"))
    }  # fmt: skip
    assert {(r.metric_name, r.metric_value) for r in card.data.eval_results} == measured and len(measured) == 9
    assert {(r.dataset_name, r.dataset_split) for r in card.data.eval_results} == {("digits", "test")}


def test_the_card_has_every_setting_and_what_not_to_expect(there, trained):
    card = there.files(NAME)["README.md"].decode()
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", card, re.DOTALL)]
    config = strip_paths(trained.config)
    settings = {"training": config["training"], "data": config["data"]}
    assert blocks == [config["degradation"], config["restorer"], config["prior"], settings]
    assert "1617 images of digits (split train), 8 x 8 pixels, one channel (grey), for 2 steps" in card
    assert "no evidence of what was there" in card and f"colddiff {cd.__version__}" in card
    assert all(f"| {row['method']} |" in card for row in json.loads(there.files(NAME)["report.json"])["rows"])


def test_the_card_names_the_data_set_of_the_hub(hub, run, tmp_path):
    (tmp_path / "cache" / "datasets--owner--set").mkdir(parents=True)
    config = json.loads((run.path / "config.json").read_text())
    config["data"]["data"] = config["training"]["data"] = "owner/set:small"
    (run.path / "config.json").write_text(json.dumps(config))
    cd.push(run.path, NAME, prior=True)
    assert header(hub)["datasets"] == ["owner/set"] and cd.load(NAME).config["data"]["data"] == "owner/set:small"


def test_a_table_of_other_weights_is_not_shown(hub, run):
    config = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps(config | {"step": 3}))
    with pytest.warns(UserWarning, match=r"nothing was measured of .* at step 3, and its card says so: `colddiff eval"):
        cd.push(run.path, NAME)
    assert "Nothing was measured of these weights." in hub.files(NAME)["README.md"].decode()
    assert "model-index" not in header(hub) and not REPORT & hub.files(NAME).keys()


def test_what_eval_has_measured_comes_before_what_the_training_did(hub, run):
    digits, options = cd.load_data("digits", split="test"), {"steps": (2,), "num_images": 3, "progress": False}
    evaluate(run, digits, start_times=(0.75,), **options).save(run.path / "report")
    cd.push(run, NAME)
    assert json.loads(hub.files(NAME)["report.json"])["n_images"] == 3
    assert header(hub)["model-index"][0]["results"][0]["task"]["name"] == "undo gaussian_blur from t = 0.75"
