"""What the tests of evaluation share: a classifier that took a moment, and a way to train others at once."""

import pytest
import torch

from colddiff.data import load_data
from colddiff.evaluation import rotation_classifier
from colddiff.evaluation.rotation_classifier import train_classifier


@pytest.fixture(scope="session")
def net():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotation_classifier, "STEPS", 80)
        return train_classifier(load_data("digits", split="train"), torch.device("cpu"), progress=False)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(rotation_classifier, "STEPS", 2)
