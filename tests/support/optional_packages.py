"""Packages that stand beside the environment: deepinv and torchvision, see constraints/beside.txt."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

FOLDER = Path(sys.prefix) / "beside"

# What torchvision declares in C++, which a build for CUDA does not load beside a CPU torch. Its transforms need none of
# it, but its import looks for them.
OPERATORS = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
             "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # fmt: skip
_DECLARED: list[torch.library.Library] = []  # which end with the object


def beside(name: str) -> ModuleType:
    """A module of a package that is installed, or stands beside; else the tests that ask for it are skipped."""
    if not hasattr(torch.ops.torchvision, "nms") and "torchvision" not in sys.modules:
        try:
            import torchvision  # noqa: F401
        except (ImportError, RuntimeError):
            library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in OPERATORS:
                library.define(operator)
            _DECLARED.append(library)
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"needs {name}, which is not here: {error}", allow_module_level=True)
