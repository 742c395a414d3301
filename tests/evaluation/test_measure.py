"""What a cell of an evaluation costs is what its sampler asked for."""

from dataclasses import replace

import pytest
import torch
from support import tiny
from torch import nn

import colddiff as cd
from colddiff.evaluation.features import Perception
from colddiff.evaluation.measure import EvalCase, measure
from colddiff.samplers.priors import Uniform

DATA = cd.load_data("digits")


class Beside(nn.Module):
    """A restorer that sees the picture beside it, answers with it, and counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.calls = 0

    def forward(self, x, t, condition):
        self.calls += 1
        return condition


@pytest.mark.parametrize(("sampler", "calls"), [("improved", 3), ("heun", 5), ("one_shot", 1)])
def test_a_conditional_restore_has_cost_the_calls_that_were_made(sampler, calls):
    net = Beside()
    run = tiny.run_of(net, cd.GaussianBlur())
    beside = run.config | {"training": {"condition": cd.GaussianBlur().to_config()}}
    run = replace(run, config=beside, prior=Uniform())
    cell = EvalCase(sampler, 1.0, cd.time_grid(1 if sampler == "one_shot" else 3), 3)
    _, (kept,) = measure(
        run, DATA, [cell], Perception("left out"), baseline=None, images=2, batch_size=2, seed=0, quantize_inputs=True,
        progress=False,
    )  # fmt: skip
    assert kept.calls == net.calls == calls
