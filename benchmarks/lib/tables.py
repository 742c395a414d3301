"""Tables as JSON, as Markdown, and in a page between two marks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .interleaved import Spread, Table


def to_json(table: Table) -> dict[str, Any]:
    rows = [{column: _plain(cell) for column, cell in row.items()} for row in table.rows]
    return {"title": table.title, "note": table.note, "clean": table.clean, "rows": rows}


def from_json(saved: Mapping[str, Any]) -> Table:
    rows = [{c: Spread(*v) if isinstance(v, list) else v for c, v in row.items()} for row in saved["rows"]]
    return Table(saved["title"], rows, saved["note"], tuple(saved["clean"]) if saved["clean"] else None)


def markdown(table: Table) -> str:
    """The title, the rows with a column for every kind of cell, and the note."""
    columns = list(dict.fromkeys(column for row in table.rows for column in row))
    heads = {"name": "", "ratio": "ratio of times"}
    bases = {row["to"] for row in table.rows if "to" in row}
    if len(bases) == 1:  # then it need not stand in every row
        columns.remove("to")
        heads["ratio"] = f"time over that of: {bases.pop()}"
    lines = [
        "| " + " | ".join(heads.get(column, column) for column in columns) + " |",
        "|---|" + "--:|" * (len(columns) - 1),
    ]
    lines += ["| " + " | ".join(_cell(row.get(column, "")) for column in columns) + " |" for row in table.rows]
    clean = "" if table.clean is None else f"Clean rounds: {table.clean[0]} of {table.clean[1]}."
    if table.clean is not None and table.clean[0] < min(3, table.clean[1]):
        clean += " **Disturbed: all rounds are in, read the order of magnitude only.**"
    below = " ".join(part for part in (table.note, clean) if part)
    return "\n".join([f"#### {table.title}", "", *lines, "", *([below, ""] if below else [])])


def report(saved: Mapping[str, Any]) -> str:
    """All sections of a saved run."""
    facts = [f"{name} {value}" for name, value in saved["machine"].items() if value is not None]
    parts = ["Machine: " + ", ".join(facts) + ".", ""]
    for section in saved["sections"].values():
        parts += [f"### {section['title']}", "", f"Measured {section['date']}.", ""]
        parts += [markdown(from_json(table)) for table in section["tables"]]
    return "\n".join(parts)


def rewrite(page: Path, name: str, text: str) -> None:
    """Replace what stands in a page between the marks of that name; what is around them is written by hand."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{str(page)!r} has no marks {begin} and {end} to write between")
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")


def number(value: float) -> str:
    """Three figures, without an exponent where one can be spared."""
    if value == 0 or not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2g}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"


def _plain(cell: Any) -> Any:
    return [cell.median, cell.low, cell.high] if isinstance(cell, Spread) else cell


def _cell(cell: Any) -> str:
    if isinstance(cell, Spread):
        return f"{number(cell.median)} [{number(cell.low)}..{number(cell.high)}]"
    if isinstance(cell, bool) or cell is None:
        return {True: "yes", False: "no", None: ""}[cell]
    return number(cell) if isinstance(cell, float) else str(cell)
