"""What is said of the hub, and what its cache and its cards hold."""

import pytest
import yaml

from support.published_run import NAME


def line(call, *arguments, kind=OSError, **options):
    """What an error says, in one line."""
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def header(hub, name=NAME):
    return yaml.safe_load(hub.files(name)["README.md"].decode().split("---\n")[1])
