"""Presets are trainings, and every published row has one."""

from dataclasses import replace

import pytest

import colddiff as cd
from colddiff.paper import presets
from colddiff.paper.published import RESTORATION
from colddiff.paper.restoration_table import experiment_of
from colddiff.training.config import TrainConfig
from colddiff.training.setup import restorer_for


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_is_a_training(name, tmp_path) -> None:
    one = replace(presets.preset(name), channels=1)
    others = {"target_data": "digits"} if one.degradation.required_params else {}
    config = one.config("digits", str(tmp_path), **others)
    assert isinstance(config, TrainConfig) and config.degradation == one.degradation and config.loss == "l1"
    shape = restorer_for(config, cd.load_data("digits", split="test"))
    assert shape.num_steps == one.degradation.levels  # the official networks are told the step
    again = TrainConfig.from_config(config.to_config())
    assert again == config


def test_presets_can_be_changed_field_by_field(tmp_path) -> None:
    one = presets.preset("deblur_mnist")
    config = one.config("digits", str(tmp_path), minutes=3.0, lr=1e-3)
    assert config.minutes == 3 and config.steps is None and config.lr == 1e-3
    with pytest.raises(LookupError, match=r"did you mean 'deblur_mnist'"):
        presets.preset("deblur_mnits")


@pytest.mark.parametrize("table", RESTORATION)
def test_every_published_row_has_a_preset(table) -> None:
    for row in RESTORATION[table]:
        assert experiment_of(table, row).degradation.levels
    with pytest.raises(LookupError, match="no row 'imagenet'"):
        experiment_of(table, "imagenet")


def test_the_official_networks_take_the_channels_of_the_data(tmp_path) -> None:
    data = cd.load_data("digits", split="train")
    config = presets.preset("deblur_mnist").config("digits", str(tmp_path), restorer={"type": "convnext_unet"})
    assert restorer_for(config, data).channels == 1
