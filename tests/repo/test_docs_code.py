"""The code of the pages runs, the notebook is the tutorial, and the pages build."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.optional_packages import beside

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "_tools"))

import pages  # noqa: E402

PAGES = [p for p in sorted(DOCS.rglob("*.md")) if any(b.skipped is None for b in pages.blocks(p.read_text("utf-8")))]
SLOW = {"interop.md"}  # other libraries have to be imported, and a graph to be written


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def is_here(package: str) -> bool:
    """Whether a package is installed, or stands beside."""
    try:
        beside(package)
    except pytest.skip.Exception:
        return False
    return True


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.name, marks=[pytest.mark.slow] if p.name in SLOW else []) for p in PAGES]
)
def test_the_code_of_a_page_runs_and_prints_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block, printed in pages.run(page, small=True, has=is_here):
        if block.small:
            break  # numbers of a shorter training are others, here and after
        if block.output is not None:
            assert printed == block.output, f"{page.name}, line {block.line}"


def test_what_the_tests_change_in_a_block_must_be_there():
    page = "```python\nSTEPS = 300\n```\n<!-- small: STEPS = 300 -> STEPS = 2; 300 -> 4 -->\n"
    (block,) = pages.blocks(page)
    with pytest.raises(ValueError, match="'300', which the tests are to change"):
        pages.changed(block.code, block.small)


def test_an_error_in_a_page_has_the_line_of_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n```python\nx = 1\n1 / 0\n```\n", encoding="utf-8")
    with pytest.raises(ZeroDivisionError) as raised:
        pages.run(page, small=True)
    assert raised.traceback[-1].lineno + 1 == 5


def test_outputs_are_put_where_the_page_shows_them():
    page = "```python\nprint(1)\n```\n\n```text\n0\n```\n\n```python\nprint(2)\n```\n"
    first, second = pages.blocks(page)
    assert pages.with_outputs(page, [(first, "1\n"), (second, "2\n")]) == page.replace("0\n", "1\n")


def test_the_notebook_is_the_tutorial():
    told = "run `python docs/_tools/tutorial.py`"
    assert json.loads(text_of(DOCS / "start" / "tutorial.ipynb")) == pages.notebook(
        text_of(DOCS / "start" / "tutorial.md")
    ), told


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    book = nbformat.from_dict(pages.in_small(pages.notebook(text_of(DOCS / "start" / "tutorial.md"))))
    nbformat.validate(book)
    nbclient.NotebookClient(book, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [o for cell in book.cells for o in cell.get("outputs", ()) if "image/png" in o.get("data", {})]
    assert len(shown) == len(list((tmp_path / "tutorial").glob("*.png"))) - 1  # the picture itself is not shown


def test_the_pages_build_without_a_warning(tmp_path):
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-n", "-b", "html", DOCS, tmp_path / "html"]
    done = subprocess.run([*command, "-d", tmp_path / "doctrees"], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "Algorithm 2" in text_of(tmp_path / "html" / "concepts" / "mathematics.html")
