"""Draw the pictures of README.md and paper.md: `python docs/pictures.py`."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut, chelsea

import colddiff as cd
from colddiff import paper
from colddiff.pictures import fit, to_tensor
from colddiff.viz import labelled_rows, save

SIDE = 80
OPERATORS = {
    "gaussian_blur": cd.GaussianBlur(sigma_max=12.0),
    "pixelate": cd.Pixelate(),
    "gaussian_mask": cd.GaussianMask(num_steps=50, kernel_std=0.6, initial_mask=4, random_center=False),
    "motion_blur": cd.MotionBlur(length=30.0, angle=30.0),
    "jpeg": cd.Jpeg(quality_min=1),
    "desaturate": cd.Desaturate(),
    "salt_and_pepper": cd.SaltAndPepper(),
    "gaussian_noise": cd.GaussianNoise(betas=cd.CosineBetas()),
    "compose": cd.Compose(parts=(cd.GaussianBlur(sigma_max=2.0), cd.Desaturate(), cd.SaltAndPepper(share=0.2))),
}

# The paper's, at sizes that suit the picture.
PAPER = {
    "blur": paper.blur("Exponential_reflect", 100, 15, 0.015),
    "mask": paper.mask("Incremental", 100, 0.12, 1),
    "colour_mask": paper.colour_mask(100, 0.25),
    "spiral": cd.Spiral(num_steps=SIDE**2),
    "resolution": paper.resolution("Incremental_area", SIDE - 4),
    "snow": paper.snow(3, 200, fix_brightness=False),
    "decolor": paper.decolor("Linear", 20),
    "animorph": paper.animorph(200),
    "noise": paper.noise(200),
}


def read(picture: np.ndarray) -> torch.Tensor:
    return to_tensor(fit(Image.fromarray(picture), SIDE))[None].float() / 255


def draw(operators: dict[str, cd.Degradation], name: str, colours: int) -> Path:
    """One picture under each operator, from clean to fully degraded."""
    x, rows = read(astronaut()), []
    times = torch.linspace(0, 1, 8, dtype=torch.float64)
    for label, op in operators.items():
        params = op.draw(x, torch.Generator().manual_seed(0))
        params |= {"target": read(chelsea())} if op.required_params else {}
        D = op.bind(params, like=x)
        rows.append((label, torch.cat([D(x, t) for t in times])))
    sheet = labelled_rows(rows, zoom=1)
    return save(sheet.convert("P", palette=Image.Palette.ADAPTIVE, colors=colours), Path(__file__).with_name(name))


print(draw(OPERATORS, "degradations.png", 80))
print(draw(PAPER, "paper.png", 80))
