"""The restorer of `aang_sequence.py`: a network that knows the values are wrapped."""

import math
from pathlib import Path

import torch
from PIL import Image

import colddiff as cd
from colddiff import viz
from colddiff.data import load_data

PHOTOS = {"source": "photos", "size": 32}
HELD_OUT = PHOTOS | {"split": "test"}
TIMES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.0)  # the colours are decided early; the last half is one call


class OnTheCircle(torch.nn.Module):
    """The library's U-Net, shown sin and cos of each value too: wrapped, 0 and 1 are neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = cd.UNetConfig(cond_channels=6, width=32, multipliers=(1, 2, 4, 4)).build()

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        angle = 2 * math.pi * x
        return self.unet(x, t, (1 + torch.cat([angle.sin(), angle.cos()], dim=1)) / 2)


def trained(folder: Path, minutes: float, steps: int | None, seed: int) -> cd.Run:
    """A run on crops of photographs, in so many minutes or steps."""
    config = cd.TrainConfig(
        data="photos", degradation=cd.UniformNoise(), out=str(folder), image_size=32, batch_size=32, lr=2e-3,
        ema_decay=0.99, flip=True, seed=seed, steps=steps, minutes=None if steps else minutes,
    )  # fmt: skip
    return cd.train(config, net=OnTheCircle())


def generate(run: cd.Run, picture: torch.Tensor, noise: list[torch.Tensor]) -> Image.Image:
    """What becomes of squares of pure noise, beside what was there before and the nearest of the training images."""
    seen, rows = load_data(**PHOTOS)[:], [("was there", tiles(picture))]
    for name, x in zip(("d = 1", "random noise"), map(tiles, noise), strict=True):
        D = cd.bind_observed(run.degradation, run.R, x, 1.0)
        made = cd.sample(run.R, D, x, times=TIMES, sampler="naive").clamp(0, 1)
        nearest = seen[torch.cdist(made.flatten(1), seen.flatten(1)).argmin(dim=1)]
        rows += [(name, x), ("made of it", made), ("nearest seen", nearest)]
    return viz.labelled_rows(rows)


def tiles(x: torch.Tensor) -> torch.Tensor:
    """Eight squares of 32 pixels from all over a picture (C, H, W)."""
    squares = x.unfold(1, 32, 32).unfold(2, 32, 32).flatten(1, 2).transpose(0, 1)
    return squares[torch.linspace(0, len(squares) - 1, 8).long()]
