"""A metric against time, before and after time is made linear in it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from ..command import image_size
from ..index import choices

if TYPE_CHECKING:
    from ....evaluation.calibration import MetricName


MEASURED = 41  # times of a plot against time
STEPS = 10  # of the grid below it


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("data", type=str, help="digits, photos, a folder of images, a parquet or array file")
    p.add_argument(
        "--degradation", type=str | dict, required=True, help="name; its fields as --degradation.FIELD VALUE"
    )
    p.add_argument("--metric", type=choices("calibrate"), default="psnr", help="in which time is made linear")
    p.add_argument("--out", type=str, default="calibration.png", help="plot: .png, .svg or .pdf")
    image_size(p, "side to which the pictures are resized and cropped; their own size if left out")
    p.add_argument("--seed", type=int, default=0, help="of everything random")


def run(data: str, degradation: Any, metric: MetricName, out: str, image_size: int | None, seed: int) -> None:
    """Write a metric against time on held-out images, for a degradation as it is and calibrated on training images."""
    import torch

    from .... import viz
    from ....data.dataset import load_data
    from ....degradations.base import Degradation
    from ....evaluation.calibration import T_MIN, calibrate, measure_at, straightness
    from ....evaluation.wasserstein import wasserstein_times
    from ..image_files import check_output

    check_output(out, data)
    plain = Degradation.from_config(degradation)
    seen = load_data(data, size=image_size)
    held_out = load_data(data, split="held_out", size=image_size, colour="grey" if seen.shape[0] == 1 else "rgb")
    ways = {"as it is": plain, "calibrated": calibrate(plain, seen, metric, seed=seed)}
    times = torch.linspace(T_MIN if metric == "psnr" else 0, 1, MEASURED, dtype=torch.float64)
    curves = {name: measure_at(op, held_out, times, metric, seed=seed) for name, op in ways.items()}
    straight = {name: straightness(times, values) for name, values in curves.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that fall on one level
        grids = [wasserstein_times(op, seen, STEPS, seed=seed) for op in ways.values()]
    told = [(f"{name}, $R^2$ = {straight[name]:.4f}", values) for name, values in curves.items()]
    unit = {"psnr": "PSNR (dB)"}.get(metric, metric.upper())
    viz.save(viz.calibration(times, told, grids, metric=unit, title=str(plain.registered_name)), out)
    print(", ".join(f"R^2 {value:.4f} {name}" for name, value in straight.items()) + f", in {out}")
