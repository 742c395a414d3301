"""The kinds of `colddiff plot`: their arguments, and what draws them."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from . import plotting
from .evaluation.calibration import MetricName
from .options import SWITCH, Command, device_and_seed, image_size, trust


def _trajectory_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote, or digits")
    p.add_argument("image", type=str | None, nargs="?", default=None, help="a damaged picture; from the prior if none")
    p.add_argument("--out", type=str, default="trajectory.png", help="sheet; an animation if it ends in .gif")
    p.add_argument("--start", type=float, default=1.0, help="how damaged the picture is, in (0, 1]")
    p.add_argument("--steps", type=int, default=20, help="restorer calls")
    p.add_argument("--sampler", type=str, default=None, help="see `colddiff list`; what suits the run if left out")
    p.add_argument("--degrade", action=SWITCH, default=False, help="the picture is clean: damage it first")
    image_size(p, "side to which the picture is resized and cropped; its own size if left out")
    device_and_seed(p)
    trust(p)


def _difference_arguments(p: ArgumentParser) -> None:
    p.add_argument("before", type=str, help="a picture")
    p.add_argument("after", type=str, help="another one of the same size, of which the first is taken away")
    p.add_argument("--out", type=str, default="difference.png", help="both pictures and the map")
    p.add_argument("--absolute", action=SWITCH, default=False, help="without the sign")
    p.add_argument(
        "--limit", type=float | None, default=None, help="where the colours end; beyond 99.5% of the pixels if left out"
    )


def _frequencies_arguments(p: ArgumentParser) -> None:
    p.add_argument(
        "image", type=str | None, nargs="?", default=None, help="a picture to measure on; photographs if left out"
    )
    p.add_argument(
        "--degradation", type=str | dict, required=True, help="name; its fields as --degradation.FIELD VALUE"
    )
    p.add_argument("--out", type=str, default="frequencies.png", help="plot: .png, .svg or .pdf")
    image_size(p, "side to which the picture is resized and cropped; its own size if left out")
    p.add_argument("--seed", type=int, default=0, help="of everything random")


def _schedules_arguments(p: ArgumentParser) -> None:
    p.add_argument("--names", type=str | None, default=None, help="separated by commas; all if left out")
    p.add_argument("--out", type=str, default="schedules.png", help="plot: .png, .svg or .pdf")


def _tradeoff_arguments(p: ArgumentParser) -> None:
    p.add_argument("report", type=str, help="what `colddiff eval` measured: a run, a folder, or report.json")
    p.add_argument("--out", type=str, default="tradeoff.png", help="plot: .png, .svg or .pdf")


def _calibration_arguments(p: ArgumentParser) -> None:
    p.add_argument("data", type=str, help="digits, photos, a folder of images, a parquet or array file")
    p.add_argument(
        "--degradation", type=str | dict, required=True, help="name; its fields as --degradation.FIELD VALUE"
    )
    p.add_argument("--metric", type=MetricName, default="psnr", help="in which time is made linear")
    p.add_argument("--out", type=str, default="calibration.png", help="plot: .png, .svg or .pdf")
    image_size(p, "side to which the pictures are resized and cropped; their own size if left out")
    p.add_argument("--seed", type=int, default=0, help="of everything random")


PLOTS = {
    "trajectory": Command("a sampler's walk, as a sheet or animation", _trajectory_arguments, plotting.plot_trajectory),
    "difference": Command("where two pictures differ", _difference_arguments, plotting.plot_difference),
    "frequencies": Command(
        "what a degradation does to each spatial frequency", _frequencies_arguments, plotting.plot_frequencies
    ),
    "schedules": Command("severity and noise against time", _schedules_arguments, plotting.plot_schedules),
    "calibration": Command(
        "a metric against time, before and after time is made linear in it",
        _calibration_arguments,
        plotting.plot_calibration,
    ),
    "tradeoff": Command("perception against distortion, from a report", _tradeoff_arguments, plotting.plot_tradeoff),
}
