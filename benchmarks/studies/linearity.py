"""How straight a metric is in time, before and after calibration: `python -m benchmarks.studies.linearity DATA`.

DATA is a folder of MNIST or CIFAR-10; calibrated on training images, measured on test images. A quarter of an hour on
one core for colour images, nearly all of it for SSIM.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import colddiff as cd
from colddiff.degradations.base import Degradation
from colddiff.evaluation.calibration import T_MIN, MetricName, measure_at, straightness

OPERATORS: dict[str, Degradation] = {
    "gaussian_blur": cd.GaussianBlur(),
    "iterated_blur": cd.IteratedBlur(),
    "gaussian_noise, linear": cd.GaussianNoise(),
    "gaussian_noise, cosine": cd.GaussianNoise(betas=cd.CosineBetas()),
    "pixelate": cd.Pixelate(),
    "resolution": cd.Resolution(),
    "desaturate": cd.Desaturate(),
    "pixel_mask": cd.PixelMask(),
    "jpeg": cd.Jpeg(),
}
NUMBERS: dict[MetricName, int] = {"psnr": 1000, "rmse": 1000, "ssim": 250}  # test images; SSIM is slow
POINTS = 41


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.linearity", description=__doc__)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    seen, held_out = cd.load_data(args.data), cd.load_data(args.data, split="test")
    print(f"| | {' | '.join(metric.upper() for metric in NUMBERS)} |\n|---|{'---|' * len(NUMBERS)}", flush=True)
    for name, op in OPERATORS.items():
        cells = [told(op, seen, held_out, metric) for metric in NUMBERS]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def told(op: Degradation, seen: cd.ImageData, held_out: cd.ImageData, metric: MetricName) -> str:
    """R^2 before and after, or why there is none."""
    times = torch.linspace(T_MIN if metric == "psnr" else 0.0, 1, POINTS, dtype=torch.float64)
    try:
        ways = (op, cd.calibrate(op, seen, metric))
    except ValueError as error:
        return str(error).partition(";")[0]
    return " -> ".join(
        f"{straightness(times, measure_at(d, held_out[: NUMBERS[metric]], times, metric)):.4f}" for d in ways
    )


if __name__ == "__main__":
    main()
