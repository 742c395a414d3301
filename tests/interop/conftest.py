"""The run that comes with the library, as it goes into other libraries."""

import pytest
from support.published_run import hub, run, staged, there, trained  # noqa: F401

import colddiff as cd
from colddiff.models.run import Run


@pytest.fixture(scope="session")
def digits() -> Run:
    """In full precision on the CPU."""
    return cd.load("digits", device="cpu", precision="fp32")
