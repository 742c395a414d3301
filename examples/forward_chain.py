"""The chain of Gaussian noise: schedules side by side, and k small steps against the closed form."""

import argparse
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from skimage.data import astronaut

import colddiff as cd
from colddiff import viz
from colddiff.data.image_io import fit, to_tensor

SCHEDULES = {"linear": cd.LinearBetas(), "quadratic": cd.QuadraticBetas(), "cosine": cd.CosineBetas()}
TIMES = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0], dtype=torch.float64)


def stepwise(op: cd.GaussianNoise, x: torch.Tensor, k: int, generator: torch.Generator) -> torch.Tensor:
    """x after k links of the Markov chain, each with its own noise."""
    for i in range(1, k + 1):
        x = op.step(x, i, generator)
    return x


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="forward_chain", help="folder for the picture")
parser.add_argument("--chains", type=int, default=50_000, help="how many are walked step by step")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
random = torch.Generator().manual_seed(args.seed)

x = to_tensor(fit(Image.fromarray(astronaut()), 128))[None].float() / 255
params = cd.GaussianNoise().draw(x, random)
chains = {name: cd.GaussianNoise(betas=betas).bind(params, like=x) for name, betas in SCHEDULES.items()}
sheet = viz.labelled_rows([(name, torch.cat([D(x, t) for t in TIMES])) for name, D in chains.items()])
for i, t in enumerate(TIMES.tolist()):
    place = (sheet.width - (len(TIMES) - i) * (128 + viz.GAP), 6)
    ImageDraw.Draw(sheet).text(place, f"t = {t:g}", fill="black", stroke_width=2, stroke_fill="white", font_size=16)
picture = viz.save(sheet, Path(args.out) / "schedules.png")

print("alpha_bar, the share of the signal's variance that is left\n")
print("| t | " + " | ".join(SCHEDULES) + " |\n|--:|" + "--:|" * len(SCHEDULES))
for t in TIMES:
    print(f"| {t:.2f} | " + " | ".join(f"{float(betas.alpha_bar(t)):.6f}" for betas in SCHEDULES.values()) + " |")

print(f"\nk steps against the closed form: one pixel of value 0.9, {args.chains:,} chains of 100 steps\n")
print("| schedule | k | mean, steps | closed | std, steps | closed | largest gap / standard error |")
print("|---|--:|--:|--:|--:|--:|--:|")
pixels = torch.full((1, 1, 1, args.chains), 0.9, dtype=torch.float64)
for name, betas in SCHEDULES.items():
    op = cd.GaussianNoise(betas=type(betas)(num_steps=100))
    for k in (10, 50, 100):
        walked = stepwise(op, pixels, k, random)
        ab = float(op.betas.alpha_bars()[k])
        mean, std = 0.5 + ab**0.5 * (0.9 - 0.5), (1 - ab) ** 0.5 / 2
        errors = std / args.chains**0.5, std / (2 * args.chains) ** 0.5
        gap = max(abs(float(walked.mean()) - mean) / errors[0], abs(float(walked.std()) - std) / errors[1])
        print(f"| {name} | {k} | {walked.mean():.5f} | {mean:.5f} | {walked.std():.5f} | {std:.5f} | {gap:.2f} |")
print(f"\npicture: {picture}")
