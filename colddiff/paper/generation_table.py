"""The paper's table of generation with ours beside it: hot and cold, with and without broken symmetry."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import viz
from ..data.dataset import ImageData, load_data
from ..degradations.blur_schedules import ExponentialSigma
from ..degradations.noise_schedules import CosineBetas
from ..degradations.operators.gaussian_noise import GaussianNoise
from ..degradations.operators.iterated_blur import IteratedBlur
from ..evaluation.feature_ensemble import FeatureEnsemble, check_images, feature_sense, together
from ..evaluation.features import Perception, features_of, fid
from ..evaluation.memorization import generated, nearest_neighbour_report
from ..evaluation.metrics import summary
from ..models.run import Run
from ..samplers.priors import SYMMETRY_BREAKING, ChannelGaussian
from ..training.config import Size, TrainConfig
from ..training.train import trained
from ..utils.files import check_target, write_text
from .published import GENERATION

PAPER_SIDE = 128  # pixels, of which its widths are
HOT = GaussianNoise(betas=CosineBetas(num_steps=200))
NUMBER = 1000  # images, if nobody says
SHOWN = 64


@dataclass(frozen=True)
class Variant:
    """A line of the table: a training, and how images are made of it.

    Args:
        training: "hot" or "cold".
        sampler: of the walk.
        sigma: of the noise that the start of a cold walk is given.
    """

    training: str
    sampler: str
    sigma: float | None = None


WAYS = {
    "hot, fixed noise": Variant("hot", "improved"),
    "hot, estimated noise": Variant("hot", "estimated"),
    "cold, perfect symmetry": Variant("cold", "improved", 0.0),
    "cold, broken symmetry": Variant("cold", "improved", SYMMETRY_BREAKING),
}


@dataclass(frozen=True)
class GenerationTable:
    """The table, with how it was made.

    Args:
        rows: by way: calls, fid, kid with interval, and what was found of neighbours; published FID or None.
        protocol: how they were measured.
        pictures: (label, images) of each way.
    """

    rows: dict[str, dict[str, Any]]
    protocol: dict[str, Any]
    pictures: list[tuple[str, Tensor]]

    def to_json(self) -> str:
        value = {"table": "generation", "rows": self.rows, "protocol": self.protocol}
        return json.dumps(value, indent=2, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """The table and the protocol."""
        lines = ["| | published FID | calls | FID* | KID* [95%] | copies of training images | detail |"]
        lines.append("|---|--:|--:|--:|--:|--:|--:|")
        for name, row in self.rows.items():
            told = "—" if row["published"] is None else f"{row['published']:g}"
            kid, near = row["kid"], row["neighbours"]
            lines.append(
                f"| {name} | {told} | {row['calls']} | {row['fid']:.2f} | {kid['mean']:.4f} [{kid['low']:.4f}, "
                f"{kid['high']:.4f}] | {near['copies']:.1%} | {near['detail']:.2f} |"
            )
        notes = "\n".join(f"- {key}: {value}" for key, value in self.protocol.items())
        return "\n".join(lines) + f"\n\nProtocol:\n\n{notes}\n"

    def save(self, folder: Path) -> list[Path]:
        """generation.md, .json and a sheet of each way."""
        files = [folder / "generation.md", folder / "generation.json"]
        write_text(files[0], self.to_markdown())
        write_text(files[1], self.to_json())
        for name, images in self.pictures:
            file = folder / f"generation-{name.replace(', ', '-').replace(' ', '-')}.png"
            files.append(viz.save(viz.grid(images, zoom=max(1, 64 // images.shape[-2])), file))
        return files


def generation_table(
    data: str,
    out: str | Path,
    *,
    minutes: float = 10.0,
    row: str | None = None,
    images: int | None = None,
    size: Size = "5M",
    features: str = "auto",
    seed: int = 0,
    batch_size: int = 100,
    device: str = "auto",
    changes: dict[str, Any] | None = None,
    progress: bool = True,
) -> GenerationTable:
    """Hot and cold generation on one data set, with what is missing trained; see `restoration_table.reproduce`.

    Widths of the blur are the paper's in shares of the image, its number of steps is the paper's; images below 128
    pixels have no published numbers.
    """
    if row is not None and row not in GENERATION:
        raise LookupError(f"table generation has no row {row!r}; known: {', '.join(GENERATION)}")
    check_images(images)
    out = Path(out)
    for suffix in ("md", "json"):
        check_target(out / f"generation.{suffix}")
    side = PAPER_SIDE if row is not None else 32
    training, test = (load_data(data, split=split, size=side) for split in ("train", "test"))
    number = min(images or NUMBER, len(test))
    base = TrainConfig(
        data=data, degradation=_blur(side), prior=ChannelGaussian(), out=str(out / f"generation-{side}px-cold"),
        image_size=side, minutes=minutes, unet_size=size, seed=seed, device=device, quantize_inputs=False,
        estimate_time=False, flip=training.images.shape[1] == 3,
    )  # fmt: skip
    base = replace(base, **changes or {})
    hot = replace(base, degradation=HOT, prior=None, out=str(out / f"generation-{side}px-hot"))
    runs = {"cold": trained(base, progress=progress), "hot": trained(hot, progress=progress)}
    sense = feature_sense(features, runs["cold"], training, out, progress)
    rows, pictures = {}, []
    for name, way in WAYS.items():
        new = _generated(runs[way.training], way, number, seed, name, progress)
        published = None if row is None else GENERATION[row][name]
        told = {"published": published, "calls": runs[way.training].degradation.levels}
        rows[name] = told | _measured(new, training, test, sense, runs["cold"].device)
        pictures.append((name, new[:SHOWN]))
    protocol = {
        "data": f"{data}, {side} x {side}, {number} images with seeds {seed} and up, beside as many test images",
        "training": f"L1, network {size}, seed {seed}; "
        + "; ".join(
            f"{k}: {r.config['training']['minutes']} minutes, {r.config['step']} steps" for k, r in runs.items()
        ),
        "copies": "share of images that are nearer to one training image than 95% of test images are",
        "detail": "median contrast between neighbouring pixels, as a share of that of test images",
        "FID*, KID*": sense.description,
    }
    return GenerationTable(rows, protocol, pictures)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _blur(side: int) -> IteratedBlur:
    """The paper's blur of 300 steps that ends in the mean, its widths in shares of the image."""
    scale = side / PAPER_SIDE
    taps = 2 * round(27 * scale / 2 - 0.5) + 1
    return IteratedBlur(
        num_steps=300, kernel_size=taps, sigmas=ExponentialSigma(start=scale, rate=0.01), ends_in_mean=True
    )


def _told(name: str, run: Run) -> str:
    return f"{name}: {run.config['training']['minutes']} minutes, {run.config['step']} steps"


def _generated(run: Run, way: Variant, number: int, seed: int, name: str, progress: bool) -> Tensor:
    if way.sigma is not None:
        assert run.prior is not None
        run = replace(run, prior=replace(run.prior, sigma=way.sigma))
    steps, seeds = run.degradation.levels, range(seed, seed + number)
    assert steps is not None
    return generated(run, seeds, steps=steps, sampler=way.sampler, progress=progress, name=name)


def _measured(
    new: Tensor, training: ImageData, test: ImageData, sense: Perception, device: torch.device
) -> dict[str, Any]:
    judged = sense.net
    assert isinstance(judged, FeatureEnsemble)
    real = test[: len(new)]
    seen = [
        torch.cat([features_of(judged, part.to(device)) for part in images.split(100)])  # type: ignore[no-untyped-call]
        for images in (real, new)
    ]
    kids = judged.kids(*seen)
    near = nearest_neighbour_report(new, training, real, device, mirrored=training.images.shape[1] == 3)
    return {
        "fid": fid(*seen),
        "kid": asdict(together(kids)),
        "kids": [asdict(summary(k)) for k in kids],
        "neighbours": near.values,
    }
