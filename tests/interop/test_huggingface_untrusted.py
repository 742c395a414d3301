"""Of a stranger's run nothing else of this machine is published, and its card does nothing but show what it says."""

import json
import os
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import colddiff as cd
from colddiff.evaluation.report import evaluate
from colddiff.interop.huggingface import stage
from colddiff.models.serialization import SHIPPED
from colddiff.utils.text import escape_markdown

pytest.importorskip("huggingface_hub")

EVIL = "x\n\n# Heading\n<script>alert(1)</script> [a](https://evil.example) ![b](//evil.example) www.evil.example `|"


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """The run that comes with the library, measured on two images."""
    folder = Path(shutil.copytree(SHIPPED / "digits", tmp_path_factory.mktemp("measured") / "run"))
    data = cd.load_data("digits", split="test")
    evaluate(cd.load(folder, device="cpu"), data, start_times=(1.0,), steps=(1,), num_images=2, progress=False).save(
        folder / "report"
    )
    return folder


@pytest.fixture
def run(measured: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(measured, tmp_path / "run"))


def staged(run: Path, **options) -> Path:
    """What would be sent."""
    folder = run.parent / "staged"
    folder.mkdir()
    stage(cd.load(run, device="cpu"), folder, "alice/blur", **options)
    return folder


def refused(run: Path) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        staged(run)
    shutil.rmtree(run.parent / "staged")
    return str(caught.value)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["report/report.png", "report/report.json", "model.safetensors", "prior.safetensors"])
def test_a_link_out_of_a_run_is_not_followed_to_what_it_would_publish(name: str, run: Path, tmp_path: Path) -> None:
    shutil.move(run / name, tmp_path / "private")
    (run / name).symlink_to(tmp_path / "private")
    assert "is a link that leaves the run, and nobody asked for" in refused(run)
    shutil.copytree(run / "report", tmp_path / "elsewhere", symlinks=True)
    shutil.rmtree(run / "report")
    (run / "report").symlink_to(tmp_path / "elsewhere")
    assert "is a link that leaves the run, and nobody asked for" in refused(run)


def test_a_report_that_is_no_picture_or_no_file_is_not_published(run: Path) -> None:
    picture = run / "report" / "report.png"
    Image.new("L", (2, 2)).save(picture, format="JPEG")
    assert "report.png' is not a readable picture" in refused(run)
    picture.write_bytes(b"-----BEGIN PRIVATE KEY-----")
    assert "report.png' is not a readable picture" in refused(run)
    picture.unlink()
    os.mkfifo(picture)
    assert "report.png' is a pipe or device, not a file" in refused(run)


def test_a_run_in_the_cache_of_the_hub_is_published_from_its_blobs(run: Path, tmp_path: Path) -> None:
    cache = tmp_path / "models--bob--blur"
    (cache / "blobs").mkdir(parents=True)
    snapshot = Path(shutil.copytree(run, cache / "snapshots" / "abc"))
    for file in (snapshot / "model.safetensors", snapshot / "prior.safetensors"):
        shutil.move(file, cache / "blobs" / file.name)
        file.symlink_to(Path("../../blobs") / file.name)
    folder = staged(snapshot)
    assert load_file(folder / "model.safetensors").keys() == load_file(run / "model.safetensors").keys()
    assert not (folder / "model.safetensors").is_symlink()
    save_file({"a": torch.zeros(1)}, tmp_path / "private")
    (snapshot / "baseline.safetensors").unlink(missing_ok=True)
    (snapshot / "baseline.safetensors").symlink_to(tmp_path / "private")
    shutil.rmtree(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "baseline.safetensors' is a link that leaves the run" in refused(snapshot)


# --- the card --------------------------------------------------------------------------------------------------------


def alive(card: str) -> list[str]:
    """The lines in which something of EVIL would be more than text, outside of the blocks of code."""
    plain = "".join(card.split("\n---\n", 1)[1].split("```")[::2])
    signs = ("# Heading", "<script", "[a](", "![b](", "https://evil", "www.evil")
    return [line for line in plain.splitlines() if any(re.search(rf"(?<!\\){re.escape(sign)}", line) for sign in signs)]


def test_texts_of_others_do_nothing_in_markdown() -> None:
    assert escape_markdown(EVIL) == (
        r"x\\n\\n\# Heading\\n\<script\>alert(1)\</script\> [a\](https\://evil.example) ![b\](//evil.example) "
        r"www\.evil.example \`\|"
    )
    assert escape_markdown({"a": ["one_shot", "clipped to [0, 1], not rounded", 1.5, None]}) == {
        "a": ["one_shot", "clipped to [0, 1], not rounded", 1.5, None]
    }


def test_what_a_config_says_is_shown_in_the_card_and_does_nothing(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    for key in ("data", "split"):
        config["data"][key] = EVIL
    (run / "config.json").write_text(json.dumps(config))
    card = (staged(run, prior=True) / "README.md").read_text()
    assert not alive(card) and "Heading" in card


def test_what_a_report_says_is_shown_in_the_card_and_does_nothing(run: Path) -> None:
    file = run / "report" / "report.json"
    report = json.loads(file.read_text())
    report["protocol"] |= {"input": EVIL, EVIL: [EVIL], "split": {EVIL: EVIL}}
    report["conclusion"] = [EVIL]
    report["rows"][0] |= {"method": EVIL}
    report["rows"][1] |= {"calls": EVIL}
    file.write_text(json.dumps(report))
    folder = staged(run)
    card = (folder / "README.md").read_text()
    shutil.rmtree(folder)
    assert not alive(card) and card.count("Heading") >= 7
    for wrong in ({"start": EVIL}, {"rmse": EVIL}, {"method": {}}):
        file.write_text(json.dumps(report | {"rows": [report["rows"][0] | wrong]}))
        assert "is not as colddiff wrote it: measure again" in refused(run)
