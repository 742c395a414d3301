"""Open the app in a browser."""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse import ArgumentParser

from ...web.network_guard import LOOPBACK
from ..command import SWITCH, trust


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("runs", type=str, nargs="*", default=["digits"], help="what `colddiff train` wrote; digits if none")
    p.add_argument("--host", type=str, default=LOOPBACK, help="address to listen on; 0.0.0.0 for the whole network")
    p.add_argument("--port", type=int | None, default=None, help="the first free one from 7860 if left out")
    p.add_argument("--browser", action=SWITCH, default=False, help="open the page in the browser")
    p.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda")
    trust(p)


def run(runs: Sequence[str], host: str, port: int | None, browser: bool, device: str) -> None:
    """Open the app over runs, until Ctrl-C."""
    from ...web.server import serve

    serve(runs, host, port, browser, device)
