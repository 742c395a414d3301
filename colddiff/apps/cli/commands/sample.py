"""Generate new images with a run."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from ..command import device_and_seed, speed, trust

MOST_IMAGES = 10_000  # on one sheet


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote, or digits")
    p.add_argument("-n", "--number", type=int, default=16, help="how many images")
    p.add_argument("--out", type=str, default="grid.png", help="picture of all of them")
    p.add_argument("--sampler", type=str, default=None, help="see `colddiff list`; what suits the run if left out")
    p.add_argument("--steps", type=int, default=50, help="restorer calls")
    speed(p)
    device_and_seed(p)
    trust(p)


def run(
    run: str, number: int, out: str, sampler: str | None, steps: int, precision: str, compile: bool, device: str,
    seed: int,
) -> None:  # fmt: skip
    """Generate images on one sheet."""
    from .... import viz
    from ....evaluation.memorization import generated
    from ....models.serialization import load
    from ....utils.distributed import is_first

    if not 1 <= number <= MOST_IMAGES:
        raise ValueError(f"expected at least one image, and {MOST_IMAGES:,} on one sheet at most, got {number}")
    model = load(run, device=device, precision=precision, compile=compile)
    images = generated(model, range(seed, seed + number), steps=steps, sampler=sampler)
    if not is_first():
        return
    viz.save(viz.grid(images, zoom=max(1, 64 // images.shape[-2])), out)
    print(f"{number} images with seeds {seed} .. {seed + number - 1} in {out}")
