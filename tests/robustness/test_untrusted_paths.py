"""Nothing is opened, waited for, written or imported because a file that a stranger wrote says so."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from support.hostile_files import Bomb, refusal, text

import colddiff as cd
from colddiff.apps.cli import main
from colddiff.apps.cli.commands import evaluate
from colddiff.degradations import GaussianBlur
from colddiff.models.serialization import SHIPPED, load
from colddiff.paper.official_weights import import_official
from colddiff.paper.presets import preset
from colddiff.utils import config
from colddiff.utils.files import write_whole

# --- files that are none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "prior.safetensors"])
def test_a_pipe_is_not_waited_for_and_a_device_not_read(name: str, run: Path) -> None:
    (run / name).unlink()
    os.mkfifo(run / name)
    assert "not a run" in (told := refusal(load, run)) or "is a pipe or device, not a file" in told
    (run / name).unlink()
    (run / name).symlink_to("/dev/zero")
    assert "not a run" in (told := refusal(load, run)) or "is a pipe or device, not a file" in told
    (run / name).unlink()
    (run / name).mkdir()
    assert "not a run" in (told := refusal(load, run)) or "is a folder, not a file" in told


def test_a_linked_file_is_read_as_the_caches_of_hubs_link_theirs(run: Path, tmp_path: Path) -> None:
    shutil.move(run / "model.safetensors", tmp_path / "blob")
    (run / "model.safetensors").symlink_to(tmp_path / "blob")
    assert load(run, device="cpu").net is not None
    (run / "model.safetensors").unlink()
    (run / "model.safetensors").symlink_to("/etc/passwd")
    assert "is not a readable safetensors file" in (told := refusal(load, run)) and "copy it again" in told


def test_nothing_is_written_through_a_link_of_a_run(run: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "elsewhere").mkdir()
    (run / "report").symlink_to(tmp_path / "elsewhere")
    assert main.main(["eval", str(run), "digits", "--perception", "none"]) == 2
    assert "is a link that leaves the run: give another folder with --out" in capsys.readouterr().err
    (tmp_path / "precious").write_text("mine")
    parts: list[Path] = []
    write_whole(run / "report.md", lambda part: parts.append(part) or part.write_text(""))
    for place in (run / "report.md", *parts):
        place.unlink(missing_ok=True)
        place.symlink_to(tmp_path / "precious")
    write_whole(run / "report.md", lambda part: part.write_text("theirs"))
    assert (tmp_path / "precious").read_text() == "mine" and not (run / "report.md").is_symlink()


def test_pictures_are_not_opened_because_a_config_names_them(run: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    opened: list[str] = []
    monkeypatch.setattr("colddiff.data.dataset.load_data", lambda source, **_: opened.append(source))
    told = json.loads(text())
    for place in (str(tmp_path), "../../pictures", "owner/name"):
        told["data"] |= {"data": place, "paired_data": "owner/damaged"}
        (run / "config.json").write_text(json.dumps(told))
        model = load(run, device="cpu")
        with pytest.warns(UserWarning, match="which is not opened because a file says so: name it with --train-data"):
            assert evaluate._training_images(model, None, "mine") is None
        assert not opened
        evaluate._training_images(model, None, place)  # which the user has named
        assert opened.pop() == place
        assert main.main(["eval", str(run), place, "--images", "4"]) == 2 and not opened
        assert "'owner/damaged' beside its images, which is not on this machine" in capsys.readouterr().err
    evaluate._training_images(load(SHIPPED / "digits", device="cpu"), None, "mine")
    assert opened == ["digits"]  # it comes with the library


# --- plug-ins --------------------------------------------------------------------------------------------------------


class Point:
    """An installed plug-in that counts how often it is imported."""

    name, value = "fog", "stranger.module:Fog"

    def __init__(self) -> None:
        self.asked = 0

    def load(self):
        self.asked += 1
        return GaussianBlur


PLACES = {
    "degradation": {"degradation": {"type": "fog", "sigma_max": 3.0}},
    "part": {"degradation": {"type": "one_of", "options": ["jpeg", {"type": "compose", "parts": ["fog"]}]}},
    "condition": {"training": {"total_steps": 1, "condition": "fog"}},
    "training": {"training": {"total_steps": 1, "degradation": "fog"}},
    "restorer": {"restorer": {"type": "wiener_unet", "degradation": "fog"}},
}


@pytest.mark.parametrize("place", PLACES)
def test_a_plug_in_is_not_imported_because_a_config_names_it(place: str, run: Path, monkeypatch, capsys) -> None:
    point = Point()
    monkeypatch.setattr(
        config, "entry_points", lambda *, group, name=None: [point] * (group == "colddiff.degradations")
    )
    (run / "config.json").write_bytes(text(**PLACES[place]))
    told = refusal(load, run)
    assert "names the degradation 'fog' of a plug-in" in told and "import stranger.module yourself" in told
    assert main.main(["inspect", str(run)]) == 2 and "--trust-plugins" in capsys.readouterr().err
    assert point.asked == 0
    assert cd.degradation("fog", sigma_max=3.0) == GaussianBlur(sigma_max=3.0) and point.asked == 1  # the user named it


def test_a_plug_in_that_is_trusted_is_imported(run: Path, monkeypatch, capsys) -> None:
    point = Point()
    monkeypatch.setattr(
        config, "entry_points", lambda *, group, name=None: [point] * (group == "colddiff.degradations")
    )
    (run / "config.json").write_bytes(text(**PLACES["degradation"]))
    assert load(run, device="cpu", trust_plugins=True).degradation == GaussianBlur(sigma_max=3.0) and point.asked
    assert main.main(["inspect", str(run), "--trust-plugins"]) == 0
    assert main.main(["inspect", str(run)]) == 2  # trust ends with its command


# --- files of the official code --------------------------------------------------------------------------------------


def official(file: Path) -> str:
    told = preset("deblur_mnist").config(str(file), str(file.parent / "out"))
    return refusal(import_official, file, told, file.parent / "out")


def test_an_official_file_executes_nothing_and_cannot_be_larger_than_it_is(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.save({"step": 1, "model": {}, "ema": {}, "x": Bomb(tmp_path / "executed")}, file)
    assert "could execute code" in official(file) and not (tmp_path / "executed").exists()
    endless = torch.zeros(1, dtype=torch.float16).expand(2**30, 2**30)
    torch.save({"step": 1, "model": {}, "ema": {"module.denoise_fn.final_conv.1.bias": endless}}, file)
    assert "are not those of the preset" in official(file)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", bytes(2**26))
    assert "it unpacks to more than it is" in official(file)
