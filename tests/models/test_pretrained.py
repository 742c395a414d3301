"""The runs that come with the library work before anything was trained."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import colddiff as cd
from colddiff import viz
from colddiff.data import load_data
from colddiff.evaluation import metrics
from colddiff.models.serialization import SHIPPED, shipped

LARGEST = 300 * 1024


def test_there_is_one_of_digits_and_it_is_small():
    assert shipped() == ["digits"]
    assert sum(f.stat().st_size for f in (SHIPPED / "digits").iterdir()) < LARGEST


def test_it_restores_digits_that_it_has_not_seen():
    run = cd.load("digits", device="cpu", precision="fp32")
    x0 = load_data("digits", split="test", size=run.shape[1])[:64]
    for t, share in ((0.5, 0.2), (1.0, 0.5)):
        damaged = run.degrade(x0, t)
        errors = [metrics.rmse(x, x0).mean() for x in (damaged, run.restore(damaged, start=t, sampler="one_shot"))]
        assert errors[1] < share * errors[0], f"at t = {t}: {errors[0]:.4f} damaged, {errors[1]:.4f} restored"


def test_it_generates_digits_that_differ():
    made = cd.load("digits", device="cpu", precision="fp32").sample(4, steps=10)
    assert made.shape == (4, 1, 16, 16) and 0.1 < float(made.std()) < 0.5
    assert min(float(metrics.rmse(made[i : i + 1], made[j : j + 1])) for i in range(4) for j in range(i)) > 0.05


def test_the_command_line_knows_it_by_name_anywhere(tmp_path):
    run = cd.load("digits", device="cpu", precision="fp32")
    damaged = run.degrade(load_data("digits", split="test", size=16)[:1])
    viz.to_image(damaged[0]).save(tmp_path / "smear.png")
    for arguments in (["restore", "digits", "smear.png", "--out", "out"], ["sample", "digits", "-n", "4"]):
        call = [sys.executable, "-m", "colddiff", *arguments, "--steps", "5"]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out" / "smear.png") as restored:
        assert restored.size == (16, 16)
    assert (tmp_path / "grid.png").is_file()


def test_a_run_of_ones_own_comes_before_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SHIPPED / "digits", "digits")
    assert cd.load("digits", device="cpu").path == Path("digits")
    with pytest.raises(FileNotFoundError, match="digits comes with the library"):
        cd.load("didgits")
    one, other = (cd.load(path, device="cpu", precision="fp32") for path in ("digits", SHIPPED / "digits"))
    assert torch.equal(one.sample(1, steps=2), other.sample(1, steps=2))
