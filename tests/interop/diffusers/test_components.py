"""Folders of diffusers that anybody may have written execute nothing; the command makes whole ones."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from support.fake_hub import serving

from colddiff.models.run import Run
from colddiff.models.serialization import load, save
from colddiff.samplers.priors import Constant
from colddiff.utils import config

diffusers = pytest.importorskip("diffusers")

from support.diffusers_pipelines import NET, OPERATORS, quiet, run_of  # noqa: E402

from colddiff.interop.diffusers import (  # noqa: E402  # noqa: E402
    ColdPipeline,
    ColdScheduler,
    ColdUNet,
    components,
    from_diffusers,
    scheduler,
    to_diffusers,
)
from colddiff.interop.diffusers import pipeline as ours  # noqa: E402

# --- folders that anybody may have written ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return to_diffusers(run_of(OPERATORS["blur"], prior=Constant()), tmp_path / "p")


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("part", [["antigravity", "ColdUNet"], ["unet", "Mine"], ["colddiff.apps.cli.main", "main"]])
def test_no_module_is_imported_because_a_folder_names_it(part: list[str], folder: Path) -> None:
    (folder / "unet" / "unet.py").write_text("raise AssertionError('executed')")
    changed(folder / "model_index.json", unet=part)
    with pytest.raises(ValueError, match="nothing is imported because a file says so"):
        ColdPipeline.from_pretrained(folder)
    assert "antigravity" not in sys.modules


def test_no_pipeline_is_imported_because_a_folder_names_it(folder: Path) -> None:
    (folder / "mine.py").write_text("raise AssertionError('executed')")
    changed(folder / "model_index.json", _class_name=["mine", "Mine"])
    with pytest.raises(ValueError, match="nothing is imported because a file says so"):
        ColdPipeline.from_pretrained(folder)


@pytest.mark.parametrize("trusted", [False, True])
def test_a_plug_in_is_imported_for_a_folder_only_if_it_is_trusted(trusted: bool, folder: Path, monkeypatch) -> None:
    class Point:
        name, value = "fog", "fogs:Fog"

        def load(self) -> object:
            raise AssertionError("imported")

    monkeypatch.setattr(config, "entry_points", lambda group, name=None: [Point()] if name == "fog" else [])
    changed(folder / "scheduler" / "scheduler_config.json", degradation={"type": "fog"})
    error, told = (AssertionError, "imported") if trusted else (LookupError, "import fogs yourself, or trust it")
    with pytest.raises(error, match=told):
        ColdPipeline.from_pretrained(folder, trust_plugins=trusted)


def test_pickled_weights_are_never_read(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(OSError, match="safetensors"):
        ColdPipeline.from_pretrained(folder, use_safetensors=False)
    with pytest.raises(OSError, match="safetensors"):
        ColdUNet.from_pretrained(folder / "unet")


def test_weights_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    other = to_diffusers(run_of(OPERATORS["blur"], replace(NET, blocks=2)), tmp_path / "other")
    (other / "unet" / "config.json").replace(folder / "unet" / "config.json")
    with pytest.raises(ValueError, match="do not fit the network"):
        ColdPipeline.from_pretrained(folder)


def test_a_config_that_fills_the_memory_is_not_read(folder: Path) -> None:
    with (folder / "scheduler" / "scheduler_config.json").open("a") as file:
        file.write(" " * 2**21)
    with pytest.raises(ValueError, match="larger than"):
        ColdPipeline.from_pretrained(folder)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"sample_size": [8, 10**9]}, "1 .. 8192 px"),
        ({"sample_size": [8, 8, 8]}, "1 .. 8192 px"),
        ({"in_channels": 10**9}, "1 .. 1024 channels"),
        ({"run": {"data": "album"}}, "whose data is not as `colddiff export` wrote it"),
    ],
)
def test_a_config_that_cannot_be_is_refused(values: dict, told: str, folder: Path) -> None:
    changed(folder / "unet" / "config.json", **values)
    with pytest.raises(ValueError, match=told):
        from_diffusers(folder, folder / "run")
    assert not (folder / "run").exists()


def test_a_pipeline_comes_from_the_hub_with_its_prior(digits: Run, exported: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    files = {str(f.relative_to(exported)): f.read_bytes() for f in exported.rglob("*") if f.is_file()}
    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        hub.put("alice/digits", files)
        pipeline = ColdPipeline.from_pretrained("alice/digits", cache_dir=tmp_path)
        files |= {"model_index.json": b'{"_class_name": ["mine", "Mine"]}', "mine.py": b"1 / 0"}
        hub.put("mallory/digits", files)
        with pytest.raises(ValueError, match="nothing is imported"):
            ColdPipeline.from_pretrained("mallory/digits", cache_dir=tmp_path)
        assert {Path(name).suffix for name in hub.downloads()} == {".json", ".safetensors"}
    getattr(huggingface_hub, "close_session", lambda: None)()
    assert pipeline.prior.prior == digits.prior and pipeline.scheduler.degradation == digits.degradation


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def export(tmp_path: Path, monkeypatch, capsys):
    """Runs `colddiff export`; gives its code and what it said."""
    from colddiff.apps.cli import main

    monkeypatch.chdir(tmp_path)
    run = run_of(OPERATORS["blur"])
    save(tmp_path / "run", run.net.state_dict(), run.config, None)

    def call(*arguments: str) -> tuple[int, str]:
        try:
            code = main.main(["export", *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return code, told.out + told.err

    return call


def test_the_command_writes_a_pipeline_and_says_how_it_is_read(export, tmp_path: Path) -> None:
    code, told = export("run", "p")
    assert code == 0 and "ColdPipeline.from_pretrained('p')" in told
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [
        "README.md", "model_index.json", "scheduler", "unet"
    ]  # fmt: skip
    weights = tmp_path / "p" / "unet" / "diffusion_pytorch_model.safetensors"
    assert weights.stat().st_mode & 0o777 == (tmp_path / "p" / "README.md").stat().st_mode & 0o777 != 0o600
    assert 'ColdPipeline.from_pretrained("p")' in (tmp_path / "p" / "README.md").read_text()
    x = torch.rand(1, 1, 8, 8)
    restored = quiet(ColdPipeline.from_pretrained("p"))(x, output_type="pt").images
    assert torch.allclose(restored, load("run", device="cpu").restore(x), atol=1e-5)
    assert "the same images as cd.load('run', precision='fp32')" in told and "anew" not in told
    code, told = export("run", "p")
    assert code == 0 and "in p, written anew;" in told


@pytest.mark.parametrize("name", ["m.onxx", "runs/foo.xyz", "m.pt"])
def test_no_folder_is_made_where_a_file_was_named(name: str, export, tmp_path: Path) -> None:
    code, told = export("run", name)
    assert code == 2 and f"{name!r} is named like a file" in told and "--format diffusers" in told
    assert not (tmp_path / name).exists()
    assert export("run", name, "--format", "diffusers")[0] == export("run", name)[0] == 0, "as it was meant"


def test_a_number_after_a_dot_is_no_kind_of_file(export) -> None:
    assert export("run", "pipeline-0.2")[0] == 0


def test_files_of_others_are_not_written_over(export, tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "a.png").write_bytes(b"mine")
    code, told = export("run", "album")
    assert code == 2 and told.count("\n") == 1 and "holds other files" in told and "--overwrite" in told
    assert [path.name for path in (tmp_path / "album").iterdir()] == ["a.png"]
    assert export("run", "album", "--overwrite")[0] == 0
    assert (tmp_path / "album" / "a.png").read_bytes() == b"mine"
    assert ColdPipeline.from_pretrained("album").scheduler.degradation == OPERATORS["blur"]
    code, told = export("run", "album/a.png")
    assert code == 2 and "is a file: give the name of a folder" in told
    (tmp_path / "graph.onnx").write_bytes(b"mine")
    code, told = export("run", "graph.onnx")
    assert code == 2 and "there is 'graph.onnx' already" in told and (tmp_path / "graph.onnx").read_bytes() == b"mine"
    assert "ONNX" not in told
    code, told = export("run", "p", "--format", "tf")
    assert code == 2 and "--format must be auto, diffusers or onnx, got" in told


def test_an_export_is_there_whole_or_not_at_all(export, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(ours, "write_text", full)
    assert export("run", "p") == (2, "colddiff: no space left\n") and sorted(tmp_path.iterdir()) == before
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert export("run", "p")[0] == 0
    monkeypatch.setattr(ours, "write_text", full)
    assert export("run", "p")[0] == 2
    assert ColdPipeline.from_pretrained("p").prior is None, "what was there before is still there"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    put = Path.replace

    def stopped(file: Path, target: Path) -> None:
        full() if target == Path("p/unet/config.json") else put(file, target)

    monkeypatch.setattr(Path, "replace", stopped)
    assert export("run", "p")[0] == 2
    assert not (tmp_path / "p" / "model_index.json").exists(), "half of it looks like a whole"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_nothing_is_written_through_a_link(export, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "unet").symlink_to(tmp_path / "elsewhere")
    code, told = export("run", "p", "--overwrite")
    assert code == 2 and "is a link" in told and [*(tmp_path / "elsewhere").iterdir()] == []


def test_without_diffusers_a_line_says_how_to_get_it(export, monkeypatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.startswith("colddiff.interop.diffusers")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    monkeypatch.delattr("colddiff.interop.diffusers")
    code, told = export("run", "p")
    assert (code, told.count("\n")) == (2, 1) and 'needs diffusers: pip install "colddiff[diffusers]"' in told
    assert not (tmp_path / "p").exists()


def test_the_parts_are_found_where_people_look() -> None:
    assert components.ColdUNet is ColdUNet and scheduler.ColdScheduler is ColdScheduler
