"""The app: see a degradation, watch a restorer, generate; in a browser, on this machine only."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from ...models.run import Run
from ...models.serialization import load
from .network_guard import LOOPBACK, is_own, stay_offline
from .uploads import MOST_BYTES


def serve(runs: Sequence[str], host: str, port: int | None, browser: bool, device: str) -> None:
    """Open the app over runs, until Ctrl-C."""
    _check_port(host, port)
    with tempfile.TemporaryDirectory(prefix="colddiff-app-", ignore_cleanup_errors=True) as folder:
        # Read by gradio when it is imported: what is uploaded and shown lies there, and nothing else is served.
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        try:
            from .page import STYLE, build, theme
        except ModuleNotFoundError as error:
            if error.name != "gradio":
                raise
            raise ModuleNotFoundError('the app needs gradio: pip install "colddiff[app]"') from None
        page = build(named(runs, device), Path(folder) / "pictures")
        stay_offline(host)
        _, address, _ = page.launch(
            server_name=host, server_port=port, inbrowser=browser, quiet=True, share=False, prevent_thread_lock=True,
            max_file_size=MOST_BYTES, enable_monitoring=False, run_history=False, ssr_mode=False, theme=theme(),
            css=STYLE, footer_links=[], show_error=True,
        )  # fmt: skip
        print(f"colddiff app at {address} (Ctrl-C ends it)", flush=True)
        if not is_own(host, LOOPBACK) or host == "0.0.0.0":
            print("anybody who reaches this machine can use it: there is no password", flush=True)
        try:
            Event().wait()
        finally:
            page.close(verbose=False)


def named(runs: Sequence[str], device: str) -> dict[str, Run]:
    """The runs by what they are called on the page: the last part of their place, the whole where two are alike."""
    places = list(dict.fromkeys(runs))
    short = [Path(place).name or place for place in places]
    names = [name if short.count(name) == 1 else place for name, place in zip(short, places, strict=True)]
    return {name: load(place, device=device) for name, place in zip(names, places, strict=True)}


def _check_port(host: str, port: int | None) -> None:
    """Raise where nobody could listen, before all else is loaded."""
    if port is None:
        return
    if not 1 <= port <= 65535:
        raise ValueError(f"--port must be 1 to 65535, got {port}")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"--port {port} of {host} cannot be listened on: {reason}; give another") from None
