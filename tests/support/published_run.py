"""A run, measured, and a hub on this machine to which it goes."""

import shutil
import time

import huggingface_hub
import pytest
from huggingface_hub import constants

import colddiff as cd
from colddiff.evaluation.report import evaluate, write_card
from colddiff.interop.huggingface import stage
from colddiff.models.time_estimator import TimeEstimator
from colddiff.training.train import train
from support import tiny
from support.fake_hub import TOKEN, serving

NAME = "alice/blur"

FILE_URL = "/{repo_id}/resolve/{revision}/{filename}"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this machine, alice's token for it, an empty cache, and a folder where nothing is."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name in ("HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # before what failed is tried again
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + FILE_URL)
        yield hub
    getattr(huggingface_hub, "close_session", lambda: None)()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of digits that was measured: nobody changes it."""
    run = train(tiny.config(tmp_path_factory.mktemp("home") / "runs" / "blur", steps=2), progress=False)
    data = cd.load_data("digits", split="test")
    report = evaluate(run, data, start_times=(0.5, 1.0), steps=(2,), num_images=4, progress=False)
    report.recommended.save(run.path)
    TimeEstimator(1).save(run.path)
    run = cd.load(run.path, device="cpu")
    write_card(run, report)
    return run


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it."""
    return cd.load(shutil.copytree(trained.path, tmp_path / "runs" / "blur"), device="cpu")


@pytest.fixture(scope="session")
def staged(trained, tmp_path_factory):
    """What is sent of it."""
    folder = tmp_path_factory.mktemp("staged")
    stage(trained, folder, NAME)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def there(hub, staged):
    """The hub, with the run on it."""
    hub.put(NAME, staged)
    return hub
