"""What every test shares: one thread per worker, and a way to make images."""

import os
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from colddiff.utils import config

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def only_the_library_is_registered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test file registers, it registers for itself."""
    for group, classes in config._CLASSES.items():
        own = {n: c for n, c in classes.items() if c.__module__.startswith(("colddiff.", request.module.__name__))}
        monkeypatch.setitem(config._CLASSES, group, own)


@pytest.fixture
def images() -> Callable[..., Tensor]:
    """Random images in [0, 1], the same ones for the same shape."""

    def make(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
        return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)

    return make
