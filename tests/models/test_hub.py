"""Runs go to the Hugging Face hub and come back; nothing else does, and what fails says why in a line."""

import errno
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, replace

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub import constants
from support import tiny
from support.fake_hub import TOKEN, serving
from support.image_folders import pictures

import colddiff as cd
from colddiff.cli import main
from colddiff.degradations import Desaturate
from colddiff.evaluation.report import evaluate, write_card
from colddiff.interop.huggingface import stage
from colddiff.models import hub as hub_module
from colddiff.models.hub import is_model_name
from colddiff.models.recommended import recommended_in
from colddiff.models.redaction import without_folders
from colddiff.models.time_estimator import SeverityEstimator
from colddiff.samplers.priors import Empirical
from colddiff.training.train import train

NAME = "alice/blur"
FILE_URL = "/{repo_id}/resolve/{revision}/{filename}"
PUBLISHED = {"config.json", "model.safetensors", "prior.safetensors", "baseline.safetensors", "README.md"}
PUBLISHED |= {"recommended.json", "severity.safetensors"}
REPORT = {"report.json", "report.png"}


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


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of digits that was measured: nobody changes it."""
    run = train(tiny.config(tmp_path_factory.mktemp("home") / "runs" / "blur", steps=2), progress=False)
    data = cd.load_data("digits", split="test")
    report = evaluate(run, data, starts=(0.5, 1.0), steps=(2,), images=4, progress=False)
    report.recommended.save(run.path)
    SeverityEstimator(1).save(run.path)
    run = cd.load(run.path, device="cpu")
    write_card(run, report)
    return run


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it."""
    return cd.load(shutil.copytree(trained.path, tmp_path / "runs" / "blur"), device="cpu")


@pytest.fixture(scope="module")
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


def line(call, *arguments, kind=OSError, **options):
    """What an error says, in one line."""
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def cached(tmp_path):
    return sorted(p for p in (tmp_path / "cache").rglob("*"))


# --- there and back --------------------------------------------------------------------------------------------------


def test_a_run_comes_back_from_the_hub_as_it_went(hub, trained):
    assert cd.push(trained, NAME) == f"{hub.url}/{NAME}"
    assert hub.files(NAME).keys() - {".gitattributes"} == PUBLISHED | REPORT
    back = cd.load(NAME, device="cpu")
    assert torch.equal(tiny.weights(back.net), tiny.weights(trained.net))
    assert back.config == without_folders(trained.config) and back.degradation == trained.degradation
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


def test_a_branch_is_made_and_loaded_by_its_name(there, run):
    url = cd.push(run, NAME, revision="short/way", prior=False)
    assert url == f"{there.url}/{NAME}/tree/short/way"
    assert cd.load(f"{NAME}@short/way", device="cpu").prior is None
    assert cd.load(NAME, device="cpu").prior is not None
    assert "short/way" in there.repos[NAME]


def test_a_commit_of_old_is_loaded_by_its_hash(there, run):
    first = there.repos[NAME]["main"][0]
    cd.push(run, NAME, prior=False)
    assert cd.load(f"{NAME}@{first}", device="cpu").prior is not None


def test_a_private_repository_is_for_those_who_may_see_it(hub, run, monkeypatch):
    cd.push(run, NAME, private=True)
    assert hub.private == {NAME} and cd.load(NAME, device="cpu")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", constants.HF_HUB_CACHE + "-of-a-stranger")
    monkeypatch.delenv("HF_TOKEN")
    told = line(cd.load, NAME, kind=FileNotFoundError)
    assert told == (
        "'alice/blur' is neither a folder here nor a model that can be had from the Hugging Face hub: there is none, "
        "or it is private (`hf auth login`, or HF_TOKEN); check the name and the connection, or give the path of a copy"
    )


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


# --- only the run ----------------------------------------------------------------------------------------------------


def test_nothing_but_the_files_of_a_run_is_asked_for(there):
    evil = dict.fromkeys(("model.py", "weights.pkl", "pytorch_model.bin", "sub/config.json"), b"import os")
    there.put(NAME, there.files(NAME) | evil)
    folder = cd.load(NAME, device="cpu").path
    assert sorted(there.downloads()) == sorted(hub_module.FILES)
    assert {file.name for file in folder.iterdir()} == {*hub_module.FILES}
    assert not [path for _, path in there.asked if path.endswith((".py", ".pkl", ".bin", "sub/config.json", ".md"))]


@pytest.mark.parametrize(
    ("files", "told"),
    [({"config.json": b'{"architectures": ["Bert"]}'}, "it has another library's config.json"),
     ({"config.json": b"[]"}, "it has another library's config.json"), ({}, "it has no config.json")],
)  # fmt: skip
def test_what_is_of_another_library_is_refused_before_its_weights_are_fetched(files, told, hub):
    hub.put(NAME, files | {"model.safetensors": b"many gigabytes", "README.md": b"hello"})
    found = line(cd.load, NAME, kind=FileNotFoundError)
    assert found == f"'alice/blur' of the Hugging Face hub is not a colddiff model: {told}"
    assert hub.downloads() == [*files]


def test_a_config_that_is_torn_is_no_fault_of_the_connection(hub):
    hub.put(NAME, {"config.json": b'{"library": ', "model.safetensors": b"many gigabytes"})
    told = line(cd.load, NAME, kind=ValueError)
    assert "config.json' is not valid JSON" in told and "connection" not in told
    assert hub.downloads() == ["config.json"]


def test_a_run_without_weights_is_named(there):
    there.put(NAME, {"config.json": there.files(NAME)["config.json"]})
    assert "has no model.safetensors: it is not as `colddiff push` wrote it" in line(cd.load, NAME)


def test_a_folder_here_comes_before_the_hub(there, run, tmp_path):
    shutil.copytree(run.path, "alice/blur")
    assert str(cd.load(NAME, device="cpu").path) == NAME and not there.asked
    os.remove("alice/blur/config.json")
    assert "'alice/blur' is not a run" in line(cd.load, NAME) and not there.asked


def test_a_slip_in_the_path_of_a_run_here_never_goes_to_the_network(there, run):
    shutil.copytree(run.path, "runs/blur")
    assert "'runs/blurr' is not a run" in line(cd.load, "runs/blurr") and not there.asked


@pytest.mark.parametrize(
    "name", ["alice/blur", "a-b.c_d/e-f.g_1", "alice/blur@main", "alice/blur.v2", "a/b@refs/pr/1", "a/b@1.0"]
)
def test_names_of_the_hub_are_known(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_model_name(name)


@pytest.mark.parametrize("name", ["digits", "./runs/a", "/a/b", "a/b/c", "a/b@", "a/b:c", "~/a", "a/", "a\\b", "a/.b"])
def test_paths_are_no_names_of_the_hub(name, tmp_path, monkeypatch, hub):
    monkeypatch.chdir(tmp_path)
    assert not is_model_name(name)


# --- without the hub -------------------------------------------------------------------------------------------------


def offline(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def unreachable(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def down(hub, monkeypatch):
    hub.broken["/"] = 500


WAYS = {
    offline: "HF_HUB_OFFLINE is set",
    unreachable: r"the hub cannot be reached \(\w+\)",
    down: "the hub answered 500",
}


@pytest.mark.parametrize("lost", WAYS)
def test_without_the_hub_the_copy_in_the_cache_is_loaded(lost, there, trained, monkeypatch, capfd):
    cd.load(NAME, device="cpu")
    lost(there, monkeypatch)
    there.asked.clear()
    for name in (NAME, f"{NAME}@{there.repos[NAME]['main'][0]}"):
        assert torch.equal(tiny.weights(cd.load(name, device="cpu").net), tiny.weights(trained.net))
    assert not there.downloads() and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("lost", WAYS)
def test_without_the_hub_and_a_copy_it_is_one_line(lost, there, trained, monkeypatch):
    lost(there, monkeypatch)
    told = line(cd.load, NAME, kind=FileNotFoundError)
    assert re.search(
        f"from the Hugging Face hub: {WAYS[lost]}, and no whole copy is in its cache; check the name", told
    ), told
    assert "cannot publish as 'alice/blur': " in line(cd.push, trained, NAME)


@pytest.mark.parametrize(
    ("part", "what", "told"),
    [("/api/models", "RepoNotFound", "there is none, or it is private"),
     ("/api/models", 401, "the hub does not accept the token"),
     ("/resolve/", "GatedRepo", "access is on request, at https://huggingface.co/alice/blur; then `hf auth login`"),
     ("/api/models", "RevisionNotFound", "it has no revision 'main'"), ("/resolve/", 500, "the hub answered 500"),
     ("/api/models", 403, "the token may not do that with alice/blur"), ("/tree/", 404, "the hub answered 404"),
     ("/resolve/", 403, "the token may not do that")],
)  # fmt: skip
def test_what_the_hub_refuses_is_said_in_a_line(part, what, told, there):
    there.broken[part] = what
    found = line(cd.load, NAME, kind=FileNotFoundError)
    assert found.startswith("'alice/blur' is neither a folder here nor a model") and told in found
    assert found.endswith("check the name and the connection, or give the path of a copy")


def test_a_revision_or_a_name_that_cannot_be_is_said(there):
    assert "it has no revision 'v2'" in line(cd.load, f"{NAME}@v2")
    assert "that is no name of a repository" in line(cd.load, "alice/a--b")


def test_a_full_disk_is_said(there, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    assert "no space is left on the disk" in line(cd.load, NAME)


def test_of_a_connection_that_ends_in_the_middle_nothing_is_loaded(there, trained, tmp_path, monkeypatch):
    there.cut.add("model.safetensors")
    assert "the hub cannot be reached (RemoteProtocolError)" in line(cd.load, NAME, kind=FileNotFoundError)
    assert not [*(tmp_path / "cache").rglob("model.safetensors")]
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert "HF_HUB_OFFLINE is set, and no whole copy is in its cache" in line(cd.load, NAME, kind=FileNotFoundError)
    there.cut.clear()
    assert torch.equal(tiny.weights(cd.load(NAME, device="cpu").net), tiny.weights(trained.net))


# --- before anything is sent -----------------------------------------------------------------------------------------


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
        run = train(replace(made, restorer=None, size="0.3M", prior=Empirical()), progress=False)
        data = cd.load_data(folder, split="test")
        report = evaluate(run, data, starts=(1.0,), steps=(1,), images=2, progress=False)
        report.recommended.save(run.path)
        write_card(run, report)
    return run


def test_no_folder_of_this_machine_is_told_to_others(hub, album, tmp_path):
    cd.push(album, "alice/mine", prior=True)
    files = hub.files("alice/mine")
    assert PUBLISHED - {"baseline.safetensors", "severity.safetensors"} <= files.keys()
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


@pytest.mark.parametrize(
    ("told", "shared"),
    [({"data": "/home/alice/photos/"}, {"data": "photos"}), ({"out": "runs/a"}, {"out": "a"}),
     ({"data": "C:\\Users\\alice\\photos"}, {"data": "photos"}), ({"data": "~/photos"}, {"data": "photos"}),
     ({"others": {"data": "a/b", "size": [8, 8]}}, {"others": {"data": "b", "size": [8, 8]}}),
     ({"note": "a/b, c/d"}, {"note": "a/b, c/d"}), ({"condition": {"type": "x", "data": "/a"}},) * 2,
     ({"left_out": ["a", "b", "and 40 more"]}, {"left_out": 42}), ({"left_out": ["a"]}, {"left_out": 1})],
)  # fmt: skip
def test_places_are_told_by_their_last_part(told, shared, hub):
    assert without_folders(told) == shared == without_folders(shared)


def test_a_data_set_is_of_the_hub_if_the_cache_has_it_and_no_folder_has_its_name(hub, tmp_path):
    assert without_folders({"data": "owner/set"}) == {"data": "set"}
    (tmp_path / "cache" / "datasets--owner--set").mkdir(parents=True)
    assert without_folders({"data": "owner/set:small"}) == {"data": "owner/set:small"}
    (tmp_path / "here" / "owner" / "set").mkdir(parents=True)
    assert without_folders({"data": "owner/set"}) == {"data": "set"}


# --- the card --------------------------------------------------------------------------------------------------------


def header(hub, name=NAME):
    return yaml.safe_load(hub.files(name)["README.md"].decode().split("---\n")[1])


def test_the_card_on_the_hub_is_that_of_the_run_under_its_name_there(there, trained):
    local = (trained.path / "README.md").read_text()
    shared = there.files(NAME)["README.md"].decode()
    told = shared.replace("# or the path of a copy", "# the path of this folder")
    assert told.replace(NAME, "blur").replace("blur.png", "blur damaged.png") == local.replace(
        "blur.png", "blur damaged.png"
    )


def test_the_header_of_the_card_is_what_the_hub_reads(there, trained):
    card = huggingface_hub.ModelCard(there.files(NAME)["README.md"].decode())
    told = card.data.to_dict()
    assert (told["library_name"], told["pipeline_tag"], "license" in told) == ("colddiff", "image-to-image", False)
    assert "gaussian_blur" in told["tags"] and "datasets" not in told
    rows = json.loads((trained.path / "report.json").read_text())["rows"]
    measured = {
        (f"{title}, {row['method']}, calls: {row['calls']}", round(row[metric][key], 6))
        for row in rows if row["start"] == 1 and row["method"] in ("one_shot", "naive", "improved")
        for metric, title, key in (("rmse", "RMSE", "global"), ("psnr", "PSNR", "mean"), ("ssim", "SSIM", "mean"))
    }  # fmt: skip
    assert {(r.metric_name, r.metric_value) for r in card.data.eval_results} == measured and len(measured) == 9
    assert {(r.dataset_name, r.dataset_split) for r in card.data.eval_results} == {("digits", "test")}


def test_the_card_has_every_setting_and_what_not_to_expect(there, trained):
    card = there.files(NAME)["README.md"].decode()
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", card, re.DOTALL)]
    config = without_folders(trained.config)
    settings = {"training": config["training"], "data": config["data"]}
    assert blocks == [config["degradation"], config["restorer"], config["prior"], settings]
    assert "1617 images of digits (split train), 8 x 8 pixels, one channel (grey), for 2 steps" in card
    assert "no evidence of what was there" in card and f"colddiff {cd.__version__}" in card
    assert all(f"| {row['method']} |" in card for row in json.loads(there.files(NAME)["report.json"])["rows"])


def test_the_card_names_the_data_set_of_the_hub(hub, run, tmp_path):
    (tmp_path / "cache" / "datasets--owner--set").mkdir(parents=True)
    config = json.loads((run.path / "config.json").read_text())
    config["data"]["data"] = config["training"]["data"] = "owner/set:small"
    (run.path / "config.json").write_text(json.dumps(config))
    cd.push(run.path, NAME, prior=True)
    assert header(hub)["datasets"] == ["owner/set"] and cd.load(NAME).config["data"]["data"] == "owner/set:small"


def test_a_table_of_other_weights_is_not_shown(hub, run):
    config = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps(config | {"step": 3}))
    with pytest.warns(UserWarning, match=r"nothing was measured of .* at step 3, and its card says so: `colddiff eval"):
        cd.push(run.path, NAME)
    assert "Nothing was measured of these weights." in hub.files(NAME)["README.md"].decode()
    assert "model-index" not in header(hub) and not REPORT & hub.files(NAME).keys()


def test_what_eval_has_measured_comes_before_what_the_training_did(hub, run):
    digits, options = cd.load_data("digits", split="test"), {"steps": (2,), "images": 3, "progress": False}
    evaluate(run, digits, starts=(0.75,), **options).save(run.path / "report")
    cd.push(run, NAME)
    assert json.loads(hub.files(NAME)["report.json"])["n_images"] == 3
    assert header(hub)["model-index"][0]["results"][0]["task"]["name"] == "undo gaussian_blur from t = 0.75"


# --- commands --------------------------------------------------------------------------------------------------------


def test_a_run_of_the_hub_is_used_by_its_name_and_its_cache_is_left_alone(there, tmp_path, capsys):
    before = (cd.load(NAME, device="cpu"), cached(tmp_path))[1]
    plain = ["--device", "cpu", "--steps", "1"]
    assert main(["sample", NAME, "-n", "1", *plain]) == 0 and main(["inspect", NAME]) == 0
    few = ["--start", "1", "--images", "4", "--perception", "none"]
    assert main(["eval", NAME, "digits", *few, *plain]) == 0
    assert (tmp_path / "here" / "report" / "report.md").is_file() and cached(tmp_path) == before
    assert main(["inspect", "bob/none"]) == 2
    assert re.fullmatch(r"colddiff: 'bob/none' is neither .* there is none, .*\n", capsys.readouterr().err)


def test_a_classifier_is_not_saved_in_the_cache_of_the_hub(there, tmp_path):
    from colddiff.evaluation.features import not_ours_to_write

    run = cd.load(NAME, device="cpu")
    assert not_ours_to_write(run) == "the run comes from the hub"
    assert not_ours_to_write(replace(run, path=tmp_path)) == ""


def test_push_says_where_the_run_is(hub, run, capsys):
    assert main(["push", str(run.path), NAME, "--private", "--message", "hello", "--no-prior"]) == 0
    assert capsys.readouterr() == (f"{run.path} is at {hub.url}/{NAME}; load it with cd.load('{NAME}')\n", "")
    assert hub.private == {NAME} and hub.commits[0][2] == "hello" and "prior.safetensors" not in hub.files(NAME)
    assert main(["push", "digits", "alice/digits"]) == 0
    assert capsys.readouterr().err.startswith("colddiff: warning: nothing was measured of ")


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_are_shown_on_a_terminal_alone_and_the_hub_is_left_as_it_was(terminal, there, monkeypatch):
    seen = []
    original = huggingface_hub.snapshot_download
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)

    def watched(*arguments, **options):
        seen.append(huggingface_hub.utils.are_progress_bars_disabled())
        assert huggingface_hub.logging.get_verbosity() == logging.ERROR
        return original(*arguments, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", watched)
    before = huggingface_hub.utils.are_progress_bars_disabled(), huggingface_hub.logging.get_verbosity()
    cd.load(NAME, device="cpu")
    assert seen == [not terminal] * 2
    assert before == (huggingface_hub.utils.are_progress_bars_disabled(), huggingface_hub.logging.get_verbosity())


def test_a_run_here_is_loaded_without_the_package_of_the_hub(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert cd.load(run.path, device="cpu") and cd.load("digits", device="cpu")


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
