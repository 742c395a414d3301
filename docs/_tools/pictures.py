"""Draw the pictures of README.md and paper.md, and the curves of compare.md: `python docs/_tools/pictures.py`."""

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut, chelsea

import colddiff as cd
from colddiff import paper
from colddiff.data.image_io import fit, to_tensor
from colddiff.utils.statistics import MethodRow, SeedStats
from colddiff.viz import curves, labelled_rows, save

DOCS = Path(__file__).parents[1]
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
    return written(labelled_rows(rows, zoom=1), name, colours)


def written(sheet: Image.Image, name: str, colours: int) -> Path:
    small = sheet.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=colours)
    return save(small, DOCS / "images" / name)


def draw_curves(heading: str, title: str, name: str) -> Path:
    """A table of compare.md as curves."""
    section = (DOCS / "results" / "compare.md").read_text(encoding="utf-8").split(f"## {heading}\n")[1]
    rows = []
    for line in re.findall(r"^\| \w+ \| [1-9].*$", section.partition("\n## ")[0], re.MULTILINE):
        method, calls, ms, rmse, _, kid = (cell.strip(" *") for cell in line.split("|")[1:-1])
        rows.append(MethodRow(method, int(calls), float(ms) / 1000, {"rmse": spread(rmse), "kid": spread(kid)}))
    stream = BytesIO()
    curves(title, rows, ("rmse", "kid")).savefig(stream, format="png")
    return written(Image.open(stream), name, 64)


def spread(cell: str) -> SeedStats:
    """Three seeds, of which the page has the mean, the lowest and the highest."""
    mean, low, high = map(float, re.findall(r"[\d.]+", cell))
    return SeedStats((low, 3 * mean - low - high, high))


print(draw(OPERATORS, "degradations.png", 80))
print(draw(PAPER, "paper.png", 80))
print(draw_curves("Deblurring MNIST", "deblur: MNIST, the first 200 test images", "compare-deblur.png"))
