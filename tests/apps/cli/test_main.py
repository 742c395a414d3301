"""The whole command line: every command has help, and what needs no library loads none of it."""

import subprocess
import sys

import pytest
from support.command_line import colddiff

from colddiff.apps.cli import main


def test_the_module_runs_and_a_closed_pipe_is_no_error():
    listed = subprocess.run([sys.executable, "-m", "colddiff", "list"], capture_output=True, text=True, check=True)
    assert "gaussian_blur" in listed.stdout and listed.stderr == ""
    piped = f"{sys.executable} -m colddiff list --json | head -c 5"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {piped}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_exists_for_every_command(capsys):
    for name in main.COMMANDS:
        assert colddiff(name, "--help") == 0
        assert "usage: colddiff" in capsys.readouterr().out


def test_without_a_command_all_of_them_are_told(capsys):
    assert colddiff() == 2
    assert "inspect" in capsys.readouterr().out


LIGHT = [
    ["--help"], ["--version"], ["list"], ["list", "--json"], ["presets"], ["train", "--help"], ["plot", "--help"],
    ["trian"], ["train", "digits", "--lose", "l1"], ["train", "digits", "--loss", "l3"], ["restore", "digits"],
    ["train", "digits", "--lr", "fast"], ["train", "digits"],
    ["train", "digits", "--out", "x", "--degradation", "gausian_blur"],
    ["train", "digits", "--out", "x", "--degradation", "gaussian_blur", "--degradation.sgima_max", "3"],
    ["train", "digits", "--out", "x", "--preset", "deblur"],
    ["restore", "digits", "a.png", "--out", "o", "--sampler", "imroved"],
]  # fmt: skip


@pytest.mark.parametrize("line", LIGHT, ids=" ".join)
def test_help_lists_and_slips_load_nothing_heavy(line):
    code = (
        "import sys; from colddiff.apps.cli.main import main\n"
        "try: code = main(sys.argv[1:])\n"
        "except SystemExit as stop: code = stop.code\n"
        "heavy = [m for m in ('torch', 'kornia', 'accelerate', 'numpy', 'PIL') if m in sys.modules]\n"
        "sys.exit(99 if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True, check=False)
    fine = "--help" in line or line[0] in ("--version", "list", "presets")
    assert done.returncode == (0 if fine else 2), (done.stdout, done.stderr)
