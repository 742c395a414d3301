"""Installs the wheel as users do, in environments with nothing else: core alone, and each extra (`make dist`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parents[2]
CONSTRAINTS = HERE / "constraints" / "lock-py311-cpu.txt"

# What works with an extra and not without it: arguments of the command line, or code after "-c".
SMOKE: dict[str, list[list[str]]] = {
    "core": [
        ["--version"],
        ["list"],
        ["degrade", "picture.png", "--degradation", "pixelate", "--out", "strip.png"],
        ["train", "digits", "--degradation", "gaussian_blur", "--steps", "2", "--out", "run", "--device", "cpu"],
        ["restore", "run", "picture.png", "--out", "restored", "--image-size", "16", "--steps", "2"],
        ["sample", "digits", "-n", "4", "--steps", "2"],
        ["-c", "import colddiff as cd, importlib.metadata as m; assert cd.__version__ == m.version('colddiff')"],
        ["-c", "from importlib.resources import files; assert (files('colddiff') / 'py.typed').is_file()"],
    ],
    "parquet": [["-c", "import pyarrow, colddiff.data.streaming.parquet"]],
    "datasets": [["-c", "import datasets, colddiff.data.huggingface"]],
    "diffusers": [["export", "digits", "pipeline"]],
    "metrics": [
        ["eval", "digits", "digits", "--images", "40", "--steps", "2", "--start", "1", "--perception", "classifier"]
    ],
    "tensorboard": [
        ["train", "digits", "--degradation", "fade", "--steps", "2", "--out", "run", "--tensorboard", "--device", "cpu"]
    ],
    "app": [["-c", "from colddiff.apps.web.page import build; import colddiff as cd, pathlib;"
             "build({'digits': cd.load('digits')}, pathlib.Path('pictures'))"]],
    "plots": [["plot", "schedules"]],
    "onnx": [["export", "digits", "digits.onnx"]],
    "all": [["--version"]],
}  # fmt: skip
# These want torchvision, which the lock's torch has no build for: that pip finds versions is all that is asked.
FOUND_ONLY = ("perceptual", "deepinv", "torchvision", "bench")


def main() -> None:
    wheel, *others = sorted((HERE / "dist").glob("*.whl"))
    assert not others, f"dist holds several wheels: {[wheel, *others]}"
    check_contents(wheel)
    extras = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) == {*SMOKE, *FOUND_ONLY}, f"extras and checks differ: {set(extras) ^ {*SMOKE, *FOUND_ONLY}}"
    with tempfile.TemporaryDirectory() as folder:
        core = Path(folder) / "core"
        run(sys.executable, "-m", "venv", str(core))
        install(core, f"{wheel}")
        for extra, commands in SMOKE.items():
            place = core
            if extra != "core":
                place = Path(folder) / extra
                shutil.copytree(
                    core, place, symlinks=True, copy_function=os.link
                )  # pip replaces files, and writes none
                install(place, f"{wheel}[{extra}]")
            work = Path(folder) / f"{extra}-work"
            work.mkdir()
            Image.effect_noise((24, 20), 60).save(work / "picture.png")
            for command in commands:
                run(python(place), *(command if command[0] == "-c" else ["-m", "colddiff", *command]), cwd=work)
            print(f"{extra:<12} {len(commands)} commands", flush=True)
            if extra != "core":
                shutil.rmtree(place)
        for extra in FOUND_ONLY:
            run(python(core), "-m", "pip", "install", "-q", "--dry-run", f"{wheel}[{extra}]")
            print(f"{extra:<12} can be resolved", flush=True)


def check_contents(wheel: Path) -> None:
    """Raise unless a wheel holds the package, all of it, and nothing else."""
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (metadata,) = (opened.read(name).decode() for name in names if name.endswith("dist-info/METADATA"))
        (points,) = (opened.read(name).decode() for name in names if name.endswith("dist-info/entry_points.txt"))
    held = {name for name in names if ".dist-info/" not in name}
    package = HERE / "colddiff"
    own = {str(f.relative_to(HERE)) for f in package.rglob("*") if f.is_file() and "__pycache__" not in f.parts}
    assert held == own, f"the wheel and the package differ: {sorted(held ^ own)}"
    version = re.search(r'__version__ = "(.+)"', (package / "__init__.py").read_text())
    assert version is not None and f"\nVersion: {version[1]}\n" in metadata
    assert "colddiff = colddiff.apps.cli.main:main" in points and any(
        name.endswith("licenses/LICENSE") for name in names
    )


def python(place: Path) -> str:
    return str(place / "bin" / "python")


def install(place: Path, what: str) -> None:
    run(python(place), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", str(CONSTRAINTS), what)


def run(*command: str, cwd: Path | None = None) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")


if __name__ == "__main__":
    main()
