"""A degradation of your own: fog, in ten lines, checked, trained on and undone."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

import colddiff as cd
from colddiff import viz
from colddiff.data import load_data
from colddiff.evaluation import metrics
from colddiff.testing import check_degradation


@cd.register("fog")
@dataclass(frozen=True, kw_only=True)
class Fog(cd.Degradation):
    """x + s density (colour - x): each picture has a fog of its own shade, and no pixel is lost for good."""

    density: float = 0.9
    claims = cd.Claims.MONOTONE | cd.Claims.DIFFERENTIABLE | cd.Claims.TRACEABLE

    def draw(self, like, generator=None):
        shade = 0.6 + 0.4 * torch.rand(len(like), 1, 1, 1, generator=generator)
        return {"colour": shade.to(like.device, non_blocking=True)}

    def degrade(self, x, s, params):
        return x + s * self.density * (params["colour"] - x)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="fog", help="folder for the run and the pictures")
parser.add_argument("--steps", type=int, default=300, help="training steps")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
out = Path(args.out)

check_degradation(Fog())
print("Fog keeps every promise of a degradation")

config = cd.TrainConfig(
    data="digits", image_size=16, degradation=Fog(), out=str(out / "run"), steps=args.steps, seed=args.seed,
    restorer=cd.UNetConfig(channels=1, width=32, patch=1, multipliers=(1, 2)), ema_decay=0.99,
)  # fmt: skip
run = cd.train(config)

x0 = load_data("digits", split="test", size=16)[:64]
params = Fog().draw(x0, torch.Generator().manual_seed(args.seed))
rows = [("clean", x0)]
for t in (0.5, 1.0):
    foggy = Fog()(x0, t, params)
    restored = run.restore(foggy, start=t, sampler="one_shot")
    rows += [(f"fog {t}", foggy), ("restored", restored)]
    before, after = (float(metrics.rmse(x, x0).mean()) for x in (foggy, restored))
    print(f"t = {t}: RMSE {before:.4f} in fog, {after:.4f} restored")
picture = viz.save(viz.labelled_rows([(name, x[:8]) for name, x in rows]), out / "fog.png")
print(f"picture: {picture}")
