"""The names that users may rely on; a change here is a change of the interface."""

import subprocess
import sys

import pytest
from support.public_names import NAMES

import colddiff as cd


def test_the_public_names_are_these():
    import types

    # Which modules have been loaded depends on who asked before.
    public = {n for n in dir(cd) if not isinstance(getattr(cd, n), types.ModuleType)}
    assert sorted(public) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_resolves_and_says_what_it_is(name):
    value = getattr(cd, name)
    assert name in ("SAMPLERS", "Params", "Restorer") or value.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'GausianBlur'"):
        _ = cd.GausianBlur


def test_importing_the_library_loads_neither_engine_nor_report_nor_plotting():
    heavy = "accelerate skimage sklearn pyarrow jsonargparse colddiff.training.train colddiff.evaluation.report"
    code = f"import sys, colddiff; print(*[m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "" and done.stderr == ""


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert cd.__version__ == version("colddiff")
