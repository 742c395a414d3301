"""A run for others: what of it leaves the machine, and its way to the Hugging Face hub."""

from __future__ import annotations

import copy
import shutil
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from ..data.builtin import EMBEDDED
from ..data.image_io import naming, without_warnings
from ..evaluation.memorization import MemorizationReport
from ..evaluation.report import Report
from ..models.card import model_card
from ..models.hub import FILES, is_cached
from ..models.recommended import FILE as RECOMMENDED
from ..models.recommended import recommended_in
from ..models.redaction import find_local_path, strip_paths
from ..models.run import Run
from ..models.serialization import load
from ..samplers.priors import Empirical
from ..utils.files import check_plain, read_json, write_json, write_text
from ..utils.huggingface import is_repository, quietly, why
from ..utils.text import escape_markdown

SHOWN = ("README.md", "report.json", "report.png")  # for people, beside the run


def push(
    run: Run | str | Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    license: str | None = None,
    prior: bool | None = None,
) -> str:
    """Publish a run on the Hugging Face hub, in one commit, and return its address: `load(repo)` brings it back.

    What leaves the machine: config, weights, prior, baseline, time estimator, recommended settings, a model
    card, and the report with its picture of held-out images. Folders are named by their last part. All of it is
    loaded, before anything is sent.

    Args:
        run: a run, or what `load` takes.
        repo: owner/name; made if it is not there.
        private: for nobody else to see.
        revision: a branch other than main; made if it is not there.
        message: of the commit.
        license: one that the hub knows: "apache-2.0", "cc-by-4.0", ...; left open if left out.
        prior: whether to publish the prior. None does, but asks where it holds training images that are not public.

    Raises:
        ValueError: the run, or a name, is not fit for it. FileNotFoundError: not a run. OSError: the hub, with why.
    """
    if not is_repository(repo):
        raise ValueError(f"expected owner/name for the repository, got {repo!r}")
    run = run if isinstance(run, Run) else load(run, device="cpu")
    _check_prior(run, prior)
    with tempfile.TemporaryDirectory(prefix="colddiff-") as folder:
        stage(run, Path(folder), repo, license=license, prior=prior is not False)
        with quietly():
            return _sent(Path(folder), repo, private, revision, message or f"{run.path.name}, by colddiff push")


def stage(run: Run, folder: Path, repo: str, *, license: str | None = None, prior: bool = True) -> None:
    """Everything that is sent, in an empty folder, loaded from there.

    Raises:
        ValueError: a setting names a folder of this machine, a file is not the run's own; or what `load` raises.
    """
    for name in (name for name in FILES if name.endswith(".safetensors")):
        if (run.path / name).exists() and (prior or name != "prior.safetensors"):
            shutil.copyfile(_own(run, run.path / name), folder / name)
    config = strip_paths(run.config)
    _check_told(config, "config.json")
    write_json(folder / "config.json", config if prior else config | {"prior": None})
    if (run.path / RECOMMENDED).exists() and (found := recommended_in(_own(run, run.path / RECOMMENDED).parent)):
        told = strip_paths(found.to_dict())
        _check_told(told, RECOMMENDED)
        write_json(folder / RECOMMENDED, told)
    own = copy.deepcopy(run.net) if config["restorer"] is None else None
    staged = load(folder, device="cpu", net=own)
    report, where = _report(run)
    rows: list[dict[str, Any]] = []
    table = protocol = None
    if report is not None:
        shared = replace(report, protocol=strip_paths(report.protocol))
        table, rows, protocol = _table(shared), report.rows, shared.protocol
        _check_told(shared.protocol, "the report")
        write_text(folder / "report.json", shared.to_json())
        shutil.copyfile(_picture(_own(run, where / "report.png")), folder / "report.png")
    write_text(folder / "README.md", model_card(staged, table, rows, protocol, repo=repo, license=license))


class _RefusedError(Exception):
    """Why nothing is sent, in our words."""


def _check_prior(run: Run, asked: bool | None) -> None:
    """Raise where training images would be published that nobody has said are for everybody."""
    if asked is False and run.condition is not None:
        raise ValueError(f"{str(run.path)!r} restores from its prior, which cannot be left out")
    if asked is None and isinstance(run.prior, Empirical) and run.config["data"].get("data") not in EMBEDDED:
        raise ValueError(
            f"the prior of {str(run.path)!r} holds {len(run.prior.tensors()['images'])} of its training images: "
            "publish them with prior=True (--prior), or leave them out with prior=False (--no-prior), for a run that "
            "restores and does not generate"
        )


def _check_told(told: Any, where: str) -> None:
    """Raise where others would learn of a folder of this machine."""
    found = find_local_path(told)
    if found is not None:
        raise ValueError(f"{where} would tell others of {found!r}: only the last part of a path should be in a setting")


def _own(run: Run, file: Path) -> Path:
    """A file of a run, which a stranger may have made of a link to one of this machine's.

    Raises:
        ValueError: it leads out of the run, or is a folder, a pipe or a device.
    """
    check_plain(file)
    root = run.path.resolve()
    if is_cached(root):  # the hub's cache links to its blobs
        root = root.parent.parent
    if not file.resolve().is_relative_to(root):
        raise ValueError(
            f"{str(file)!r} is a link that leaves the run, and nobody asked for what it leads to to be published: "
            "put a copy in its place, or delete it"
        )
    return file


def _picture(file: Path) -> Path:
    with naming(file), without_warnings(), Image.open(file, formats=["PNG"]) as picture:
        picture.load()
    return file


def _table(report: Report) -> str:
    """The measured table, of which every text is shown and none does anything: a stranger may have written it."""
    made = report.generation
    generation = (
        None if made is None else MemorizationReport(escape_markdown(made.values), escape_markdown(made.verdict), [])
    )
    texts = {name: escape_markdown(getattr(report, name)) for name in ("protocol", "rows", "conclusion")}
    return replace(report, generation=generation, **texts).to_markdown()


def _report(run: Run) -> tuple[Report | None, Path]:
    """What was measured of these very weights, by `colddiff eval` or after the training; and its folder."""
    for folder in (run.path / "report", run.path):
        if not all((folder / name).exists() for name in ("report.json", "report.png")):
            continue
        told = read_json(_own(run, folder / "report.json"))
        try:
            if told["protocol"]["weights"] == f"averaged, step {run.config['step']}":
                made = told.get("generation")
                generation = None if made is None else MemorizationReport(made, made["verdict"], [])
                report = Report(told["protocol"], told["rows"], [], told["conclusion"], generation)
                _table(report)  # or it has no such numbers
                return report, folder
        except (LookupError, TypeError, ValueError, AttributeError):
            raise ValueError(f"{str(folder / 'report.json')!r} is not as colddiff wrote it: measure again") from None
    warnings.warn(
        f"nothing was measured of {str(run.path)!r} at step {run.config['step']}, and its card says so: "
        f"`colddiff eval {run.path} DATA` first makes it worth more",
        stacklevel=4,
    )
    return None, run.path


def _sent(folder: Path, repo: str, private: bool, revision: str | None, message: str) -> str:
    """Make the repository and the branch where they are not there, commit, and give the address."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    api, branch = HfApi(library_name="colddiff"), None if revision == "main" else revision
    try:
        if get_token() is None:
            raise _RefusedError("log in with `hf auth login`, or set HF_TOKEN")
        url = str(api.create_repo(repo, private=private or None, exist_ok=True))
        if private and not api.repo_info(repo).private:
            raise _RefusedError("it is there already and is public: make it private on the hub first")
        if branch is not None:
            api.create_branch(repo, branch=branch, exist_ok=True)
        files = sorted(folder.iterdir())
        # A prior or baseline of an earlier state would be read with these weights.
        stale = {*FILES, *SHOWN} - {file.name for file in files}
        stale &= {*api.list_repo_files(repo, revision=branch)}
        adds = [CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=file) for file in files]
        deletes = [CommitOperationDelete(path_in_repo=name) for name in sorted(stale)]
        api.create_commit(repo, [*adds, *deletes], commit_message=message, revision=branch)
    except _RefusedError as error:
        raise OSError(f"cannot publish as {repo!r}: {error}") from None
    except Exception as error:  # of the network and the hub: they share no base
        raise OSError(f"cannot publish as {repo!r}: {why(error, repo)}") from None
    return url if branch is None else f"{url}/tree/{branch}"
