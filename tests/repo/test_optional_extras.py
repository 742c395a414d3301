"""Without the optional packages everything else works, and what needs one says in a line how to get it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

OPTIONAL = (
    "pyarrow", "datasets", "diffusers", "torchmetrics", "torch_fidelity", "lpips", "tensorboard", "matplotlib", "onnx",
    "onnxscript", "onnxruntime", "deepinv", "torchvision",
)  # fmt: skip

# Runs commands one after the other in a Python that finds none of the optional packages.
BARE = f"""
import contextlib, io, json, sys

class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {OPTIONAL}:
            return self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import colddiff
from colddiff.apps.cli.main import main

for command in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main(command)
    print(json.dumps([code, said.getvalue()]))
print(json.dumps([name for name in {OPTIONAL} if name in sys.modules]))
"""

TRAIN = ["--degradation", "gaussian_blur", "--steps", "2", "--batch-size", "4", "--device", "cpu"]
TINY = [*TRAIN, "--restorer", "unet", "--restorer.width", "8", "--restorer.multipliers", "[1]"]
EVAL = ["eval", "run", "digits", "--images", "8", "--steps", "2", "--start", "1", "--device", "cpu"]
PLAIN = {
    "list": ["list"],
    "degrade": ["degrade", "picture.png", "--degradation", "gaussian_blur", "--out", "strip.png"],
    "plot": ["plot", "difference", "picture.png", "picture.png", "--out", "difference.png"],
    "train": ["train", "digits", "--out", "run", *TINY],
    "restore": ["restore", "run", "picture.png", "--out", "restored", "--steps", "2", "--device", "cpu"],
    "sample": ["sample", "run", "-n", "2", "--steps", "2", "--device", "cpu"],
    "eval": EVAL,
}
NEEDY = {
    "parquet": ["train", "images.parquet", "--out", "a", *TINY],
    "datasets": ["train", "saved", "--out", "b", *TINY],
    "diffusers": ["train", "digits", "--out", "c", "--restorer", "diffusers_unet", *TRAIN],
    "plots": ["plot", "schedules"],
    "tensorboard": ["train", "digits", "--out", "d", "--tensorboard", *TINY],
    "metrics": [*EVAL, "--num-generated", "8", "--perception", "classifier"],
    "perceptual": [*EVAL, "--perception", "lpips"],
    "onnx": ["export", "digits", "digits.onnx"],
}


def bare(commands: Sequence[list[str]], folder: Path) -> list[list[object]]:
    """[exit code, what it said on stderr] of each command, and at last the optional packages that were found."""
    done = subprocess.run(
        [sys.executable, "-c", BARE], input=json.dumps([*commands]), capture_output=True, text=True, cwd=folder,
        timeout=200, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    folder = tmp_path_factory.mktemp("bare")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / "picture.png")
    (folder / "images.parquet").write_bytes(b"PAR1")
    (folder / "saved").mkdir()
    (folder / "saved" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    *answers, found = bare([*PLAIN.values(), *NEEDY.values()], folder)
    return dict(zip([*PLAIN, *NEEDY], answers, strict=True)) | {"found": found}


@pytest.mark.parametrize("command", PLAIN)
def test_a_command_needs_no_optional_package(command: str, said: dict[str, list[object]]) -> None:
    assert said[command][0] == 0, said[command][1]


@pytest.mark.parametrize("extra", NEEDY)
def test_what_needs_an_extra_names_it_in_one_line(extra: str, said: dict[str, list[object]]) -> None:
    code, line = said[extra]
    assert code == 2
    assert isinstance(line, str) and line.count("\n") == 1, line
    assert f'pip install "colddiff[{extra}]"' in line


def test_the_packages_were_really_away(said: dict[str, list[object]]) -> None:
    assert said["found"] == []
