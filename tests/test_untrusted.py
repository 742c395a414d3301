"""A run from a stranger executes nothing and takes no more than a moment, whatever its files say."""

import json
import math
import os
import pickle
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import fuzz_readers
import pytest
import torch
from hostile import CONFIGS, FILES, OPERATORS, Bomb, one, operator, packed, text
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import colddiff as cd
from colddiff import cli, commands, registry
from colddiff.checkpoint import SHIPPED, load
from colddiff.degradations import GaussianBlur
from colddiff.files import write_whole
from colddiff.official import import_official
from colddiff.perception import _classifier
from colddiff.presets import preset
from colddiff.snapshots import load_snapshot
from colddiff.tensors import load_weights, write_tensors
from colddiff.unet import UNet, UNetConfig

SECONDS, HEADROOM = 2.0, 2**30  # that a refusal may take
REFUSED = (ValueError, TypeError, LookupError, FileNotFoundError)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the run that comes with the library."""
    return Path(shutil.copytree(SHIPPED / "digits", tmp_path / "run"))


def refusal(reader, *arguments) -> str:
    """The line with which something is refused, in time: that of the processor, which other programs do not change."""
    began = time.process_time()
    with pytest.raises(REFUSED) as caught:
        reader(*arguments)
    assert time.process_time() - began < SECONDS
    message = str(caught.value.args[0])
    assert "\n" not in message and len(message) < 500, message
    return message


# --- config.json -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_config_is_refused_in_one_line(name: str, run: Path) -> None:
    content, told = CONFIGS[name]
    (run / "config.json").write_bytes(content)
    assert told in refusal(load, run)


@pytest.mark.parametrize(("name", "fields"), OPERATORS, ids=[f"{n}-{next(iter(f))}" for n, f in OPERATORS])
def test_a_degradation_of_absurd_size_is_refused_before_it_allocates(name: str, fields, run: Path) -> None:
    (run / "config.json").write_bytes(operator(name, **fields))
    told = refusal(load, run)
    assert any(word in told for word in ("must be", "too large", "expected", "increase strictly"))


def test_a_blur_that_only_large_pictures_make_absurd_says_so_when_it_is_used() -> None:
    blur, small, large = GaussianBlur(sigma_max=1e6), torch.rand(1, 1, 4, 4), torch.zeros(1, 1, 1025, 4)
    assert torch.allclose(blur(small, 1.0), small.mean(), atol=0.2)
    assert "make them smaller (--image-size)" in refusal(blur, large, 0.5)


# --- safetensors -----------------------------------------------------------------------------------------------------


def read_features(path: Path):
    return _classifier(load(path, device="cpu"), None, False)


def read_moments(path: Path):
    """A checkpoint of a training, as --resume reads it."""
    net = UNet(UNetConfig(channels=1, width=8, multipliers=(1,), blocks=1, patch=1))
    for name in ("model", "ema"):
        save_file(net.state_dict(), path / f"{name}.safetensors")
    return load_snapshot(path, net, net, torch.optim.Adam(net.parameters()))


READERS = {"model": load, "prior": load, "features": read_features, "optimizer": read_moments}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("file", READERS)
def test_a_hostile_file_of_tensors_is_refused_in_one_line(
    name: str, file: str, run: Path, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content, told = FILES[name]
    (run / f"{file}.safetensors").write_bytes(content)
    assert told in refusal(READERS[file], run)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_baseline_is_left_out(name: str, run: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (run / "baseline.safetensors").write_bytes(FILES[name][0])
    with pytest.warns(UserWarning, match="reports go without the classical restorer"):
        assert load(run, device="cpu").baseline is None
    assert not (tmp_path / "executed").exists()


def spoil(file: Path, change) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def first(tensors: dict[str, Tensor], made) -> None:
    name = next(iter(tensors))
    tensors[name] = made(tensors[name])


WEIGHTS = {
    "nan": (lambda t: torch.full_like(t, float("nan")), "holds numbers that are not finite"),
    "empty": (lambda t: t[:0], "is (0,) of float32, expected (16,)"),
    "integers": (lambda t: t.long(), "is (16,) of int64, expected (16,) of float32"),
    "bools": (lambda t: t.bool(), "is (16,) of bool, expected"),
    "another-shape": (lambda t: t.expand(4, 16).clone(), "is (4, 16) of float32, expected (16,)"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_cannot_be_the_networks_are_refused(name: str, run: Path) -> None:
    change, told = WEIGHTS[name]
    spoil(run / "model.safetensors", lambda tensors: first(tensors, change))
    assert told in refusal(load, run)


def test_weights_in_other_fractions_are_taken(run: Path) -> None:
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        spoil(run / "model.safetensors", lambda tensors, to=dtype: first(tensors, lambda t: t.to(to)))
        assert load(run, device="cpu").restore(torch.rand(1, 1, 8, 8), steps=1).isfinite().all()


@pytest.mark.parametrize("name", ["model", "prior", "features", "optimizer"])
def test_a_file_that_is_larger_than_the_memory_is_refused_unread(name: str, run: Path, monkeypatch) -> None:
    file = run / f"{name}.safetensors"
    monkeypatch.setattr("colddiff.tensors.free_memory", lambda: 10**6)
    assert load(run, device="cpu").net is not None
    content = packed({"a": one(shape=(2**38,), end=2**40)})
    file.write_bytes(content)
    os.truncate(file, len(content) + 2**40)  # of holes
    for module in ("checkpoint", "tensors"):
        monkeypatch.setattr(f"colddiff.{module}.check_weights", lambda *_: None)  # a config is quickly made to fit
    assert "takes " in (told := refusal(READERS[name], run)) and "TB of memory, and 1 MB is free" in told


class Masked(nn.Module):
    """A network of a user's own, with a mask of attention, and weights under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.weight = self.first.weight
        self.register_buffer("mask", torch.full((4, 4), -math.inf).triu(1))


def test_a_buffer_may_be_infinite_and_a_parameter_may_not(tmp_path: Path) -> None:
    net, file = Masked(), tmp_path / "model.safetensors"
    write_tensors(file, net.state_dict())
    back = Masked()
    load_weights(back, file)
    assert back.mask.equal(net.mask) and back.second.weight.equal(net.first.weight)
    for name in ("first.weight", "second.weight", "first.bias"):
        spoilt = {key: tensor.clone() for key, tensor in net.state_dict().items()}
        spoilt[name].view(-1)[0] = math.nan
        write_tensors(file, spoilt)
        assert f"not finite, in {name}" in refusal(load_weights, back, file)


PRIORS = {
    "channels": ("means", lambda t: t.expand(10, 3, 6, 6).clone()),
    "weights": ("weights", lambda t: -t),
    "nothing-to-draw": ("weights", lambda t: 0 * t),
    "one-factor": ("factors", lambda t: t[:1]),
    "bytes": ("means", lambda t: t.byte()),
}


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_that_was_fitted_to_nothing_is_refused(name: str, run: Path) -> None:
    which, change = PRIORS[name]
    spoil(run / "prior.safetensors", lambda tensors: tensors.update({which: change(tensors[which])}))
    assert "LowresGMM cannot be fitted to tensors" in refusal(load, run)


def test_moments_of_another_shape_never_reach_the_optimizer(run: Path) -> None:
    save_file({"0.exp_avg": torch.zeros(3), "0.exp_avg_sq": torch.zeros(3), "0.step": torch.ones(())},
              run / "optimizer.safetensors")  # fmt: skip
    assert "0.exp_avg" in refusal(read_moments, run)
    save_file({"9999.exp_avg": torch.zeros(3)}, run / "optimizer.safetensors")
    assert "9999" in refusal(read_moments, run)


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
    assert cli.main(["eval", str(run), "digits", "--perception", "none"]) == 2
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
    monkeypatch.setattr(commands, "load_data", lambda source, **_: opened.append(source))
    told = json.loads(text())
    for place in (str(tmp_path), "../../pictures", "owner/name"):
        told["data"] |= {"data": place, "damaged": "owner/damaged"}
        (run / "config.json").write_text(json.dumps(told))
        model = load(run, device="cpu")
        with pytest.warns(UserWarning, match="which is not opened because a file says so: name it with --training"):
            assert commands._training_images(model, None, "mine") is None
        assert not opened
        commands._training_images(model, None, place)  # which the user has named
        assert opened.pop() == place
        assert cli.main(["eval", str(run), place, "--images", "4"]) == 2 and not opened
        assert "'owner/damaged' beside its images, which is not on this machine" in capsys.readouterr().err
    commands._training_images(load(SHIPPED / "digits", device="cpu"), None, "mine")
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
        registry, "entry_points", lambda *, group, name=None: [point] * (group == "colddiff.degradations")
    )
    (run / "config.json").write_bytes(text(**PLACES[place]))
    told = refusal(load, run)
    assert "names the degradation 'fog' of a plug-in" in told and "import stranger.module yourself" in told
    assert cli.main(["inspect", str(run)]) == 2 and "--trust-plugins" in capsys.readouterr().err
    assert point.asked == 0
    assert cd.degradation("fog", sigma_max=3.0) == GaussianBlur(sigma_max=3.0) and point.asked == 1  # the user named it


def test_a_plug_in_that_is_trusted_is_imported(run: Path, monkeypatch, capsys) -> None:
    point = Point()
    monkeypatch.setattr(
        registry, "entry_points", lambda *, group, name=None: [point] * (group == "colddiff.degradations")
    )
    (run / "config.json").write_bytes(text(**PLACES["degradation"]))
    assert load(run, device="cpu", trust_plugins=True).degradation == GaussianBlur(sigma_max=3.0) and point.asked
    assert cli.main(["inspect", str(run), "--trust-plugins"]) == 0
    assert cli.main(["inspect", str(run)]) == 2  # trust ends with its command


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


# --- all of it in a process with limits ------------------------------------------------------------------------------

CHILD = """
import json, resource, sys, time, warnings
from pathlib import Path
from colddiff.checkpoint import load
import test_untrusted as told
warnings.simplefilter("ignore")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + told.HEADROOM,) * 2)
for reader, folder in json.load(sys.stdin):
    before, began = peak(), time.process_time()
    try:
        told.READERS[reader](Path(folder))
        outcome = "read"
    except told.REFUSED as error:
        outcome = type(error).__name__
    print(json.dumps([folder, outcome, time.process_time() - began, peak() - before, peak()]), flush=True)
"""


@pytest.mark.slow
def test_every_hostile_run_is_refused_within_two_seconds_and_a_gibibyte(tmp_path: Path) -> None:
    cases = []
    for name, content in [
        *((f"config-{k}", content) for k, (content, _) in CONFIGS.items()),
        *((f"config-{i}-{k}", operator(k, **fields)) for i, (k, fields) in enumerate(OPERATORS)),
    ]:
        folder = Path(shutil.copytree(SHIPPED / "digits", tmp_path / name))
        (folder / "config.json").write_bytes(content)
        cases.append(("model", folder))
    bomb = pickle.dumps(Bomb(tmp_path / "executed"))
    for file in (*READERS, "config", "baseline"):
        for name in FILES if file in READERS else ["pickle"]:
            folder = Path(shutil.copytree(SHIPPED / "digits", tmp_path / f"{file}-{name}"))
            place = folder / (f"{file}.json" if file == "config" else f"{file}.safetensors")
            place.write_bytes(bomb if name == "pickle" else FILES[name][0])
            cases.append((file if file in READERS else "model", folder))
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps([[r, str(f)] for r, f in cases]), capture_output=True,
        text=True,
        cwd=Path(__file__).parent, env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)}, timeout=300,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(cases), done.stderr
    kept = [row for row in rows if row[1] == "read"]
    assert [Path(row[0]).name for row in kept] == ["baseline-pickle"]  # a warning, and the run works
    assert max(row[2] for row in rows) < SECONDS and max(row[4] for row in rows) < HEADROOM
    assert not (tmp_path / "executed").exists()


def test_files_spoiled_at_random_are_read_or_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda *, group, name=None: [])
    found = fuzz_readers.fuzz(10.0, 1, tmp_path, most=40)
    assert found.runs == 40 and not found.findings, found.findings
