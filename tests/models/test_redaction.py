"""Of a place on this machine, its last part is told."""

import pytest

from colddiff.models.redaction import strip_paths


@pytest.mark.parametrize(
    ("told", "shared"),
    [({"data": "/home/alice/photos/"}, {"data": "photos"}), ({"out": "runs/a"}, {"out": "a"}),
     ({"data": "C:\\Users\\alice\\photos"}, {"data": "photos"}), ({"data": "~/photos"}, {"data": "photos"}),
     ({"others": {"data": "a/b", "size": [8, 8]}}, {"others": {"data": "b", "size": [8, 8]}}),
     ({"note": "a/b, c/d"}, {"note": "a/b, c/d"}), ({"condition": {"type": "x", "data": "/a"}},) * 2,
     ({"left_out": ["a", "b", "and 40 more"]}, {"left_out": 42}), ({"left_out": ["a"]}, {"left_out": 1})],
)  # fmt: skip
def test_places_are_told_by_their_last_part(told, shared, hub):
    assert strip_paths(told) == shared == strip_paths(shared)
