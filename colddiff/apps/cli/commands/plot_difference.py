"""Where two images differ."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser

from ..command import SWITCH


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("before", type=str, help="a picture")
    p.add_argument("after", type=str, help="another one of the same size, of which the first is taken away")
    p.add_argument("--out", type=str, default="difference.png", help="both pictures and the map")
    p.add_argument("--absolute", action=SWITCH, default=False, help="without the sign")
    p.add_argument(
        "--limit", type=float | None, default=None, help="where the colours end; beyond 99.5% of the pixels if left out"
    )


def run(before: str, after: str, out: str, absolute: bool, limit: float | None) -> None:
    """Write two pictures and where they differ."""
    from .... import viz
    from ....data.framing import Framing
    from ..image_files import as_tensor, check_output

    check_output(out, before, after)
    a, b = (Framing().open(Path(file)) for file in (before, after))
    mode = "RGB" if "RGB" in (a.mode, b.mode) else "L"
    x, y = (as_tensor(picture.convert(mode))[0] for picture in (a, b))
    titles = Path(before).stem, Path(after).stem
    viz.save(viz.difference(x, y, absolute=absolute, limit=limit, titles=titles), out)
    change = (y - x).double()
    print(f"RMSE {float(change.square().mean().sqrt()):.4f}, at most {float(change.abs().max()):.4f}, in {out}")
