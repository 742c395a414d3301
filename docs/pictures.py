"""Draw the pictures of README.md: `python docs/pictures.py`."""

from pathlib import Path

import torch
from PIL import Image
from skimage.data import astronaut

import colddiff as cd
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

x = to_tensor(fit(Image.fromarray(astronaut()), SIDE))[None].float() / 255
times = torch.linspace(0, 1, 8, dtype=torch.float64)
rows = []
for name, op in OPERATORS.items():
    D = op.bind(op.draw(x, torch.Generator().manual_seed(0)), like=x)
    rows.append((name, torch.cat([D(x, t) for t in times])))
sheet = labelled_rows(rows, zoom=1)
path = save(sheet.convert("P", palette=Image.Palette.ADAPTIVE, colors=80), Path(__file__).with_name("degradations.png"))
print(path)
