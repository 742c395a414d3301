"""`colddiff train`: a run from a line, with or without a preset."""

import json

import pytest
import torch
from support.command_line import TINY, colddiff
from support.tiny import NET, config

from colddiff import Animorph, CosineBetas, load_data
from colddiff.apps.cli import index
from colddiff.apps.cli.commands import train as train_command
from colddiff.data.dataset import with_targets
from colddiff.models.serialization import load
from colddiff.training.batches import Batches
from colddiff.training.config import TrainConfig
from colddiff.training.train import train
from colddiff.utils.config import registered
from colddiff.utils.text import argument_texts


def test_train_leaves_a_run_with_a_card_and_prints_its_table(tmp_path, capsys):
    out = tmp_path / "run"
    assert colddiff("train", "digits", "--degradation", "gaussian_blur", "--out", out, *TINY) == 0
    told = capsys.readouterr().out
    assert "| 1.00 | improved |" in told and str(out) in told
    assert "| 1.00 | improved |" in (out / "README.md").read_text()
    assert colddiff("inspect", out) == 0
    told = capsys.readouterr().out
    assert "gaussian_blur" in told and "step 2 of 2" in told and "validation_loss" in told


@pytest.mark.parametrize("prior", registered("colddiff.priors"))
def test_a_run_generates_from_every_prior(prior, tmp_path):
    out, args = tmp_path / "run", ["--degradation", "gaussian_blur", "--prior", prior, "--prior.sigma", "0.01"]
    assert colddiff("train", "digits", "--out", out, *args, *TINY) == 0
    assert colddiff("sample", out, "-n", 2, "--steps", 2, "--out", tmp_path / "grid.png") == 0
    config = json.loads((out / "config.json").read_text())
    assert config["prior"]["type"] == prior and config["prior"]["sigma"] == 0.01


def test_a_unet_of_another_width_takes_the_channels_of_the_data(tmp_path):
    args = ["--degradation", "gaussian_blur", "--steps", "1", "--batch-size", "4", "--device", "cpu"]
    shape = ["--restorer", "unet", "--restorer.width", "8", "--restorer.blocks", "1"]
    assert colddiff("train", "digits", "--out", tmp_path / "run", *args, *shape) == 0
    assert load(tmp_path / "run", device="cpu").config["restorer"]["channels"] == 1


def test_every_setting_of_a_training_is_an_option_with_a_text(capsys):
    assert colddiff("train", "--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    texts = argument_texts(TrainConfig)
    assert all(texts.values()), texts
    for name in texts:
        assert name == "data" or f"--{name.replace('_', '-')}" in told or name in told


def test_every_setting_of_a_training_is_in_one_group_of_options():
    named = [name for names in train_command.GROUPS.values() for name in names.split()]
    assert sorted(named) == sorted(index.read()["train"].keys() - {"data"}) and len(set(named)) == len(named)


SMALL = ["--restorer", "unet", "--restorer.width", "8", "--restorer.multipliers", "[1]", "--batch-size", "4"]


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
