"""What a calibrated schedule does to samplers: half an hour on one core.

Called by `python -m benchmarks.studies.calibrated DATA OUT`.

DATA is a folder of CIFAR-10. Restorers of a blur are trained in OUT, with the schedule as it is and calibrated to PSNR,
the same steps and seeds; `improved` walks from the same severities, in equal steps of time, of PSNR and of Wasserstein
distance. Runs that are there are used.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import Tensor

import colddiff as cd
from colddiff.degradations.base import Degradation
from colddiff.training.train import trained

BLUR = cd.GaussianBlur()
SEVERITIES = (0.25, 0.5, 1.0)  # of 12 pixels: 3, 6 and 12
CALLS = (5, 10)
NUMBER = 1000  # test images
FITTED_ON = 512  # training images


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.calibrated", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500, help="of each training")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    data, test = cd.load_data(args.data), cd.load_data(args.data, split="test")[:NUMBER]
    sample = data[torch.arange(FITTED_ON) * len(data) // FITTED_ON]
    ways: dict[str, Degradation] = {"as it is": BLUR, "calibrated": cd.calibrate(BLUR, sample)}
    found: dict[tuple[float, int, str], list[float]] = {}
    for seed in range(args.seeds):
        for name, op in ways.items():
            config = cd.TrainConfig(
                data=str(args.data), degradation=op, out=str(args.out / f"{name.replace(' ', '-')}-{seed}"),
                steps=args.steps, unet_size="0.3M", flip=True, seed=seed, validate_every=10**6, sample_every=10**6,
            )  # fmt: skip
            run = trained(config, progress=False)
            for key, value in measured(run, name, test, sample, ways["calibrated"]):
                found.setdefault(key, []).append(value)
                print(seed, key, f"{value:.4f}", flush=True)
    print("\n| severity | calls | way | RMSE |\n|--:|--:|---|--:|")
    for (severity, calls, way), values in sorted(found.items()):
        spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
        print(f"| {severity} | {calls} | {way} | {fmean(values):.4f}{spread} |")


def measured(
    run: cd.Run, name: str, x0: Tensor, sample: Tensor, calibrated: Degradation
) -> Iterator[tuple[tuple[float, int, str], float]]:
    """RMSE from each severity: of one call, and of `improved` on each grid."""
    op = run.degradation
    for severity in SEVERITIES:
        start, begin = (float(d.schedule.inverse(torch.tensor(severity).double())) for d in (op, calibrated))
        yield (severity, 1, f"{name}, one_shot"), error(run, x0, cd.time_grid(1, start))
        for calls in CALLS:
            yield (severity, calls, f"{name}, equal times"), error(run, x0, cd.time_grid(calls, start))
            if op != calibrated:  # whose equal times are just that
                steps = op.schedule.inverse(calibrated.severity(cd.time_grid(calls, begin)))
                yield (severity, calls, f"{name}, equal PSNR"), error(run, x0, steps)
            even = cd.wasserstein_times(op, sample, calls, start)
            yield (severity, calls, f"{name}, equal Wasserstein"), error(run, x0, even)


@torch.no_grad()
def error(run: cd.Run, x0: Tensor, times: Tensor) -> float:
    """The mean over images of the RMSE of `improved`, from pictures of 8 bits."""
    values = []
    for x in x0.split(250):
        damaged = (run.degradation(x, float(times[0])) * 255).round() / 255
        D = run.degradation.bind(like=x)
        restored = cd.sample(run.R, D, damaged, times=times).clamp(0, 1)
        values.append((restored - x).square().mean(dim=(1, 2, 3)).sqrt())
    return float(torch.cat(values).mean())


if __name__ == "__main__":
    main()
