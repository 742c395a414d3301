"""Pictures to begin with, which come with the libraries that are there anyway."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ... import viz
from ...data.builtin import EMBEDDED
from ...data.framing import Framing
from ...data.image_io import fit
from ...models.run import Run

PHOTOGRAPHS = ("astronaut", "cat", "coffee", "rocket")
SIDE = 256  # pixels
MOST = 6


def photographs() -> list[Image.Image]:
    """Four photographs of scikit-image, as squares of 256 pixels."""
    from skimage import data

    return [fit(Image.fromarray(np.asarray(getattr(data, name)())), SIDE) for name in PHOTOGRAPHS]


def suited_pictures(run: Run) -> list[Image.Image]:
    """Pictures for a run: held out from its training where that was on data of the library, else photographs."""
    place = run.config["data"].get("data")
    if place not in EMBEDDED:
        return photographs()
    size = min(run.shape[1:])
    images, _ = EMBEDDED[place]("test", Framing(size=size, colour="grey" if run.shape[0] == 1 else "rgb"))
    return [viz.to_image(image.float() / 255) for image in images[:MOST]]
