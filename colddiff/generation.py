"""Whether generated images are new: their nearest training images, beside those of held-out images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from .batches import generator_for
from .checkpoint import Run
from .data import ImageData
from .kernels import exact_matmul
from .perception import FEWEST, Perception, features_of, fid, kid, with_error

LARGEST_SIDE = 64  # pixels at which images are compared, at most
MOST_TRAINING = 50_000  # images that are searched: a copy of one that is left out would go unseen
MOST_HELD_OUT = 1000
CHUNK = 1000
AROUND = 50  # neighbours beside which the nearest one is near or not
SHOWN = 8


@dataclass(frozen=True)
class Generation:
    """What was found about generated images.

    Args:
        values: numbers, as in the JSON.
        verdict: one sentence.
        pictures: (label, images) of the generated images most like a training image, above that image.
    """

    values: dict[str, Any]
    verdict: str
    pictures: list[tuple[str, Tensor]]

    def to_markdown(self) -> str:
        v = self.values
        seeds = f", seeds {v['seeds'][0]} to {v['seeds'][1]}" if "seeds" in v else ""
        lines = [
            f"Generated images ({v['images']}{seeds}): {self.verdict}",
            "",
            f"- distance to the nearest of {v['searched']} of {v['training']} training images (RMSE, median): "
            f"{v['distance']['generated']:.4f}; of held-out images {v['distance']['held_out']:.4f}",
            f"- nearer to a training image than 95% of held-out ones: {v['nearer_than_95']:.1%} (5% expected); "
            f"than 99%: {v['nearer_than_99']:.1%} (1% expected)",
            f"- near copies of one training image: {v['copies']:.1%}",
            f"- detail: {v['detail']:.2f} of that of held-out images",
        ]
        if "fid" in v:
            kids = v["kid"]["generated"], v["kid"]["training"]
            lines += [
                f"- FID from held-out images {v['fid']['generated']:.2f}, as many training images "
                f"{v['fid']['training']:.2f}; KID {kids[0]['mean']:.4f} ± {kids[0]['std']:.4f}, training "
                f"{kids[1]['mean']:.4f} ± {kids[1]['std']:.4f}"
            ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Neighbours:
    """The nearest training image of each image (N,): its index, the RMSE from it, and that RMSE as a share of the mean
    one from the 50 nearest, which is small where it is a copy and not where everything is near."""

    index: Tensor
    distance: Tensor
    share: Tensor


def check_generation(
    run: Run,
    number: int,
    training: ImageData,
    held_out: Tensor,
    perception: Perception,
    *,
    batch_size: int = 128,
    seed: int = 0,
    progress: bool = True,
) -> Generation:
    """Compare `number` generated images with training images, and with images (N, C, H, W) that were held out."""
    seeds = range(seed, seed + number)
    firsts = range(0, number, batch_size)
    bar = tqdm(firsts, desc="generating", unit=" batches", leave=False, disable=None if progress else True)
    images = torch.cat([run.sample(seeds[first : first + batch_size]).cpu() for first in bar])
    found = compare(images, training, held_out, run.device, mirrored=bool(run.config.get("training", {}).get("flip")))
    found.values.update({"seeds": [seed, seed + number - 1]})
    if perception.net is not None and min(number, len(held_out), len(training)) >= FEWEST:
        found.values.update(_distances(perception.net, images, training, held_out, run.device, batch_size))
    return found


def compare(
    images: Tensor, training: ImageData, held_out: Tensor, device: torch.device, *, mirrored: bool = False
) -> Generation:
    """Nearest training images of generated images, judged by those of held-out images.

    Near copies are those that are nearer than 95% of held-out images are, both in pixels and beside their other
    neighbours: a blurred image is near to many training images, a copy to one.

    Source: Carlini et al. 2023, "Extracting training data from diffusion models", section 4.2, for the second.
    """
    baseline = held_out[:MOST_HELD_OUT]
    near = nearest(images, training, device, mirrored=mirrored)
    usual = nearest(baseline, training, device, mirrored=mirrored)
    limit_95, limit_99 = (float(usual.distance.quantile(q)) for q in (0.05, 0.01))
    copies = (near.distance < limit_95) & (near.share < float(usual.share.quantile(0.05)))
    values: dict[str, Any] = {
        "images": len(images),
        "training": len(training),
        "searched": min(len(training), MOST_TRAINING),
        "distance": {"generated": float(near.distance.median()), "held_out": float(usual.distance.median())},
        "nearer_than_95": float((near.distance < limit_95).double().mean()),
        "nearer_than_99": float((near.distance < limit_99).double().mean()),
        "copies": float(copies.double().mean()),
        "detail": float(_detail(images).median() / _detail(baseline).median().clamp(min=1e-6)),
    }
    verdict = _verdict(values, len(images), len(baseline))
    shown = near.share.argsort()[:SHOWN]
    pictures = [("generated", images[shown].cpu()), ("nearest training image", training[near.index[shown]])]
    return Generation(values | {"verdict": verdict}, verdict, pictures)


def nearest(images: Tensor, training: ImageData, device: torch.device, *, mirrored: bool = False) -> Neighbours:
    """The nearest of at most MOST_TRAINING training images, or with `mirrored` of those and their mirror images."""
    searched = torch.arange(len(training))
    if len(training) > MOST_TRAINING:
        searched = torch.randperm(len(training), generator=generator_for("neighbours"))[:MOST_TRAINING]
    queries = torch.cat([images, images.flip(-1)]) if mirrored else images
    x = _flat(queries, device)
    best = torch.full((len(x), 0), math.inf, device=device)
    index = torch.zeros((len(x), 0), dtype=torch.long)
    for first in range(0, len(searched), CHUNK):
        part = searched[first : first + CHUNK]
        y = _flat(training[part], device)
        with exact_matmul():
            squares = x.square().mean(1)[:, None] + y.square().mean(1) - 2 / x.shape[1] * x @ y.mT
        best, index = _smallest(torch.cat([best, squares], 1), torch.cat([index, part.expand(len(x), -1)], 1))
    if mirrored:
        best, index = _smallest(torch.cat(best.chunk(2), 1), torch.cat(index.chunk(2), 1))
    distances = best.clamp(min=0).sqrt().double().cpu()
    return Neighbours(index[:, 0], distances[:, 0], distances[:, 0] / distances.mean(1).clamp(min=1e-6))


# --- helpers ---------------------------------------------------------------------------------------------------------


def _smallest(values: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The AROUND smallest values of each row, and their indices."""
    values, columns = values.topk(min(AROUND, values.shape[1]), largest=False)
    return values, index.gather(1, columns.cpu())


def _flat(x: Tensor, device: torch.device) -> Tensor:
    """Images as rows, around 0, averaged to at most LARGEST_SIDE pixels a side."""
    x = x.to(device)
    if max(x.shape[-2:]) > LARGEST_SIDE:
        scale = LARGEST_SIDE / max(x.shape[-2:])
        x = F.interpolate(x, size=[max(1, round(side * scale)) for side in x.shape[-2:]], mode="area")
    return x.flatten(1) - 0.5


def _detail(x: Tensor) -> Tensor:
    """The mean difference of neighbouring pixels in each image: less in blurred ones, more in noisy ones."""
    return sum((x.diff(dim=d).abs().flatten(1).sum(1) for d in (2, 3)), torch.zeros(len(x))) / x[0].numel()


def _verdict(values: dict[str, Any], images: int, baseline: int) -> str:
    if values["distance"]["held_out"] < 1e-3:
        return "no verdict, as the images evaluated are training images themselves: evaluate held-out ones."
    # Beyond 3 standard errors of a share of 5%, whose limit was itself measured.
    most = 0.05 + 3 * math.sqrt(0.05 * 0.95 * (1 / images + 1 / baseline))
    detail = values["detail"]
    looks = "blurrier than them" if detail < 0.8 else "noisier than them" if detail > 1.25 else ""
    if values["copies"] > most:
        return f"memorised: {values['copies']:.0%} of them are near copies of one training image each."
    if values["nearer_than_95"] > most:
        why = f"they are {looks} ({detail:.2f} of their detail)" if looks else "they may be plainer than them"
        return f"closer to training images than held-out ones are, but to many at a time and not to one: {why}."
    told = "not closer to training images than held-out ones are"
    return f"{told}, but {looks} ({detail:.2f} of their detail)." if looks else f"{told}."


def _distances(
    net: torch.nn.Module, images: Tensor, training: ImageData, held_out: Tensor, device: torch.device, batch_size: int
) -> dict[str, Any]:
    """FID and KID from held-out images: of generated images, and of as many training images."""
    rows = torch.randperm(len(training), generator=generator_for("floor"))[: len(images)]
    sets = {"generated": images, "training": training[rows]}

    def features(x: Tensor) -> Tensor:
        firsts = range(0, len(x), batch_size)
        return torch.cat([features_of(net, x[first : first + batch_size].to(device)) for first in firsts])

    real, *others = map(features, (held_out, *sets.values()))
    return {
        "fid": {name: fid(real, other) for name, other in zip(sets, others, strict=True)},
        "kid": {name: with_error(kid(real, other)) for name, other in zip(sets, others, strict=True)},
    }
