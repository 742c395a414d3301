"""Adapters to other libraries say what they need."""

import importlib
import sys

import pytest


@pytest.mark.parametrize(("name", "inside"), [("deepinv", "deepinv.models"), ("torchvision", "torchvision.transforms")])
def test_an_adapter_without_its_package_names_the_extra(
    name: str, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"colddiff.interop.{name}"
    for loaded in [name for name in sys.modules if name.startswith(module)]:
        monkeypatch.delitem(sys.modules, loaded)
    for gone in (name, inside):
        monkeypatch.setitem(sys.modules, gone, None)
    with pytest.raises(ModuleNotFoundError, match=rf'needs {name}: pip install "colddiff\[{name}\]"'):
        importlib.import_module(module)
