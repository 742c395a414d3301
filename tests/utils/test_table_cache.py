"""Table cache: what it computes, against a slow twin."""

import torch

from colddiff import GaussianBlur
from colddiff.utils import table_cache


def test_tables_are_made_once_and_forgotten_when_memory_is_short(images, monkeypatch) -> None:

    built = []
    monkeypatch.setattr(table_cache, "_TABLES", {})
    monkeypatch.setattr(GaussianBlur, "tables", lambda self, like: built.append(self) or {"table": torch.zeros(100)})
    one, two = GaussianBlur(sigma_max=1), GaussianBlur(sigma_max=2)
    for op in (one, one, GaussianBlur(sigma_max=1.0), two, one):
        op.bind(like=images(1, 1, 4, 4))
    assert built == [one, two]
    monkeypatch.setattr(table_cache, "CACHE_BYTES", 500)
    for op in (two, one, one):  # only the newest fits
        op.bind(like=images(1, 1, 4, 4))
    assert built == [one, two, one]


def test_tables_made_in_inference_mode_serve_gradients_later() -> None:
    op = GaussianBlur(sigma_max=1.2345)
    with torch.inference_mode():
        op(torch.rand(1, 1, 6, 6), 0.5)
    x = torch.rand(1, 1, 6, 6, requires_grad=True)
    op(x, 0.5).sum().backward()
    assert x.grad is not None
