"""Three classifiers judge together."""

import pytest
import torch

import colddiff.evaluation.rotation_classifier
import colddiff.training.train
from colddiff import load_data
from colddiff.evaluation.feature_ensemble import together, trained_ensemble
from colddiff.evaluation.features import kid

pytest.importorskip("torchmetrics")


@pytest.fixture(autouse=True)
def hasty_classifiers(monkeypatch) -> None:
    monkeypatch.setattr(colddiff.evaluation.rotation_classifier, "STEPS", 3)


def test_judges_are_trained_apart_and_kept(tmp_path) -> None:
    data = load_data("digits", split="train")
    three = trained_ensemble(data, tmp_path, torch.device("cpu"), progress=False)
    again = trained_ensemble(data, tmp_path, torch.device("cpu"), progress=False)
    x = data[:8]
    other = trained_ensemble(load_data("digits", split="train", size=16), tmp_path, torch.device("cpu"), progress=False)
    assert not torch.equal(other(x), three(x))  # another data set has its own
    assert torch.equal(three(x), again(x)) and len(list(tmp_path.glob("ensemble-*"))) == 6
    one, other = (net(x) for net in three.nets[:2])
    assert not torch.allclose(one, other) and three.num_features == 3 * one.shape[1]
    real, new = three(data[:20]).double(), three(data[20:40]).double()
    width = three.widths[0]
    assert torch.equal(three.kids(real, new)[1], kid(real[:, width : 2 * width], new[:, width : 2 * width]))
    assert together(three.kids(real, new)).mean == pytest.approx(
        sum(float(k.mean()) for k in three.kids(real, new)) / 3
    )
