"""A run's restorer, or a sampler's step with it, as a graph: for `torch.export`, and in ONNX files."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..degradations.base import BoundDegradation
from ..models.run import Run
from ..samplers.algorithms import improved, naive
from ..samplers.base import Sampler
from ..utils.files import check_target, write_whole

TOLERANCE = 1e-5  # of onnxruntime's answer, relative to the largest pixel, or to 1
AXES = ("batch", "channels", "height", "width")
Size = tuple[int, int]


def export_program(run: Run, *, size: Size | None = None, sampler: str | None = None) -> ExportedProgram:
    """R(x, t) -> x0_hat as a graph: x (B, C, H, W) in [0, 1] and t (B,), for any B; float32, on the run's device.

    A conditional restorer takes the damaged picture, shaped as x, as a third input.

    Args:
        run: whose network it is.
        size: (H, W) in pixels of the only images that the graph takes. None is any size of two blocks of the network
            or more to a side; a network that cannot do that gets a graph for the run's own size, with a warning.
        sampler: "naive" or "improved" for the graph of a whole step instead, from x at times t to x at times s < t,
            both (B,). It holds tables of the degradation, which are of one size: the run's own if none is given.

    Raises:
        ValueError: the network cannot be traced, or no graph can hold such a step.
    """
    if sampler is not None or size is not None:
        return _traced(run, size or run.shape[1:], Dim.STATIC, sampler)
    try:
        # Other than its own size, of which a side may be one block; with as many rows to be padded.
        return _traced(run, (run.shape[1] + 256, run.shape[2] + 512), Dim.DYNAMIC, None)
    except ValueError as error:
        own = " x ".join(map(str, run.shape[1:]))
        warnings.warn(f"{error}: the graph takes images of {own} pixels only", stacklevel=2)
        return _traced(run, run.shape[1:], Dim.STATIC, None)


def export_onnx(
    run: Run, path: str | Path, *, size: Size | None = None, sampler: str | None = None, opset: int | None = None
) -> Path:
    """R(x, t) -> x0_hat, or a sampler's step, as an ONNX file: inputs "x", "t" ("s", "condition"), output "answer".

    Before the file is put in place onnxruntime is asked for images of several numbers and sizes, and must answer as
    the network does, to 1e-5. Metadata: `library`, `version`, `range` of the images, `graph`, and of the run's config
    as JSON `degradation`, `restorer` and `image` (channels and size).

    Args:
        run: whose network it is; a copy is taken to the CPU, in float32.
        path: of the file, written whole or not at all.
        size: see `export_program`, and so `sampler`.
        opset: version of ONNX's operators; None is that of torch.

    Raises:
        ModuleNotFoundError: without onnx, onnxscript and onnxruntime. ValueError: a network that cannot be traced, or
            that onnxruntime computes otherwise; a path that cannot be written.
    """
    path = Path(path)
    check_target(path)
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  # torch writes ONNX by it
    except ImportError:
        raise ModuleNotFoundError('ONNX files need onnx: pip install "colddiff[onnx]"') from None
    run = replace(run, net=copy.deepcopy(run.net).cpu(), precision="fp32", compile=False)
    program = export_program(run, size=size, sampler=sampler)
    with _silence():
        written: Any = torch.onnx.export(
            program, input_names=_inputs(run, sampler), output_names=["answer"], opset_version=opset, verbose=False
        )
    model = written.model_proto
    _tidy(model)
    onnx.helper.set_model_props(model, _describe(run, sampler))
    content = model.SerializeToString()
    _check(onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]), run, sampler)
    write_whole(path, lambda part: part.write_bytes(content))
    return path


# --- helpers ---------------------------------------------------------------------------------------------------------

STEPS = {"naive": naive, "improved": improved}  # of which a step needs nothing of the steps before it


class _Step(nn.Module):
    """x at times s from x at times s < t."""

    def __init__(self, net: nn.Module, D: BoundDegradation, sampler: Sampler) -> None:
        super().__init__()
        self.net, self.D, self.sampler = net, D, sampler

    def forward(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        (state,) = self.sampler(self.net, self.D, x, torch.stack([t, s]))
        return state.x


def _graph(run: Run, x: Tensor, sampler: str | None) -> nn.Module:
    """What is to be traced, for images like x."""
    if sampler is None:
        return run.net
    if sampler not in STEPS:
        raise ValueError(f"a graph can hold a step of {' or '.join(STEPS)}, not of {sampler!r}")
    if run.condition is not None or not run.degradation.deterministic:
        raise ValueError(
            f"a graph holds no params, and a step with {type(run.degradation).__name__} needs some: leave the sampler "
            "out, and degrade outside"
        )
    return _Step(run.net, run.degradation.bind(like=x), STEPS[sampler])


def _traced(run: Run, size: Size, sides: Any, sampler: str | None) -> ExportedProgram:
    given = _example(run, 3, size, sampler)
    graph = _graph(run, given[0], sampler)
    axes = tuple({0: Dim.DYNAMIC} | ({2: sides, 3: sides} if part.dim() == 4 else {}) for part in given)
    try:
        with torch.no_grad():
            return torch.export.export(graph, given, dynamic_shapes=axes)
    except Exception as error:  # whatever a network and a tracer raise
        line = next(iter(str(error).splitlines()), type(error).__name__)
        net, op = type(run.net).__name__, type(run.degradation).__name__
        what = net if sampler is None else f"a step of {net} with {op}"
        raise ValueError(f"{what} cannot be traced for images of {size}: {line}") from error


def _inputs(run: Run, sampler: str | None) -> list[str]:
    third = ["s"] if sampler is not None else ["condition"] if run.condition is not None else []
    return ["x", "t", *third]


def _example(run: Run, batch: int, size: Size, sampler: str | None) -> tuple[Tensor, ...]:
    """Inputs of a graph."""
    x = torch.rand((batch, run.shape[0], *size), generator=torch.Generator().manual_seed(batch))
    t = torch.linspace(1, 0.1, batch)
    parts = {"x": x, "t": t, "s": t / 2, "condition": x.flip(-1)}
    return tuple(parts[name].to(run.device) for name in _inputs(run, sampler))


def _check(session: Any, run: Run, sampler: str | None) -> None:
    """Raise where onnxruntime does not answer as torch does."""
    height, width = session.get_inputs()[0].shape[2:]
    h, w = run.shape[1:]
    for size in [(height, width)] if isinstance(height, int) else [(h, w), (h + 3, 2 * w + 1)]:
        for batch in (1, 4):
            given = _example(run, batch, size, sampler)
            with torch.no_grad():
                expected = _graph(run, given[0], sampler)(*given)
            arrays = {name: part.numpy() for name, part in zip(_inputs(run, sampler), given, strict=True)}
            found = torch.from_numpy(session.run(None, arrays)[0])
            off = float((found - expected).abs().max() / expected.abs().max().clamp(min=1))
            if not off <= TOLERANCE:
                raise ValueError(
                    f"onnxruntime is {off:.1e} off the network for images {tuple(given[0].shape)}, more than "
                    f"{TOLERANCE}: nothing was written; give another opset, or use export_program"
                )


def _describe(run: Run, sampler: str | None) -> dict[str, str]:
    """What a file says of itself."""
    graph = "x0_hat = R(x, t)" if sampler is None else f"x_s = {sampler}(x_t, t, s)"
    header = {"library": "colddiff", "version": version("colddiff"), "range": "[0, 1]", "graph": graph}
    return header | {part: json.dumps(run.config.get(part)) for part in ("degradation", "restorer", "image")}


def _tidy(model: Any) -> None:
    """Name the axes, and leave out what torch notes of its own sources and of shapes inside."""
    del model.graph.value_info[:]
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
        for axis, dim in zip(AXES, value.type.tensor_type.shape.dim, strict=False):
            if dim.dim_param:
                dim.dim_param = axis


@contextmanager
def _silence() -> Iterator[None]:
    """Without what torch says to its own developers while it writes ONNX."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
