"""What is built is what is here: the wheel holds the package and nothing else, and says its version once."""

import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from repo.check_install import FOUND_ONLY, SMOKE, check_contents

import colddiff as cd

pytest.importorskip("build")
HERE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(HERE)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(dist):
    (wheel,) = dist.glob("*.whl")
    check_contents(wheel)


def test_the_source_can_be_built_and_tested(dist):
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as opened:
        names = {Path(*Path(name).parts[1:]).as_posix() for name in opened.getnames()}
    assert {"Makefile", "README.md", "LICENSE", "tests/conftest.py", "constraints/lock-py311-cpu.txt"} <= names
    assert not [name for name in names if name.startswith((".venv", "demo/", "runs/", "dist/"))]


def test_the_version_is_in_one_place_and_others_repeat_it():
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"]
    assert re.search(r"^version: (.+)$", (HERE / "CITATION.cff").read_text(), re.MULTILINE)[1] == cd.__version__
    assert cd.__version__ in (HERE / "CHANGELOG.md").read_text()


def test_every_extra_is_tried_by_make_dist():
    extras = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) == {*SMOKE, *FOUND_ONLY}
