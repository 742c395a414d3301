"""Spectral: what it computes, against a slow twin."""

import pytest
import torch
import torch.nn.functional as F

from colddiff.degradations.spectral import border_index

BORDERS = ("reflect", "circular", "symmetric")


@pytest.mark.parametrize("border", BORDERS)
def test_borders_are_those_of_torch(border) -> None:
    mode = {"reflect": "reflect", "circular": "circular"}.get(border)
    row = torch.arange(6.0)[None, None]
    index = border_index(6, 5, border)
    if mode:
        assert torch.equal(row[0, 0][index], F.pad(row, (5, 5), mode=mode)[0, 0])
    else:
        assert index.tolist() == [4, 3, 2, 1, 0, 0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1]
