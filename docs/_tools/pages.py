"""The pages as programs: code blocks run in order, and the notebook that a page is too.

A block marked python is run, in one namespace with those before it on its page. What follows it may be a block marked
text, which is what it prints, and a comment that no reader sees: `<!-- small: STEPS = 300 -> STEPS = 2; ... -->` is
what the tests change in it, so that they take seconds. A comment `<!-- not run: why -->` before a block leaves it out,
and `<!-- needs: diffusers -->` where that package is missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^\n]+) -->\n)?"
    r"(?:<!-- needs: (?P<needs>[^\n]+) -->\n)?"
    r"```python\n(?P<code>.*?)^```\n"
    r"(?:<!-- small: (?P<small>[^\n]+) -->\n)?"
    r"(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """Code of a page.

    Args:
        code: what the page shows.
        line: of its first line on the page, from 1.
        small: what the tests change in it, "this -> that; this -> that".
        output: what the page says that it prints; None if it says nothing.
        skipped: why it is not run; None if it is.
        needs: packages without which it is not run.
        span: where it begins and ends on the page.
    """

    code: str
    line: int
    small: str
    output: str | None
    skipped: str | None
    needs: tuple[str, ...]
    span: tuple[int, int]

    @property
    def small_code(self) -> str:
        return changed(self.code, self.small)


def blocks(page: str) -> Iterator[Block]:
    """The code of a page, from top to bottom."""
    for found in BLOCK.finditer(page):
        line = page.count("\n", 0, found.start("code")) + 1
        needs = tuple((found["needs"] or "").split())
        yield Block(found["code"], line, found["small"] or "", found["output"], found["why"], needs, found.span())


def changed(code: str, small: str) -> str:
    """Code as the tests run it."""
    for change in filter(None, small.split("; ")):
        old, new = change.split(" -> ")
        if old not in code:
            raise ValueError(f"{old!r}, which the tests are to change, is not in the block: {code[:60]!r}...")
        code = code.replace(old, new)
    return code


def installed(name: str) -> bool:
    return find_spec(name) is not None


def run(path: Path, *, small: bool, has: Callable[[str], bool] = installed) -> list[tuple[Block, str]]:
    """Run a page where we stand; each block with what it printed. `has` says which packages are there."""
    module = ModuleType(f"page_{path.stem.replace('-', '_')}")
    sys.modules[module.__name__] = module  # dataclasses look their own module up
    done = []
    try:
        for block in blocks(path.read_text(encoding="utf-8")):
            if block.skipped is not None or not all(map(has, block.needs)):
                continue
            printed = io.StringIO()
            code = block.small_code if small else block.code
            with contextlib.redirect_stdout(printed):
                # Lines of an error are those of the page.
                exec(compile("\n" * (block.line - 1) + code, str(path), "exec"), vars(module))
            done.append((block, printed.getvalue()))
    finally:
        del sys.modules[module.__name__]
    return done


def with_outputs(page: str, done: list[tuple[Block, str]]) -> str:
    """The page with what its blocks printed where it shows what they print."""
    for block, printed in reversed(done):
        if block.output is not None:
            begin, end = block.span
            page = (
                page[:begin] + page[begin:end].replace(f"```text\n{block.output}", f"```text\n{printed}") + page[end:]
            )
    return page


def notebook(page: str) -> dict[str, Any]:
    """A page as a Jupyter notebook: text, code, and what the page says that it prints."""
    cells: list[dict[str, Any]] = []

    def add(kind: str, source: str, **fields: Any) -> None:
        if source.strip():
            name = hashlib.sha256(f"{len(cells)} {source}".encode()).hexdigest()[:8]
            cells.append({"cell_type": kind, "id": name, "metadata": {}, "source": source.strip()} | fields)

    end = 0
    for block in blocks(page):
        add("markdown", page[end : block.span[0]])
        printed = {"name": "stdout", "output_type": "stream", "text": block.output}
        add(
            "code", block.code, execution_count=None, outputs=[] if block.output is None else [printed],
            metadata={"small": block.small} if block.small else {},
        )  # fmt: skip
        end = block.span[1]
    add("markdown", page[end:])
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def in_small(book: dict[str, Any]) -> dict[str, Any]:
    """A notebook as the tests run it."""
    cells = [c | {"source": changed(c["source"], c["metadata"].get("small", ""))} for c in book["cells"]]
    return book | {"cells": cells}
