"""Weights of the paper's code as a run."""

from __future__ import annotations

from jsonargparse import ArgumentParser


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("file", type=str, help="a .pt file of the official code")
    p.add_argument("--preset", type=str, required=True, help="the experiment that it is of: `colddiff presets`")
    p.add_argument("--out", type=str, required=True, help="folder for the run")


def run(file: str, preset: str, out: str) -> None:
    """Make a run of official weights."""
    from ....paper import presets
    from ....paper.official_weights import import_official

    run = import_official(file, presets.preset(preset).config(file, out), out)
    parameters = sum(p.numel() for p in run.net.parameters())
    print(f"{parameters:,} parameters, averaged weights of step {run.config['step']}, in {out}")
