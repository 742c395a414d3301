"""Whether generated images are new: their nearest training images, beside those of held-out images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataset import ImageData
from ..models.run import Run
from ..samplers.base import Sampler
from ..utils.distributed import map_over_processes, rank_and_world
from ..utils.numerics import exact_matmul
from ..utils.progress import Progress
from ..utils.rng import generator_for
from .features import FEWEST, Perception, features_of, fid, kid, with_error

LARGEST_SIDE = 64  # pixels at which images are compared, at most
MOST_TRAINING = 50_000  # images that are searched: a copy of one that is left out would go unseen
MOST_HELD_OUT = 1000
CHUNK = 1000
AROUND = 50  # neighbours beside which the nearest one is near or not
SAME = 0.5 / 255  # RMSE up to which images are one: half a level of 8 bits, and well above rounding
MOST_MOVED = 2  # pixels by which training images are moved when searched: the time grows with the square
EXPECTED = 0.05  # share of new images that is nearer than the limit
SHOWN = 8


@dataclass(frozen=True)
class MemorizationReport:
    """What was found about generated images.

    Args:
        values: numbers, as in the JSON.
        verdict: in words.
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
            f"- held-out images that are training images themselves, and are left out above: {v['known']:.1%}",
            f"- training images are searched {_ways(v['mirrored'], v['moved'], v['shift'])}; copies that were changed "
            "in other ways go unseen",
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

    @property
    def same(self) -> Tensor:
        """Which images are training images (N,)."""
        return self.distance <= SAME


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
) -> MemorizationReport:
    """Compare `number` generated images with training images, and with images (N, C, H, W) that were held out."""
    images = generated(run, range(seed, seed + number), progress=progress)
    trained = run.config.get("training", {})
    mirrored, shift = bool(trained.get("flip")), int(trained.get("max_shift", 0))
    found = nearest_neighbour_report(images, training, held_out, run.device, mirrored=mirrored, shift=shift)
    found.values.update({"seeds": [seed, seed + number - 1]})
    if perception.net is not None and min(number, len(held_out), len(training)) >= FEWEST:
        found.values.update(_distances(perception.net, images, training, held_out, run.device, batch_size))
    return found


def generated(
    run: Run, seeds: Sequence[int], *, steps: int = 50, sampler: Sampler | str | None = None, progress: bool = True,
    name: str = "generating",
) -> Tensor:  # fmt: skip
    """`Run.sample`, split over torchrun's processes: each gets all images (N, C, H, W), the same to the last bit."""
    if not len(seeds):
        raise ValueError("expected at least one image, got 0")
    size = run.chunk
    with Progress[None]((), name, len(seeds), unit="images", show=progress) as bar:

        def chunk(k: int) -> Tensor:
            images = run.sample(seeds[k * size : (k + 1) * size], steps=steps, sampler=sampler).cpu()
            bar.update(len(images) * rank_and_world()[1])
            return images

        return torch.cat(map_over_processes(chunk, -(-len(seeds) // size)))


def nearest_neighbour_report(
    images: Tensor,
    training: ImageData,
    held_out: Tensor,
    device: torch.device,
    *,
    mirrored: bool = False,
    shift: int = 0,
) -> MemorizationReport:
    """Nearest training images of generated images, judged by those of held-out images.

    Near copies are those that are nearer than 95% of held-out images are, both in pixels and beside their other
    neighbours: a blurred image is near to many training images, a copy to one. Held-out images that are training
    images themselves set no limit: beside them a copy would be nothing special.

    Source: Carlini et al. 2023, "Extracting training data from diffusion models", section 4.2, for the second.
    """
    baseline = held_out[:MOST_HELD_OUT]
    near = nearest(images, training, device, mirrored=mirrored, shift=shift)
    usual = nearest(baseline, training, device, mirrored=mirrored, shift=shift)
    new = ~usual.same | usual.same.all()  # all of them, where none is new: there will be no verdict
    distance, share = usual.distance[new], usual.share[new]
    limit_95, limit_99 = (max(SAME, float(distance.quantile(q))) for q in (EXPECTED, 0.01))
    copies = near.same | (near.distance <= limit_95) & (near.share <= float(share.quantile(EXPECTED)))
    values: dict[str, Any] = {
        "images": len(images),
        "training": len(training),
        "searched": min(len(training), MOST_TRAINING),
        "mirrored": mirrored,
        "shift": shift,
        "moved": min(shift, MOST_MOVED),
        "known": float(usual.same.double().mean()),
        "distance": {"generated": float(near.distance.median()), "held_out": float(distance.median())},
        "nearer_than_95": float((near.distance <= limit_95).double().mean()),
        "nearer_than_99": float((near.distance <= limit_99).double().mean()),
        "copies": float(copies.double().mean()),
        "detail": float(_detail(images).median() / _detail(baseline).median().clamp(min=1e-6)),
    }
    verdict = _verdict(values, len(images), len(distance))
    shown = near.share.where(~near.same, 0).argsort(stable=True)[:SHOWN]
    pictures = [("generated", images[shown].cpu()), ("nearest training image", training[near.index[shown]])]
    return MemorizationReport(values | {"verdict": verdict}, verdict, pictures)


def nearest(
    images: Tensor, training: ImageData, device: torch.device, *, mirrored: bool = False, shift: int = 0
) -> Neighbours:
    """The nearest of at most MOST_TRAINING training images, each as it is or as a training would have changed it.

    Args:
        images: (N, C, H, W).
        training: images of that shape.
        device: where to search.
        mirrored: or as its mirror image.
        shift: or moved by up to so many pixels, edges repeated; by at most MOST_MOVED.
    """
    searched = torch.arange(len(training))
    if len(training) > MOST_TRAINING:
        searched = torch.randperm(len(training), generator=generator_for("neighbours"))[:MOST_TRAINING]
    x = _flat(images, device)
    best = torch.full((len(x), 0), math.inf, device=device)
    index = torch.zeros((len(x), 0), dtype=torch.long)
    for first in range(0, len(searched), CHUNK):
        part = searched[first : first + CHUNK]
        squares = torch.full((len(x), len(part)), math.inf, device=device)
        for changed in _changed(training[part].to(device), mirrored, min(shift, MOST_MOVED)):
            squares = torch.minimum(squares, _squares(x, _flat(changed, device)))
        best, index = _smallest(torch.cat([best, squares], 1), torch.cat([index, part.expand(len(x), -1)], 1))
    distances = best.clamp(min=0).sqrt().double().cpu()
    return Neighbours(index[:, 0], distances[:, 0], distances[:, 0] / distances.mean(1).clamp(min=1e-6))


# --- helpers ---------------------------------------------------------------------------------------------------------


def _smallest(values: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The AROUND smallest values of each row, and their indices."""
    values, columns = values.topk(min(AROUND, values.shape[1]), largest=False)
    return values, index.gather(1, columns.cpu())


def _changed(x: Tensor, mirrored: bool, shift: int) -> Iterator[Tensor]:
    """Images in every way in which `Batches` may have shown them to a training."""
    moves = range(-shift, shift + 1)
    for flipped, down, right in product((False, True) if mirrored else (False,), moves, moves):
        changed = x.flip(-1) if flipped else x
        for d, move in ((2, down), (3, right)):
            if move:
                side = x.shape[d]
                changed = changed.index_select(d, (torch.arange(side, device=x.device) + move).clamp(0, side - 1))
        yield changed


@exact_matmul()
def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared differences (N, M) of rows (N, D) and (M, D)."""
    return x.square().mean(1)[:, None] + y.square().mean(1) - 2 / x.shape[1] * x @ y.mT


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


def _ways(mirrored: bool, moved: int, shift: int) -> str:
    """How training images are searched."""
    reach = "1 pixel" if moved == 1 else f"{moved} pixels"
    if moved < shift:
        reach += f" (the training: {shift})"
    ways = [*(["mirrored"] if mirrored else []), *([f"moved by up to {reach}"] if moved else [])]
    return " or ".join(["as they are", *ways])


def _verdict(values: dict[str, Any], images: int, new: int) -> str:
    """What the numbers of so many images say, beside those of so many new ones."""
    known, copies, detail = (values[name] for name in ("known", "copies", "detail"))

    def most(share: float) -> float:
        """What chance makes of a share: 3 standard errors more, as the limit was itself measured."""
        return share + 3 * math.sqrt(share * (1 - share) * (1 / images + 1 / new))

    beside = f" {known:.1%} of the images evaluated are training images themselves." if known else ""
    if copies > most(known + EXPECTED * (1 - known)):
        return f"memorised: {copies:.0%} of them are near copies of one training image each.{beside}"
    if known > 0.5 or copies > most(EXPECTED):
        why = f"as {known:.1%} of the images evaluated are training images themselves"
        return f"no verdict, {why}, and {copies:.1%} of the generated ones near copies: evaluate held-out ones."
    looks = "blurrier than them" if detail < 0.8 else "noisier than them" if detail > 1.25 else ""
    if values["nearer_than_95"] > most(EXPECTED):
        why = f"they are {looks} ({detail:.2f} of their detail)" if looks else "they may be plainer than them"
        return f"closer to training images than held-out ones are, but to many at a time and not to one: {why}.{beside}"
    told = "not closer to training images than held-out ones are"
    return (f"{told}, but {looks} ({detail:.2f} of their detail)." if looks else f"{told}.") + beside


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
