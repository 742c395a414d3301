"""Perception against distortion, from a report."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("report", type=str, help="what `colddiff eval` measured: a run, a folder, or report.json")
    p.add_argument("--out", type=str, default="tradeoff.png", help="plot: .png, .svg or .pdf")


def run(report: str, out: str) -> None:
    """Write how real against how true every way to restore is, from the report.json of `colddiff eval`, or its run."""
    from .... import viz
    from ....utils.files import read_json
    from ..image_files import check_output

    file = _report_file(Path(report))
    check_output(out, str(file))
    wanted = f"{str(file)!r} is no report: give the report.json of `colddiff eval`, or the run"
    try:
        told = read_json(file)
    except ValueError as error:  # a picture, say
        raise ValueError(wanted) from error
    rows = told.get("rows") if isinstance(told, dict) else None
    if not isinstance(rows, list):
        raise ValueError(wanted)
    viz.save(viz.tradeoff(rows), out)
    print(f"perception against distortion in {out}")


def _report_file(place: Path) -> Path:
    """The report of a run, or in a folder that `colddiff eval --out` wrote; or that file itself."""
    if not place.is_dir():
        return place
    for file in (place / "report" / "report.json", place / "report.json"):
        if file.is_file():
            return file
    raise FileNotFoundError(f"there is no report.json in {str(place)!r}: `colddiff eval` writes one")
