"""How the pages are built: `make docs`, or `sphinx-build -W -n -b html docs docs/_build/html`."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

project = "colddiff"
author = "the authors of colddiff"
version = release = re.search(r'__version__ = "(.+)"', (HERE.parent / "colddiff/__init__.py").read_text())[1]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # tables that the benchmarks write have a small heading

html_theme = "furo"
html_title = f"colddiff {release}"
html_show_copyright = False
