"""How the suite says what is wrong: in one sentence that names who broke which promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from ..degradations.base import Degradation
from ..samplers.base import Sampler, State

# What float64 rounding may do to an image in [0, 1]; a broken promise is far above it.
ROUNDING = 1e-9

# The one check that needs a CUDA device.
NEEDS_GPU = "never_waits_for_the_gpu"


def describe(op: Degradation) -> str:
    """The operator with the fields that differ from its defaults: `GaussianBlur(sigma_max=3.0)`."""
    changed = [f for f in fields(op) if getattr(op, f.name) != f.default]
    inner = (f"{f.name}={_short(getattr(op, f.name))}" for f in changed)
    return f"{type(op).__name__}({', '.join(inner)})"


def require(holds: bool, message: str) -> None:
    """`assert`, kept under -O."""
    if not holds:
        raise AssertionError(message)


def require_close(a: Tensor, b: Tensor, message: str, tolerance: float = ROUNDING) -> None:
    """Raise unless a and b have one shape and differ nowhere by more than `tolerance`."""
    require(a.shape == b.shape, f"{message}: shapes {tuple(a.shape)} and {tuple(b.shape)}")
    difference = float((a.detach().double() - b.detach().double()).abs().max()) if a.numel() else 0.0
    require(difference <= tolerance, f"{message}: by {difference:.2g}")


def last(states: Iterator[State]) -> State:
    """The last state of a walk."""
    *_, state = states
    return state


def name_of(sampler: Sampler) -> str:
    """Its function's name, or that of the function that made it."""
    name: str = getattr(sampler, "__qualname__", str(sampler))
    return name.split(".<locals>")[0]


@contextmanager
def naming_promise(subject: str, promise: str) -> Iterator[None]:
    """Failures as one sentence that names who broke which promise."""
    try:
        yield
    except AssertionError as failure:
        raise AssertionError(f"{subject} breaks {promise!r}: {failure}") from failure.__cause__
    except Exception as error:
        raise AssertionError(f"{subject} breaks {promise!r}: {type(error).__name__}: {error}") from error


def examples_of(contract: Any) -> Sequence[Any]:
    """The examples of a contract class: none would be a test that tests nothing."""
    if not contract.examples:
        raise ValueError(f"{type(contract).__name__} lists no examples")
    examples: Sequence[Any] = contract.examples
    return examples


def parametrize(metafunc: Any, subject: str, cases: list[tuple[Any, str]]) -> None:
    """One pytest case per example and promise, named after both."""
    import pytest

    gpu = [pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
    if any(line.startswith("gpu") for line in metafunc.config.getini("markers")):
        gpu.append(pytest.mark.gpu)
    parameters = []
    for example, promise in cases:
        name = describe(example) if isinstance(example, Degradation) else name_of(example)
        marks = gpu if promise == NEEDS_GPU else []
        parameters.append(pytest.param(example, promise, id=f"{promise}-{name}", marks=marks))
    metafunc.parametrize((subject, "promise"), parameters)


def seeded(seed: int) -> torch.Generator:
    """A CPU generator."""
    return torch.Generator().manual_seed(seed)


def _short(value: Any) -> str:
    return describe(value) if hasattr(value, "to_config") else repr(value)
