"""A run is pushed to the hub: it alone, all of it, and nothing of this machine."""

import json
import os
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass, replace

import pytest
import torch
from support import tiny
from support.fake_hub import TOKEN, serving
from support.hub_lines import header, line
from support.image_folders import pictures
from support.published_run import NAME

import colddiff as cd
from colddiff.apps.cli.main import main
from colddiff.degradations import Desaturate
from colddiff.evaluation.report import evaluate, write_card
from colddiff.models.recommended import recommended_in
from colddiff.models.redaction import strip_paths
from colddiff.samplers.priors import Empirical
from colddiff.training.train import train

PUBLISHED = {"config.json", "model.safetensors", "prior.safetensors", "baseline.safetensors", "README.md"}
PUBLISHED |= {"recommended.json", "time_estimator.safetensors"}


REPORT = {"report.json", "report.png"}


def test_a_run_comes_back_from_the_hub_as_it_went(hub, trained):
    assert cd.push(trained, NAME) == f"{hub.url}/{NAME}"
    assert hub.files(NAME).keys() - {".gitattributes"} == PUBLISHED | REPORT
    back = cd.load(NAME, device="cpu")
    assert torch.equal(tiny.weights(back.net), tiny.weights(trained.net))
    assert back.config == strip_paths(trained.config) and back.degradation == trained.degradation
    for name in ("model", "prior", "baseline"):
        assert hub.files(NAME)[f"{name}.safetensors"] == (trained.path / f"{name}.safetensors").read_bytes()
    assert torch.equal(back.sample(2, steps=2), trained.sample(2, steps=2))
    x = torch.rand(1, 1, 8, 8)
    assert torch.equal(back.restore(x, steps=2), trained.restore(x, steps=2))
    assert back.recommended == recommended_in(trained.path) is not None
    assert f"- {back.recommended.lines()[0]}\n" in hub.files(NAME)["README.md"].decode()


def test_all_of_it_is_one_commit_and_what_is_no_longer_part_of_it_goes(hub, run):
    hub.put(NAME, {"notes.txt": b"mine", "prior.safetensors": b"of another", "report.png": b"old"})
    cd.push(run, NAME, message="first")
    assert [commit[2] for commit in hub.commits] == ["first"]
    assert hub.files(NAME)["notes.txt"] == b"mine"
    cd.push(run, NAME, prior=False)
    assert hub.commits[1][4] == ["prior.safetensors"] and "prior.safetensors" not in hub.files(NAME)
    back = cd.load(NAME, device="cpu")
    assert back.prior is None and back.config["prior"] is None


def test_what_is_to_be_private_is_not_put_where_all_can_see_it(hub, run):
    hub.put(NAME, {})
    assert "is there already and is public: make it private on the hub first" in line(cd.push, run, NAME, private=True)
    assert not hub.commits


def test_a_network_of_ones_own_goes_with_the_run_and_comes_back_around_it(hub, tmp_path):
    own = tiny.config(tmp_path / "own", steps=1, restorer=None)
    run = train(own, net=tiny.NET.build(), progress=False)
    with pytest.warns(UserWarning, match="nothing was measured"):
        cd.push(run, "alice/own")
    back = cd.load("alice/own", net=tiny.NET.build(), device="cpu")
    assert torch.equal(tiny.weights(back.net), tiny.weights(run.net))
    assert 'cd.load("alice/own", net=network)' in hub.files("alice/own")["README.md"].decode()
    assert "trained on a network of your own" in line(cd.push, run.path, "alice/own", kind=ValueError)


def test_what_is_no_run_or_no_name_is_refused_before_anything_is_sent(hub, run, trained, monkeypatch):
    assert "'nothing' is not a run" in line(cd.push, "nothing", NAME)
    for repo in ("blur", "alice/", "alice/blur:small", "../alice/blur"):
        assert "expected owner/name for the repository" in line(cd.push, run, repo, kind=ValueError)
    (run.path / "model.safetensors").write_bytes(b"cut")
    assert "model.safetensors" in line(cd.push, run.path, NAME, kind=ValueError)
    assert "model.safetensors" in line(cd.push, run, NAME, kind=ValueError)  # what is on disk is what is sent
    monkeypatch.delenv("HF_TOKEN")
    assert "log in with `hf auth login`, or set HF_TOKEN" in line(cd.push, trained, NAME)
    assert not hub.asked


@pytest.mark.parametrize(
    ("part", "what", "told"),
    [("/api/repos", 401, "the hub does not accept the token: `hf auth login` again"),
     ("/api/repos", 403, "the token may not do that with alice/blur"), ("/commit/", 500, "the hub answered 500"),
     ("/preupload/", 403, "the token may not do that")],
)  # fmt: skip
def test_what_the_hub_does_not_take_is_said_in_a_line(part, what, told, hub, trained, monkeypatch):
    hub.broken[part] = what
    found = line(cd.push, trained, NAME)
    assert found.startswith("cannot publish as 'alice/blur': ") and told in found and not hub.commits


def test_a_license_that_the_hub_does_not_know_is_said(hub, trained):
    assert '"license" must be one of many' in line(cd.push, trained, NAME, license="mine") and not hub.commits
    cd.push(trained, NAME, license="cc-by-4.0")
    assert header(hub)["license"] == "cc-by-4.0"


@pytest.fixture
def album(tmp_path):
    """A run of pictures that are nobody else's, one of them broken, and which generates from them."""
    folder = pictures(tmp_path / "secret" / "album", n=20)
    (folder / "aunt.png").write_bytes(b"torn")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = tiny.config(tmp_path / "secret" / "runs" / "mine", steps=1, data=str(folder), degradation=Desaturate())
        run = train(replace(made, restorer=None, unet_size="0.3M", prior=Empirical()), progress=False)
        data = cd.load_data(folder, split="test")
        report = evaluate(run, data, start_times=(1.0,), steps=(1,), num_images=2, progress=False)
        report.recommended.save(run.path)
        write_card(run, report)
    return run


def test_no_folder_of_this_machine_is_told_to_others(hub, album, tmp_path):
    cd.push(album, "alice/mine", prior=True)
    files = hub.files("alice/mine")
    assert PUBLISHED - {"baseline.safetensors", "time_estimator.safetensors"} <= files.keys()
    for name, content in files.items():
        for secret in (b"secret", str(tmp_path).encode(), b"aunt"):
            assert secret not in content, f"{name} tells of {secret}"
    config = json.loads(files["config.json"])
    assert config["data"]["data"] == config["training"]["data"] == "album" and config["training"]["out"] == "mine"
    assert config["data"]["left_out"] == 1 and "secret" not in (album.path / "README.md").read_text()


def test_pictures_of_ones_own_are_published_only_when_that_is_said(hub, album):
    told = line(cd.push, album, "alice/mine", kind=ValueError)
    assert re.search(r"holds \d+ of its training images: publish them with prior=True \(--prior\), or leave", told)
    assert not hub.asked
    cd.push(album, "alice/mine", prior=False)
    assert "prior.safetensors" not in hub.files("alice/mine")
    assert "run.sample" not in hub.files("alice/mine")["README.md"].decode()


def test_a_prior_that_restoring_begins_with_is_not_left_out(hub, run):
    beside = replace(run, config=run.config | {"training": {"condition": {"type": "gaussian_blur"}}})
    assert "restores from its prior, which cannot be left out" in line(
        cd.push, beside, NAME, kind=ValueError, prior=False
    )


@cd.register("looked_up")
@dataclass(frozen=True, kw_only=True)
class LookedUp(cd.Degradation):
    """A degradation with a path among its fields."""

    table: str = ""
    claims = cd.Claims(0)

    def degrade(self, x, s, params):
        return x * (1 - s / 2)


def test_a_path_in_a_degradation_is_refused(hub, tmp_path):
    table = str(tmp_path / "table")
    run = train(tiny.config(tmp_path / "run", steps=1, degradation=LookedUp(table=table)), progress=False)
    told = line(cd.push, run, NAME, prior=True, kind=ValueError)
    assert told.startswith(f"config.json would tell others of {table!r}: only the last part") and not hub.asked


def test_push_says_where_the_run_is(hub, run, capsys):
    assert main(["push", str(run.path), NAME, "--private", "--message", "hello", "--no-prior"]) == 0
    assert capsys.readouterr() == (f"{run.path} is at {hub.url}/{NAME}; load it with cd.load('{NAME}')\n", "")
    assert hub.private == {NAME} and hub.commits[0][2] == "hello" and "prior.safetensors" not in hub.files(NAME)
    assert main(["push", "digits", "alice/digits"]) == 0
    assert capsys.readouterr().err.startswith("colddiff: warning: nothing was measured of ")


@pytest.mark.slow
def test_it_goes_there_and_back_between_processes(tmp_path, trained):
    def colddiff(home, *arguments, **more):
        known = {
            "HF_HOME": str(tmp_path / home),
            "HF_ENDPOINT": hub.url,
            "NO_PROXY": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
        }
        call = [sys.executable, "-m", "colddiff", *map(str, arguments)]
        return subprocess.run(
            call, capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | known | more, timeout=100
        )

    sample = ["-n", "2", "--steps", "2", "--device", "cpu", "--precision", "fp32", "--out"]
    with serving() as hub:
        done = colddiff("alice", "push", trained.path, NAME, HF_TOKEN=TOKEN)
        assert (done.returncode, done.stderr) == (0, "") and f"{hub.url}/{NAME}" in done.stdout
        assert main(["sample", str(trained.path), *sample, str(tmp_path / "here.png")]) == 0
        there = colddiff("bob", "sample", NAME, *sample, "there.png")
        assert (there.returncode, there.stderr) == (0, "")
        hub.asked.clear()
        again = colddiff("bob", "sample", NAME, *sample, "again.png", HF_HUB_OFFLINE="1")
        assert (again.returncode, again.stderr) == (0, "") and not hub.asked
    pixels = {(tmp_path / f"{name}.png").read_bytes() for name in ("here", "there", "again")}
    assert len(pixels) == 1
    lost = colddiff("carol", "sample", NAME, *sample, "lost.png")
    assert lost.returncode == 2 and lost.stderr.count("\n") == 1 and "the hub cannot be reached" in lost.stderr
