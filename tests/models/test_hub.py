"""Runs go to the Hugging Face hub and come back; nothing else does, and what fails says why in a line."""

import errno
import logging
import os
import re
import shutil
import sys
from dataclasses import replace

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from support import tiny
from support.hub_lines import line
from support.published_run import NAME

import colddiff as cd
from colddiff.apps.cli.main import main
from colddiff.models import hub as hub_module
from colddiff.models.hub import is_model_name
from colddiff.models.redaction import strip_paths


def cached(tmp_path):
    return sorted(p for p in (tmp_path / "cache").rglob("*"))


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


def test_a_data_set_is_of_the_hub_if_the_cache_has_it_and_no_folder_has_its_name(hub, tmp_path):
    assert strip_paths({"data": "owner/set"}) == {"data": "set"}
    (tmp_path / "cache" / "datasets--owner--set").mkdir(parents=True)
    assert strip_paths({"data": "owner/set:small"}) == {"data": "owner/set:small"}
    (tmp_path / "here" / "owner" / "set").mkdir(parents=True)
    assert strip_paths({"data": "owner/set"}) == {"data": "set"}


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
