"""The run that comes with the library, as diffusers loads it."""

from pathlib import Path

import pytest

from colddiff.models.run import Run


@pytest.fixture(scope="session")
def exported(digits: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that nobody changes."""
    from colddiff.interop.diffusers import to_diffusers

    return to_diffusers(digits, tmp_path_factory.mktemp("exported") / "digits")
