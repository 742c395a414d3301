"""Check the installation, or a run, for problems."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from ..command import SWITCH, trust


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str | None, nargs="?", default=None, help="a run to look at too, finished or not")
    p.add_argument("--data", type=str, default=None, help="images to compute with: those that the run was trained on")
    p.add_argument("--compile", action=SWITCH, default=False, help="try torch.compile too: takes up to minutes")
    p.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda")
    p.add_argument("--json", action=SWITCH, default=False, help="as JSON")
    trust(p)


def run(run: str | None, data: str | None, compile: bool, device: str, json: bool) -> None:
    """Print what is right and wrong, as it is found; the process ends with 1 where something is a problem."""
    from ...doctor.examine import diagnose

    diagnose(run, data, compile, device, json)
