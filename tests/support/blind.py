"""Runs that tell the time of a picture by its brightness."""

from dataclasses import replace

import torch

from colddiff import viz
from colddiff.apps.cli.restore_files import RestoreOptions, restore_files
from colddiff.data import load_data
from colddiff.data.framing import Framing
from colddiff.degradations import GaussianBlur
from colddiff.models.time_estimator import TimeEstimate, TimeEstimator
from colddiff.training.batches import Batches
from support import tiny

BLUR = GaussianBlur(sigma_max=3.0)


def batches(split="train", degradation=BLUR, **changes):
    return Batches(load_data("digits", split=split), degradation, 8, 0, **changes)


class Sees(TimeEstimator):
    """An estimator that takes the mean of a picture for its time, to within `spread`."""

    def __init__(self, channels=1, error=0.0, spread=0.01):
        super().__init__(channels)
        self.error.fill_(error)
        self.spread = spread

    def estimate(self, x):
        t = x.mean(dim=(1, 2, 3)).double().cpu()
        return TimeEstimate(t, t - self.spread, t + self.spread)

    def estimate_in_parts(self, x, size):
        return self.estimate(x)


def grey(*values):
    return torch.stack([torch.full((1, 8, 8), value) for value in values])


def blind(net=None, degradation=BLUR, error=0.0, **changes):
    return replace(tiny.run_of(net or tiny.Counting(), degradation), estimator=Sees(error=error), **changes)


def files(folder, *values):
    folder.mkdir()
    for i, value in enumerate(values):
        viz.to_image(grey(value)[0]).save(folder / f"{i}.png")
    return [folder]


def framed(net=None, spread=0.01, fit="resize"):
    """A run that sees pictures as a training on small grey ones did."""
    run = tiny.run_of(net or tiny.Counting(), BLUR)
    framing = Framing(size=8, fit=fit, colour="grey")
    return replace(run, estimator=Sees(spread=spread), config=run.config | {"data": {"framing": framing.to_config()}})


def flat(value, height=8, width=8):
    return torch.full((1, 1, height, width), value)


def flat_picture(folder, value, height=8, width=8):
    folder.mkdir(exist_ok=True)
    file = folder / f"{width}x{height}.png"
    viz.to_image(flat(value, height, width)[0]).save(file)
    return file


def restored(run, file, out, **changes):
    """The lines that a restore of a file says."""
    lines = []
    restore_files(run, [file], out, RestoreOptions(**{"framing": Framing(colour="grey")} | changes), lines.append)
    return lines
