"""Levels: what it computes, against a slow twin."""

import torch

from colddiff.degradations import levels


def test_a_severity_on_a_level_is_that_level() -> None:
    s = torch.tensor([0.0, 0.3, 0.5, 0.55, 1.0], dtype=torch.float64).reshape(-1, 1, 1, 1)
    level, fraction = levels.level_at(s, 10)
    assert level.tolist() == [0, 3, 5, 5, 10]
    assert torch.allclose(fraction.flatten(), torch.tensor([0, 0, 0, 0.5, 0], dtype=torch.float64))
    assert torch.equal(levels.level_at(s.float(), 10)[0], level)
