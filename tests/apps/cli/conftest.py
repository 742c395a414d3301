"""Runs, pictures and lines that tests of the command line share."""

import numpy as np
import pytest
from PIL import Image
from support import tiny
from support.command_line import colddiff

from colddiff.apps.cli.commands import train as train_command
from colddiff.degradations import GaussianMask
from colddiff.training.train import train


@pytest.fixture
def mistake(capsys, tmp_path, monkeypatch):
    """Runs a command that must end in one line; returns the line."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        before = sorted(tmp_path.rglob("*"))
        code = colddiff(*arguments)
        told = capsys.readouterr().err
        assert code == 2, told
        assert told.startswith("colddiff: ") and told.count("\n") == 1 and "Traceback" not in told, told
        assert sorted(tmp_path.rglob("*")) == before, "something was left behind"
        return told

    return run


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    return train(tiny.config(tmp_path_factory.mktemp("grey") / "run"), progress=False).path


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    restorer = tiny.NET.from_config(tiny.NET.to_config() | {"channels": 3})
    folder = tmp_path_factory.mktemp("colour")
    np.save(folder / "data.npy", np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype(np.uint8))
    op = GaussianMask(num_steps=5, kernel_std=0.2)
    config = tiny.config(folder / "run", data=str(folder / "data.npy"), restorer=restorer, degradation=op)
    return train(config, progress=False).path


@pytest.fixture
def photo(tmp_path):
    """A picture of odd size."""
    gradient = np.add.outer(np.arange(11), np.arange(15)).astype(np.uint8) * 10
    path = tmp_path / "photo.png"
    Image.fromarray(
        np.stack([gradient, gradient[::-1], gradient.T.repeat(2, 0)[:11, :11].repeat(2, 1)[:, :15]], -1)
    ).save(path)
    return path


@pytest.fixture
def parsed(monkeypatch):
    """The TrainConfig that a command line ends up as."""

    def parse(*arguments):
        seen = []
        monkeypatch.setattr(train_command, "run", lambda config, resume: seen.append((config, resume)))
        assert colddiff("train", *arguments) == 0
        return seen[0][0]

    return parse
