"""An image at rising times, as a strip or an animation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from ..command import device_and_seed, image_size

MOST_PICTURES = 1000  # on one strip


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("image", type=str, help="a picture")
    p.add_argument(
        "--degradation", type=str | dict, required=True, help="name; its fields as --degradation.FIELD VALUE"
    )
    p.add_argument("--out", type=str, default="strip.png", help="strip; an animation if it ends in .gif")
    p.add_argument("--steps", type=int, default=8, help="pictures from t = 0 to t = 1")
    image_size(p, "side to which the picture is resized and cropped; its own size if left out")
    device_and_seed(p)


def run(image: str, degradation: Any, out: str, steps: int, image_size: int | None, device: str, seed: int) -> None:
    """Write the strip or animation of a picture's degradation."""
    import torch

    from .... import viz
    from ....data.framing import Framing
    from ....degradations.base import Degradation
    from ....utils.distributed import pick_device
    from ....utils.rng import generator_for
    from ..image_files import STAYS, check_output, read_image

    if not 2 <= steps <= MOST_PICTURES:
        raise ValueError(f"--steps must be 2 to {MOST_PICTURES} pictures, got {steps}")
    check_output(out, image)
    op = Degradation.from_config(degradation)
    x = read_image(Framing(size=image_size), image).to(pick_device(device))
    params, times = op.draw(x, generator_for(seed, "degrade")), torch.linspace(0, 1, steps, dtype=torch.float64)
    if Path(out).suffix.lower() == ".gif":
        viz.save([viz.film_strip(op, x, t[None], params=params) for t in times], out, last=STAYS)
    else:
        viz.save(viz.film_strip(op, x, times, params=params), out)
    print(f"{op.registered_name}: {steps} pictures from t = 0 to t = 1 in {out}")
    clipped_share = getattr(op, "clipped_share", None)
    if clipped_share is not None:
        shares = (float(clipped_share(x, t[None].to(x.device), params)) for t in times)
        print("clipped share: " + " ".join(f"{share:.1%}" for share in shares))
