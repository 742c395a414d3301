"""What `colddiff export` does: a run as files for other libraries."""

from __future__ import annotations

from pathlib import Path

from ..checkpoint import load
from ..files import check_target


def export_run(run: str, out: str, format: str, overwrite: bool) -> None:
    """Write a run in the format of another library, and print how it is read there.

    Raises:
        ValueError: a run that cannot be exported, or something in the way. ModuleNotFoundError: the library is missing.
    """
    target = Path(out)
    if format == "onnx" or (format == "auto" and target.suffix.lower() == ".onnx"):
        from .onnx import export_onnx

        check_target(target)
        if target.exists() and not overwrite:
            raise ValueError(f"there is {out!r} already: give another file, or replace it (--overwrite)")
        print(f"{run} as an ONNX graph, inputs x in [0, 1] and t, in {export_onnx(load(run, device='cpu'), target)}")
        return
    from .diffusers import to_diffusers

    written = to_diffusers(load(run, device="cpu"), target, overwrite=overwrite)
    print(
        f"{run} as a pipeline of diffusers in {written}; read it with colddiff.interop.diffusers, "
        f"ColdPipeline.from_pretrained({str(written)!r})"
    )
