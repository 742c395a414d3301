"""What the pages say is so: links lead somewhere, names exist, errors are those of the library, nothing is left out."""

import ast
import inspect
import re
import sys
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from support.public_names import NAMES

import colddiff as cd
from colddiff.utils.config import registered

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INSIDE = {"time_of_noise", "to_unit", "to_centred", "times_of"}  # what the adapters share among each other
STAND_INS = {  # names of files that a reader may write
    "colddiff/a/b.py",
    "tests/a/test_b.py",
    "colddiff/degradations/operators/fog.py",
    "tests/degradations/operators/test_NAME.py",
}
sys.path.insert(0, str(DOCS / "_tools"))

import operators  # noqa: E402

PAGES = sorted({*DOCS.rglob("*.md"), *ROOT.glob("*.md")} - {*(DOCS / "_build").rglob("*")})


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)", re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL))
    missing = [t for t in targets if "://" not in t and not t.startswith("mailto:") and not (page.parent / t).exists()]
    assert not missing, f"{name_of(page)} links to what is not there: {missing}"


@pytest.mark.parametrize("page", ["guides/command-line.md", "index.md"])
def test_a_line_of_code_fits_on_its_page(page):
    """A page is 1200 px wide; what is beyond is cut off."""
    text = text_of(DOCS / page)
    fenced = re.findall(r"^```.*?^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [*re.findall(r"^    .*", text, flags=re.MULTILINE), *"\n".join(fenced).splitlines()]
    assert lines and [line for line in lines if len(line) > 100] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_a_page_names_exist(page):
    named = set(re.findall(r"`((?:tests|examples|docs|colddiff|benchmarks)/[\w/.-]+\.\w+)", text_of(page)))
    missing = sorted(name for name in named - STAND_INS if not (ROOT / name).exists())
    assert not missing, f"{name_of(page)} names {missing}"


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse(text_of(ROOT / "tests" / f"{file}.py"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tests_that_a_page_names_exist(page):
    for file, name in re.findall(r"tests/([\w/]*test_\w+)\.py::(\w+)", text_of(page)):
        assert name in names_in(file), f"{name_of(page)} names tests/{file}.py::{name}, which is not there"


def test_promises_that_the_mathematics_names_are_those_of_the_suite():
    from colddiff.testing.degradations import DEGRADATION_CHECKS

    named = re.findall(r"promises?\s+`(\w+)`(?:\s+and\s+`(\w+)`)?", text_of(DOCS / "concepts" / "mathematics.md"))
    assert len(named) > 4 and {name for pair in named for name in pair if name} <= DEGRADATION_CHECKS.keys()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_of_the_library_on_a_page_are_its_names(page):
    unknown = {name for name in re.findall(r"\bcd\.(\w+)", text_of(page)) if not hasattr(cd, name)}
    assert not unknown, f"{name_of(page)} has cd.{', cd.'.join(sorted(unknown))}"


def test_every_operator_is_on_the_page_as_its_class_describes_it():
    assert sorted(name for names in operators.GROUPS.values() for name in names) == [
        *registered("colddiff.degradations")
    ]
    assert operators.page() == text_of(DOCS / "gallery" / "operators.md"), "run `python docs/_tools/operators.py`"


def test_every_operator_has_a_small_film_strip_that_changes():
    sizes = {
        name: (DOCS / "gallery" / "operators" / f"{name}.png").stat().st_size
        for name in registered("colddiff.degradations")
    }
    assert max(sizes.values()) < 25_000 and sum(sizes.values()) < 500_000
    with Image.open(DOCS / "gallery" / "operators" / "pixelate.png") as picture:
        first, last = (np.asarray(picture.convert("RGB"))[2:-2, a : a + 50] for a in (4, picture.width - 56))
    assert first.std(axis=(0, 1)).min() > 10 > last.std(axis=(0, 1)).max()  # of each colour


def messages():
    """Every text in the library, with a bar where a value is put in."""
    for file in (ROOT / "colddiff").rglob("*.py"):
        for node in ast.walk(ast.parse(text_of(file))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(v.value if isinstance(v, ast.Constant) else "|" for v in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_errors_that_a_page_quotes_are_those_of_the_library():
    page = text_of(DOCS / "guides" / "troubleshooting.md")
    quoted = re.findall(r"^> (.+)$", page, re.MULTILINE) + re.findall(r"^\| `(.+?)`", page, re.MULTILINE)
    assert len(quoted) > 20
    said = [*messages()]
    for quote in quoted:
        pieces = [piece.strip() for piece in quote.replace("`", "").split("...") if len(piece.strip()) > 3]
        assert any(all(piece in text for piece in pieces) for text in said), f"nothing says {quote!r}"


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load(text_of(ROOT / "CITATION.cff"))
    assert citation["cff-version"] == "1.2.0" and citation["version"] == cd.__version__
    assert {"message", "title", "authors"} <= citation.keys() and "2208.09392" in citation["references"][0]["url"]


def public() -> list[str]:
    """The names that users may rely on, from the root."""
    found = [f"colddiff.{name}" for name in NAMES if not isinstance(getattr(cd, name), ModuleType)]
    for module in ("testing", "viz", "paper"):
        for name, value in vars(import_module(f"colddiff.{module}")).items():
            ours = isinstance(value, type | FunctionType) and value.__module__.startswith(f"colddiff.{module}")
            if ours and not name.startswith("_"):
                found.append(f"colddiff.{module}.{name}")
    return found


def looked_up(name: str) -> Any:
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


DOCUMENTED = [name for name in public() if isinstance(looked_up(name), type | FunctionType)]


def test_every_public_name_is_on_a_page_of_the_api():
    pages_of_api = "".join(text_of(page) for page in (DOCS / "reference" / "api").glob("*.md"))
    told = set(re.findall(r"^\.\. (?:autoclass|autofunction|py:data):: (\S+)$", pages_of_api, re.MULTILINE))
    missing = [name for name in public() if name not in told]
    assert not missing, f"docs/reference/api lacks {missing}"


def test_every_public_name_of_the_adapters_is_on_a_page_of_the_api():
    page = text_of(DOCS / "reference" / "api" / "interop.md")
    adapters = ROOT / "colddiff" / "interop"
    for library in ("deepinv", "diffusers", "kornia", "onnx", "torchvision"):
        package = (adapters / library).is_dir()  # hands its public names on
        tree = ast.parse(text_of(adapters / library / "__init__.py" if package else adapters / f"{library}.py"))
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        names += [
            alias.name
            for node in tree.body
            if package and isinstance(node, ast.ImportFrom) and node.level
            for alias in node.names
        ]
        assert names or not package
        for name in names:
            if not name.startswith("_") and name not in INSIDE:
                assert re.search(rf"colddiff\.interop\.{library}\.(\w+\.)?{name}\n", page), name


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_public_docstring_begins_with_one_line_and_names_its_arguments(name):
    value = looked_up(name)
    doc = inspect.getdoc(value) or ""
    first, _, rest = doc.partition("\n")
    assert first and (not rest or rest.startswith("\n")), f"{name} begins with more than one line"
    # Or those of the class that it inherits from, or of what it refers to as `this`.
    told = doc
    for word in re.findall(r"`([\w.]+)`", doc):
        other = getattr(cd, word, None) or getattr(import_module(name.rpartition(".")[0]), word, None)
        told += inspect.getdoc(other) or "" if isinstance(other, type | FunctionType) else ""
    if isinstance(value, type):
        told += "".join(base.__doc__ or "" for base in value.__mro__)
        own = [field.name for field in fields(value) if field.name != "schedule"] if is_dataclass(value) else []
    else:
        own = [*inspect.signature(value).parameters]
    missing = [argument for argument in own if not re.search(rf"\b{argument}\b", told, re.IGNORECASE)]
    assert not missing, f"{name} does not say what {missing} are"
