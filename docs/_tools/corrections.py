"""What upstream's slips cost: `python docs/_tools/corrections.py DATA`, a folder of CIFAR-10, prints its table.

Each is rebuilt from its description with this library's operators, on the first 1,000 test images at 32 x 32 pixels,
with a perfect restorer where a sampler is concerned. RMSE is one root mean square over all values in [0, 1].
"""

import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import colddiff as cd
from colddiff import paper

IMAGES = 1000


def rmse(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).square().mean().sqrt())


def off_by_one(op: cd.Degradation, x0: Tensor) -> float:
    """Algorithm 2 with levels k - 1 and k - 2 where k and k - 1 are meant: the last step changes nothing."""
    D = op.bind(op.draw(x0, torch.Generator().manual_seed(0)), like=x0)
    x, T = D(x0, 1.0), op.levels
    for k in range(T, 0, -1):
        x = x + (D(x0, max(k - 2, 0) / T) - D(x0, (k - 1) / T))
    return rmse(x, x0)


def ours(op: cd.Degradation, x0: Tensor, sampler: str = "improved") -> float:
    """The sampler as it is here."""
    D = op.bind(op.draw(x0, torch.Generator().manual_seed(0)), like=x0)
    return rmse(cd.sample(lambda x, t: x0, D, D(x0, 1.0), steps=op.levels, sampler=sampler), x0)


def restless_snow(x0: Tensor) -> float:
    """Algorithm 2 where the direction of the flakes is drawn anew at each of the T steps."""
    op, draw = paper.snow(3, 200), torch.Generator().manual_seed(0)
    params = op.draw(x0, draw)
    x = op(x0, 1.0, params)
    for k in range(200, 0, -1):
        params = params | {"vertical": torch.rand(len(x0), generator=draw) < 0.5}
        D = op.bind(params, like=x0)
        x = x + (D(x0, (k - 1) / 200) - D(x0, k / 200))
    return rmse(x, x0)


def strongest_last(x0: Tensor) -> float:
    """Algorithm 1 of `Individual_Incremental`, whose last step takes kernel -1, the strongest, for none."""
    return rmse(paper.blur("Individual_Incremental", 20, 3, 0.0)(x0, 1.0), x0)


def shift(x0: Tensor, to_level: Callable[[Tensor], Tensor]) -> float:
    """By how many levels the mean of images moves that are brought to 8 bits."""
    x = 0.7 * x0  # not at levels already
    return 255 * float((to_level(255 * x) / 255 - x).mean())


def zoomed(x0: Tensor) -> Tensor:
    """The centre of the image scaled to 35 pixels, as training sees it and the tables do not."""
    return F.interpolate(x0, size=(35, 35), mode="bilinear")[:, :, 1:33, 1:33]


def main(data: str) -> None:
    x0 = cd.load_data(data, split="test", size=32)[:IMAGES]
    decolor, snow, mask = paper.decolor("Linear", 20), paper.snow(3, 200), paper.mask("Random_Incremental", 50, 0.1, 11)
    holes = mask.draw(x0, torch.Generator().manual_seed(0))
    layer = snow.draw(x0, torch.Generator().manual_seed(0))
    blur = paper.blur("Special_6_routine", 50, 11, 0.1)
    crop = zoomed(x0)
    small, widening = x0[:100], paper.blur("Individual_Incremental", 20, 3, 0.0)
    rows = [
        ("a perfect restorer and Algorithm 2, decolorization: RMSE left", off_by_one(decolor, x0), ours(decolor, x0)),
        ("the same, snow", off_by_one(snow, small), ours(snow, small)),
        ("the same, snow whose direction is drawn at every step", restless_snow(small), ours(snow, small)),
        ("the same, Individual_Incremental and Algorithm 1", strongest_last(x0), ours(widening, x0, "naive")),
        ("mean shift of inputs cut to 8 bits, in levels", shift(x0, torch.floor), shift(x0, torch.round)),
        ("RMSE of degraded images, holes", rmse(mask(x0, 49 / 50, holes), x0), rmse(mask(x0, 1.0, holes), x0)),
        ("RMSE of degraded images, snow", rmse(snow(x0, 199 / 200, layer), x0), rmse(snow(x0, 1.0, layer), x0)),
        ("RMSE of degraded images, decolorization", rmse(decolor(x0, 19 / 20), x0), rmse(decolor(x0, 1.0), x0)),
        ("the same, blur, of crops from 35 pixels", rmse(blur(crop, 1.0), crop), rmse(blur(x0, 1.0), x0)),
    ]
    print("| | upstream | here |\n|---|--:|--:|")
    for name, theirs, here in rows:
        print(f"| {name} | {theirs:.4f} | {here:.4f} |")


if __name__ == "__main__":
    main(sys.argv[1])
