"""What the tests of plots share."""

import pytest


@pytest.fixture
def plots():
    """What needs matplotlib."""
    pytest.importorskip("matplotlib")
