"""The paper on the command line: presets, official weights, images that become others."""

import json
from types import SimpleNamespace

import pytest
import torch
from support.official_files import blurred, preset, saved  # what an official file looks like
from support.tiny import NET, config

from colddiff import Animorph, CosineBetas, load, load_data, train
from colddiff.apps.cli.main import main
from colddiff.data.dataset import with_targets
from colddiff.paper.presets import PRESETS, TRAINING
from colddiff.training.batches import Batches
from colddiff.training.config import TrainConfig

SMALL = ["--restorer", "unet", "--restorer.width", "8", "--restorer.multipliers", "[1]", "--batch-size", "4"]


def colddiff(*arguments) -> int:
    return main([str(a) for a in arguments])


def test_presets_are_listed_with_what_they_undo(capsys) -> None:
    assert colddiff("presets") == 0
    told = capsys.readouterr().out
    assert all(name in told for name in PRESETS) and "iterated_blur num_steps=20" in told
    assert colddiff("presets", "--json") == 0
    assert json.loads(capsys.readouterr().out)["deblur_mnist"]["lr"] == TRAINING["lr"] == 2e-5


def settings_of(tmp_path, *arguments) -> dict:
    assert colddiff("train", "digits", *arguments, "--out", tmp_path / "run", *SMALL, "--device", "cpu") == 0
    return json.loads((tmp_path / "run" / "config.json").read_text())["training"]


def test_a_preset_trains_and_every_field_can_be_given_beside_it(tmp_path) -> None:
    told = settings_of(
        tmp_path, "--preset", "deblur_mnist", "--steps", "2", "--grad-accumulation", "1",
        "--degradation.num_steps", "5",
        "--image-size", "16",
    )  # fmt: skip
    assert told["steps"] == 2 and told["lr"] == 2e-5 and told["image_size"] == 16 and not told["cosine_decay"]
    assert told["degradation"]["num_steps"] == 5 and told["degradation"]["sigmas"]["sigma"] == 7.0
    assert told["flip"] and told["restorer"]["type"] == "unet"


def test_minutes_replace_the_steps_of_a_preset(tmp_path) -> None:
    told = settings_of(tmp_path, "--preset=superres_mnist", "--minutes", "0.02", "--image-size", "16")
    assert told["minutes"] == 0.02 and told["steps"] is None


def test_a_file_beside_a_preset_overrides_it_and_cannot_name_one(tmp_path, capsys) -> None:
    (tmp_path / "more.yaml").write_text("minutes: 0.02\nlr: 0.5\n")
    told = settings_of(tmp_path, "--preset", "superres_mnist", "--config", tmp_path / "more.yaml", "--image-size", "16")
    assert told["minutes"] == 0.02 and told["steps"] is None and told["lr"] == 0.5
    (tmp_path / "late.yaml").write_text("preset: superres_mnist\n")
    assert colddiff("train", "digits", "--config", tmp_path / "late.yaml", "--out", tmp_path / "other") == 2
    assert "a preset is given on the command line" in capsys.readouterr().err


def test_a_preset_without_a_name_is_refused(capsys, tmp_path) -> None:
    assert colddiff("train", "digits", "--preset", "deblur", "--out", tmp_path) == 2
    assert "no preset is named 'deblur'" in capsys.readouterr().err


def test_official_weights_become_a_run(tmp_path, capsys, monkeypatch) -> None:
    file = saved(blurred(), tmp_path)
    monkeypatch.setitem(PRESETS, "small", SimpleNamespace(config=lambda data, out: preset(data=data)))
    assert colddiff("import-official", file, "--preset", "small", "--out", tmp_path / "run") == 0
    assert "parameters, averaged weights of step" in capsys.readouterr().out
    assert load(tmp_path / "run").restore(torch.rand(1, 3, 16, 16), steps=2).shape == (1, 3, 16, 16)


# --- images that become others ---------------------------------------------------------------------------------------

MORPH = Animorph(betas=CosineBetas(num_steps=4))


def test_images_become_others_and_others_become_images(tmp_path) -> None:
    told = config(tmp_path / "run", degradation=MORPH, target_data="digits")
    run = train(told, progress=False)
    again = load(tmp_path / "run")
    new = again.sample(3, steps=2)
    assert new.shape == (3, *again.shape) and torch.equal(new, run.sample(3, steps=2))
    assert again.prior.registered_name == "empirical"  # it starts from images of the others


def test_every_image_meets_another_one_each_time() -> None:
    data = load_data("digits", split="train")
    both = with_targets(data, load_data("digits", split="test"))
    batches = Batches(both, MORPH, 8, seed=0)
    first, second = (batches.at(k * len(both) // 8 * 8, torch.device("cpu")).params["target"] for k in (0, 1))
    assert not torch.equal(first, second) and first.shape == (8, 1, 8, 8)
    known = {bytes((t * 255).round().to(torch.uint8).numpy()) for t in both.params["target"][:].float() / 255}
    assert all(bytes((t * 255).round().to(torch.uint8).numpy()) in known for t in first)


def test_others_go_with_what_turns_images_into_others() -> None:
    with pytest.raises(ValueError, match="name those with target_data"):
        TrainConfig(data="digits", degradation=MORPH, out="run")
    with pytest.raises(ValueError, match="leave target_data out"):
        config("run", target_data="digits", restorer=NET)
    with pytest.raises(ValueError, match="give an image size"):
        with_targets(load_data("digits", split="test"), load_data("digits", split="test", size=16))


def test_a_run_that_turns_images_is_measured_beside_its_others(tmp_path, capsys) -> None:
    train(config(tmp_path / "run", degradation=MORPH, target_data="digits"), progress=False)
    asked = ["eval", tmp_path / "run", "digits", "--images", "4", "--steps", "2", "--perception", "none"]
    assert colddiff(*asked, "--out", tmp_path / "report", "--input", "chain") == 0
    assert "float32, by the steps of the chain" in capsys.readouterr().out
