"""Write tutorial.ipynb from tutorial.md: `python docs/_tools/tutorial.py`; with --run, also its outputs and images.

The pictures are those that the page's code leaves in its folder `tutorial`.
"""

import argparse
import contextlib
import json
import re
import tempfile
from pathlib import Path

import pages
from PIL import Image

DOCS = Path(__file__).parents[1]
PAGE = DOCS / "start" / "tutorial.md"
COLOURS = 96


def run() -> None:
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        done = pages.run(PAGE, small=False)
        for name in re.findall(r"\(\.\./images/tutorial-(.+\.png)\)", page):
            with Image.open(Path("tutorial") / name) as image:
                small = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=COLOURS)
                small.save(DOCS / "images" / f"tutorial-{name}", optimize=True)
    PAGE.write_text(pages.with_outputs(page, done), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="store_true", help="run the page, two minutes on one core")
    if parser.parse_args().run:
        run()
    book = json.dumps(pages.notebook(PAGE.read_text(encoding="utf-8")), indent=1, ensure_ascii=False)
    PAGE.with_suffix(".ipynb").write_text(book + "\n", encoding="utf-8")
