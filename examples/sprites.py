"""New sprites from a folder of sprites: pictures in, pictures out. Without a folder it draws its own to learn from."""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sprites_drawn import sprite

import colddiff as cd
from colddiff import viz
from colddiff.data import load_data
from colddiff.evaluation.memorization import nearest_neighbour_report as neighbours


def draw(folder: Path, seed: int, number: int = 1000) -> Path:
    """So many different drawings as PNG files."""
    random, seen = np.random.default_rng(seed), {}
    while len(seen) < number:
        pixels = sprite(random)
        seen.setdefault(pixels.tobytes(), pixels)
    for i, pixels in enumerate(seen.values()):
        viz.save(Image.fromarray(pixels), folder / f"{i:04d}.png")
    return folder


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", nargs="?", help="pictures to learn from; a thousand are drawn if left out")
parser.add_argument("--out", default="sprites", help="folder for the run and the pictures")
parser.add_argument("--minutes", type=float, default=5.0, help="training budget")
parser.add_argument("--steps", type=int, help="training steps instead")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
out = Path(args.out)

data = str(args.folder or draw(out / "drawn", args.seed))
config = cd.TrainConfig(
    data=data, image_size=16, degradation=cd.GaussianNoise(betas=cd.CosineBetas()), out=str(out / "run"),
    steps=args.steps, minutes=None if args.steps else args.minutes, seed=args.seed, batch_size=32, lr=2e-3,
    loss="l2", predict="velocity", ema_decay=0.995, restorer=cd.UNetConfig(width=32, patch=1, multipliers=(1, 2, 4)),
)  # fmt: skip
run = cd.train(config)

made = run.sample(64, seed=args.seed)
viz.save(viz.grid(made, zoom=4), out / "sprites.png")

random = [torch.Generator().manual_seed(args.seed + i) for i in range(8)]
x = torch.cat([run.prior.sample(1, run.shape, g) for g in random])
D = run.degradation.bind(run.degradation.draw_each(x, random), like=x)
states = [*cd.walk(run.R, D, D(x, 1.0), steps=50, sampler="estimated")]
rows = [("t = 1.0", D(x, 1.0)), *((f"t = {float(s.t[0]):.1f}", s.x) for s in states[4::5])]
viz.save(viz.labelled_rows(rows), out / "trajectory.png")

found = neighbours(made.cpu(), load_data(data, size=16), load_data(data, size=16, split="test")[:], run.device)
viz.save(viz.labelled_rows(found.pictures), out / "nearest.png")
far = found.values["distance"]
print("\nRMSE from the nearest training picture, median: " + ", ".join(f"{name} {far[name]:.4f}" for name in far))
print(f"generated pictures are {found.verdict}\n\npictures in {out}: sprites.png, trajectory.png, nearest.png")
