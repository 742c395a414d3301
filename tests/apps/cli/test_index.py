"""What the command line knows without the library is what the library has."""

from colddiff.apps.cli import index


def test_the_index_is_what_the_library_has():
    assert index.read() == index.build(), "run python -m colddiff.apps.cli.index"
