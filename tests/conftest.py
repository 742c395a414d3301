"""What every test shares: how many threads a worker has, a way to make images, and runs that are trained once."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import tiny
from torch import Tensor

from colddiff.models.serialization import SHIPPED
from colddiff.training.train import train
from colddiff.utils import config

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


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


@pytest.fixture(scope="session")
def one_step_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of one step that nobody changes."""
    return train(tiny.config(tmp_path_factory.mktemp("one-step") / "run", steps=1), progress=False).path


@pytest.fixture
def folder(one_step_run: Path, tmp_path: Path) -> Path:
    """A copy of it, that nothing was measured or recommended for."""
    return Path(shutil.copytree(one_step_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints of its last two steps that nobody changes."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(tiny.config(out, checkpoint_every=1), progress=False)
    return out


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the run that comes with the library."""
    return Path(shutil.copytree(SHIPPED / "digits", tmp_path / "run"))
