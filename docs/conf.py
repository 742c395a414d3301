"""How the pages are built: `make docs`, or `sphinx-build -W -n -b html docs docs/_build/html`."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

project = "colddiff"
author = "the authors of colddiff"
version = release = re.search(r'__version__ = "(.+)"', (HERE.parent / "colddiff/__init__.py").read_text())[1]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_tools"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # tables that the benchmarks write have a small heading

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_title = f"colddiff {release}"
html_show_copyright = False

# Docstrings are plain text with `names`; in them a bar or a star is mathematics.
default_role = "code"
autodoc_mock_imports = [name for name in ("deepinv", "diffusers", "torchvision") if find_spec(name) is None]
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
maximum_signature_line_length = 100
nitpick_ignore_regex = [("py:.*", ".*")]  # types of other packages; their pages are not asked for


ONE_ERROR = re.compile(r"(?<=[.:;]) +(?=[A-Z]\w+(?:Error|Interrupted)\b[^.]*?:)")


def as_plain_text(app, what, name, obj, options, lines):
    """Docstrings as napoleon reads them: plain outside `names`, an error a line, and no type in what is returned."""
    text = "\n".join(
        "".join(p if p.startswith("`") else re.sub(r"[*|]", r"\\\g<0>", p) for p in re.split(r"(`[^`]*`)", line))
        for line in lines
    )
    text = re.sub(r"^Returns:$", "Returns", text, flags=re.MULTILINE)
    head, raises, rest = text.partition("\nRaises:\n")
    errors, gap, after = rest.partition("\n\n")
    one_line = re.sub(r"\n +", " ", errors)
    if what in ("property", "attribute"):
        head = f"\n{head}"  # napoleon takes a first line up to its colon for a type
    lines[:] = (head + raises + ONE_ERROR.sub("\n    ", one_line) + gap + after).split("\n")


def setup(app):
    app.connect("autodoc-process-docstring", as_plain_text, priority=400)  # before napoleon
