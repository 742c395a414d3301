"""The table of generation, hot and cold."""

from dataclasses import replace

import pytest
import torch
from support.tiny import NET

import colddiff.evaluation.rotation_classifier
import colddiff.training.train
from colddiff import CosineBetas, GaussianNoise, IteratedBlur, paper
from colddiff.paper.generation_table import WAYS, _blur, generation_table
from colddiff.paper.published import GENERATION

pytest.importorskip("torchmetrics")


QUICK = {"steps": 3, "minutes": None, "restorer": NET, "batch_size": 4, "precision": "fp32", "device": "cpu"}


@pytest.fixture(autouse=True)
def hasty_classifiers(monkeypatch) -> None:
    monkeypatch.setattr(colddiff.evaluation.rotation_classifier, "STEPS", 3)


def test_generation_has_hot_and_cold_with_both_symmetries(tmp_path, monkeypatch) -> None:
    for name in WAYS:
        assert {rows[name] for rows in GENERATION.values()}
    quick = IteratedBlur(num_steps=5, ends_in_mean=True)
    monkeypatch.setattr("colddiff.paper.generation_table._blur", lambda side: quick)
    monkeypatch.setattr("colddiff.paper.generation_table.HOT", GaussianNoise(betas=CosineBetas(num_steps=4)))
    table = generation_table("digits", tmp_path, images=6, features="ensemble", changes=QUICK, progress=False)
    assert list(table.rows) == list(WAYS)
    assert table.rows["cold, broken symmetry"]["calls"] == 5 and table.rows["hot, fixed noise"]["calls"] == 4
    flat = dict(table.pictures)["cold, perfect symmetry"]
    assert flat.shape == (6, 1, 32, 32)
    assert [f.name for f in table.save(tmp_path)][:2] == ["generation.md", "generation.json"]
    assert "| cold, broken symmetry | — | 5 |" in table.to_markdown()


def test_the_blur_of_generation_has_the_papers_widths_in_shares_of_the_image() -> None:
    blur = _blur(128)
    assert (blur.num_steps, blur.kernel_size, blur.ends_in_mean) == (300, 27, True)
    assert replace(blur, ends_in_mean=False) == paper.blur("Exponential", 300, 27, 0.01)
    small = _blur(32)
    assert small.kernel_size == 7 and float(small.sigmas.sigmas(1)[0]) == 0.25
    assert float(small.spectrum(32, torch.tensor([299]))[1][0, 1]) < 0.01  # all but the mean is gone before it goes
