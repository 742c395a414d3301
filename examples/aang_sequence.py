"""The note's sequence: a picture sinks into wrapped noise, and a restorer is trained to bring it, and noise, back."""

import argparse
from pathlib import Path

import torch
from aang_restorer import HELD_OUT, generate, trained
from PIL import Image
from skimage.data import astronaut

from colddiff import viz
from colddiff.data import load_data
from colddiff.data.image_io import read_image, to_tensor
from colddiff.evaluation import metrics


def distort(pixels: torch.Tensor, d: float, u: torch.Tensor) -> torch.Tensor:
    """floor(255 (x + d u)) mod 256 with x = pixels / 255; whole pixels leave the floor, so d = 0 changes nothing."""
    return (((pixels + torch.floor(255 * d * u)) % 256) / 255).float()


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--image", help="a picture; the default is a photograph bundled with scikit-image")
parser.add_argument("--out", default="aang", help="folder for the pictures")
parser.add_argument("--minutes", type=float, default=1.0, help="training budget")
parser.add_argument("--steps", type=int, help="training steps instead")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
out, random = Path(args.out), torch.Generator().manual_seed(args.seed)

pixels = to_tensor(read_image(args.image).convert("RGB") if args.image else Image.fromarray(astronaut()))
if min(pixels.shape[1:]) < 32:
    parser.error(f"the picture must be at least 32 pixels wide and high, got {tuple(pixels.shape[1:])}")
u = torch.rand(pixels.shape, generator=random, dtype=torch.float64)
sheet = {f"aang_distorted_{d}": distort(pixels, d, u) for d in (0.0, 0.1, 0.2, 0.5, 0.7, 0.8, 0.9, 1.0)}
sheet["random_noise"] = torch.randint(256, pixels.shape, generator=random) / 255
for name, x in sheet.items():
    viz.save(viz.to_image(x), out / f"{name}.png")
viz.save(viz.grid(torch.stack([*sheet.values()])[..., ::2, ::2], 3), out / "contact_sheet.png")

run = trained(out / "run", args.minutes, args.steps, args.seed)
x0 = load_data(**HELD_OUT)[::2]
u, rows = torch.rand(x0.shape, generator=random, dtype=torch.float64), [("clean", x0)]
print(f"\n{len(x0)} held-out crops, mean RMSE\n\n| d | distorted | restored |\n|--:|--:|--:|")
for d in (0.5, 0.8):
    x = distort((255 * x0).round(), d, u)
    restored = run.restore(x, start=d, sampler="one_shot")
    rows += [(f"d = {d}", x), ("restored", restored)]
    print(f"| {d} | {metrics.rmse(x, x0).mean():.4f} | {metrics.rmse(restored, x0).mean():.4f} |")
    whole = run.restore(sheet[f"aang_distorted_{d}"][None], start=d, sampler="one_shot")
    viz.save(viz.to_image(whole[0]), out / f"aang_restored_{d}.png")
viz.save(viz.labelled_rows([(name, x[4 :: len(x) // 12]) for name, x in rows]), out / "held_out.png")
made = generate(run, pixels / 255, [sheet["aang_distorted_1.0"], sheet["random_noise"]])
viz.save(made, out / "generated.png")

print("\nWrapped, black is white: 0 and 255 are one step apart mod 256, and the restorer guesses which it was.")
print("The bundled photograph is one of those that were trained on, all but its right fifth; the crops above are not.")
print("At d = 1 nothing of the picture is left: what is made of it is generated, as from pure noise, not recovered.")
print(f"pictures in {out}: contact_sheet.png, held_out.png, generated.png, aang_restored_0.5.png and _0.8.png")
