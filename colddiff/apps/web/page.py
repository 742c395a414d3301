"""The page: three tabs over the same runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gradio as gr

from ...models.run import Run
from . import degrade_tab, generate_tab, restore_tab
from .examples import photographs
from .uploads import UploadStore

LOOKED_AT, KEPT = 3600, 24 * 3600  # seconds between looks for pictures that were given, and that one is kept

# Small images are shown as they are, pixel by pixel; no font is fetched from anywhere.
STYLE = """
.pixels img { image-rendering: pixelated; object-fit: contain; width: 100%; }
.shown { padding-top: 30px; }
.shown .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)) !important; }
.shown .icon-button-wrapper { top: -28px !important; }
.shown img { object-fit: contain; width: 100%; }
.gradio-container { width: 100% !important; max-width: 1400px !important; margin: auto; }
.gradio-container .main { width: 100%; }
footer { display: none !important; }
"""
TITLE = """# colddiff
Any image degradation in, a restorer and a generator out: `x = x + (D(x0_hat, s) - D(x0_hat, t))`"""
FONTS = ("system-ui", "sans-serif")


def build(runs: Mapping[str, Run], folder: Path) -> gr.Blocks:
    """The app over runs by name; pictures for the browser lie in the folder."""
    shelf = UploadStore(folder)
    generators = {name: run for name, run in runs.items() if run.prior is not None and run.condition is None}
    with gr.Blocks(title="colddiff", analytics_enabled=False, delete_cache=(LOOKED_AT, KEPT)) as page:
        gr.Markdown(TITLE)
        with gr.Tab("Degrade", id="degrade"):
            degrade_tab.tab(shelf, [shelf.put(picture, keep=True) for picture in photographs()])
        with gr.Tab("Restore", id="restore"):
            restore_tab.tab(restore_tab.Restoring(runs, shelf))
        with gr.Tab("Generate", id="generate"):
            generate_tab.tab(generate_tab.Generating(generators, shelf))
    page.queue()
    return page


def theme() -> gr.themes.Base:
    """Gradio's own, in fonts that every machine has."""
    return gr.themes.Default(font=FONTS, font_mono=("ui-monospace", "monospace"))
