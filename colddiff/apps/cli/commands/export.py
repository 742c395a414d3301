"""A run as files for other libraries."""

from __future__ import annotations

import re
import typing
from pathlib import Path

from jsonargparse import ArgumentParser

from ..command import SWITCH, trust


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote, or digits")
    p.add_argument("out", type=str, help="folder of a pipeline of diffusers, or an .onnx file")
    p.add_argument(
        "--format", type=typing.Literal["auto", "diffusers", "onnx"], default="auto",
        help="auto is onnx for an OUT that ends in .onnx, else diffusers",
    )  # fmt: skip
    p.add_argument("--overwrite", action=SWITCH, default=False, help="put it among, or in place of, files of others")
    trust(p)


def run(run: str, out: str, format: str, overwrite: bool) -> None:
    """Write a run in the format of another library, and print how it is read there.

    Raises:
        ValueError: a run that cannot be exported, or something in the way; a file's name where a folder is made.
        ModuleNotFoundError: the library is missing.
    """
    from ....models.serialization import load
    from ....utils.files import check_target

    target = Path(out)
    # A run that is loaded without a word may be in bf16, where the hardware has it.
    same = f"the same images as cd.load({run!r}, precision='fp32')"
    if format == "onnx" or (format == "auto" and target.suffix.lower() == ".onnx"):
        from ....interop.onnx import export_onnx

        check_target(target)
        if target.exists() and not overwrite:
            raise ValueError(f"there is {out!r} already: give another file, or replace it (--overwrite)")
        written = export_onnx(load(run, device="cpu"), target)
        print(f"{run} as an ONNX graph, inputs x in [0, 1] and t, in {written}; {same}")
        return
    if format == "auto" and re.fullmatch(r"\.[A-Za-z]{2,5}", target.suffix) and not target.exists():
        raise ValueError(
            f"{out!r} is named like a file, and a pipeline of diffusers is a folder: end it in .onnx for ONNX, or add "
            "--format diffusers"
        )
    from ....interop.diffusers.pipeline import INDEX, to_diffusers

    again = ", written anew" if (target / INDEX).is_file() else ""
    folder = to_diffusers(load(run, device="cpu"), target, overwrite=overwrite)
    print(
        f"{run} as a pipeline of diffusers in {folder}{again}; read it with colddiff.interop.diffusers, "
        f"ColdPipeline.from_pretrained({str(folder)!r}); {same}"
    )
