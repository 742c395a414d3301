"""A stranger's package, installed, is used by name, in fresh processes that import nothing of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.image_folders import picture as pictured

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"

pytest.importorskip("hatchling")
pytest.importorskip("pip")


def python(*arguments: object, cwd: Path, installed: Path | None = None) -> str:
    """What a fresh process prints; with `installed`, one that finds the packages there."""
    done = fresh(*arguments, cwd=cwd, installed=installed)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def failing(*arguments: object, cwd: Path, installed: Path | None = None) -> str:
    """The one line with which a command ends in a fresh process."""
    done = fresh(*arguments, cwd=cwd, installed=installed)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stdout + done.stderr
    return done.stderr


def fresh(*arguments: object, cwd: Path, installed: Path | None) -> subprocess.CompletedProcess[str]:
    path = [] if installed is None else [str(installed)]
    path += [entry for entry in (os.environ.get("PYTHONPATH"),) if entry]
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=200,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, so that building it leaves nothing in this repository."""
    return Path(shutil.copytree(PLUGIN, tmp_path_factory.mktemp("source") / "plugin"))


@pytest.fixture(scope="module")
def installed(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    offline = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    python("-m", "pip", "install", *offline, "--target", target, plugin, cwd=target)
    return target


@pytest.fixture(scope="module")
def run(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps against scan lines."""
    folder = tmp_path_factory.mktemp("trained")
    python(
        "-m", "colddiff", "train", "digits", "--degradation", "scanlines", "--out", "run", "--steps", 2, "--device",
        "cpu", "--batch-size", 4, "--restorer", "unet", "--restorer.width", 8, "--restorer.multipliers", "[1]",
        cwd=folder, installed=installed,
    )  # fmt: skip
    return folder / "run"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return pictured(tmp_path / "picture.png", 200, (8, 8))


def test_an_installed_plug_in_is_listed(installed: Path, tmp_path: Path) -> None:
    listed = json.loads(python("-m", "colddiff", "list", "--json", cwd=tmp_path, installed=installed))
    assert listed["degradations"]["scanlines"] == {"summary": "plug-in"}


def test_it_degrades_a_picture_by_name(installed: Path, picture: Path, tmp_path: Path) -> None:
    arguments = ("degrade", picture, "--degradation", "scanlines", "--steps", 2, "--out", "strip.png")
    python("-m", "colddiff", *arguments, cwd=tmp_path, installed=installed)
    with Image.open(tmp_path / "strip.png") as strip:
        shown = strip.convert("L").resize((strip.width // 8, strip.height // 8), Image.Resampling.NEAREST)
        column = [shown.getpixel((shown.width - 3, y)) for y in range(8)]  # 8 pixels, 8 times as large
    assert sorted(column) == [0] * 4 + [200] * 4 and column[0] != column[1]


def test_a_run_is_trained_on_it_and_restores_in_another_process(
    run: Path, installed: Path, picture: Path, tmp_path: Path
) -> None:
    assert json.loads((run / "config.json").read_text())["degradation"]["type"] == "scanlines"
    asked = ("-m", "colddiff", "restore", run, picture, "--out", "restored", "--steps", 2, "--trust-plugins")
    python(*asked, cwd=tmp_path, installed=installed)
    trusted = f"import colddiff; colddiff.load({str(run)!r}, trust_plugins=True).restore({str(picture)!r})"
    python("-c", trusted, cwd=tmp_path, installed=installed)
    with Image.open(tmp_path / "restored" / "picture.png") as restored:
        assert restored.size == (8, 8)


def test_a_run_does_not_have_it_imported_by_itself(run: Path, installed: Path, picture: Path, tmp_path: Path) -> None:
    asked = ("-m", "colddiff", "restore", run, picture, "--out", "restored")
    refused = failing(*asked, cwd=tmp_path, installed=installed)
    assert "names the degradation 'scanlines' of a plug-in" in refused and "--trust-plugins" in refused
    known = f"import colddiff, colddiff_scanlines; colddiff.load({str(run)!r})"  # the user has imported it
    python("-c", known, cwd=tmp_path, installed=installed)


def test_a_run_whose_plug_in_is_gone_says_which(run: Path, tmp_path: Path) -> None:
    refused = failing("-m", "colddiff", "inspect", run, cwd=tmp_path)
    assert "no degradation is named 'scanlines'" in refused and "installed with an entry point" in refused


@pytest.mark.slow
def test_its_own_tests_hold_it_to_the_contract(plugin: Path, installed: Path) -> None:
    printed = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=plugin, installed=installed)
    passed = int(printed.strip().splitlines()[-1].split()[0])
    assert passed > 10, printed


def test_nothing_is_built_in_this_repository(installed: Path) -> None:
    kept = {f.name for f in PLUGIN.rglob("*") if f.is_file() and f.suffix != ".pyc"}
    assert kept == {"README.md", "pyproject.toml", "__init__.py", "test_scanlines.py"}
