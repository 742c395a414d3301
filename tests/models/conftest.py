"""A run on a hub, for the tests of what goes there and comes back."""

from support.published_run import hub, run, staged, there, trained  # noqa: F401
