"""A restore walks a grid of one's own."""

from dataclasses import replace

import pytest
import torch
from support import tiny

import colddiff as cd
from colddiff.models.recommended import Recommended, Setting

X0 = cd.load_data("digits")[:3]
BLUR = cd.GaussianBlur(sigma_max=3.0)
TIMES = cd.wasserstein_times(BLUR, X0, 4, 0.8)


class Half(torch.nn.Module):
    """A restorer that is never right, and remembers when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.asked = []

    def forward(self, x, t):
        self.asked.append(t)
        return x * 0.5


@pytest.mark.parametrize("sampler", ["improved", None])
def test_a_run_restores_by_times_as_sample_does(sampler):
    run = tiny.run_of(Half(), BLUR)
    y = BLUR(X0, 0.8)
    wanted = cd.sample(run.R, BLUR.bind(like=y), y, times=TIMES, sampler=sampler or "improved").clamp(0, 1)
    run.net.asked.clear()
    found = run.restore(y, times=TIMES.tolist(), sampler=sampler)
    assert torch.allclose(found, wanted)
    assert torch.stack(run.net.asked)[:, 0].tolist() == pytest.approx(TIMES[:-1].tolist())
    assert [float(state.t[0]) for state in run.walk(y, times=TIMES)] == pytest.approx(TIMES[1:].tolist())


def test_what_was_recommended_for_other_steps_is_left_out():
    once = Recommended({"distortion": (Setting(1.0, "one_shot", 1),)}, "digits")
    run = replace(tiny.run_of(Half(), BLUR), recommended=once)
    assert len([*run.walk(X0, times=TIMES)]) == 4 and len([*run.walk(X0, start=0.8)]) == 1


def test_levels_do_not_move_times_of_ones_own():
    run = tiny.run_of(Half(), cd.IteratedBlur(num_steps=4, kernel_size=3))
    assert [float(s.t[0]) for s in run.walk(X0, times=[0.9, 0.3, 0.0])] == pytest.approx([0.3, 0])


def test_a_walk_takes_a_column_for_each_image():
    times = torch.stack([TIMES, TIMES / 2, TIMES], dim=1)
    assert next(tiny.run_of(Half(), BLUR).walk(X0, times=times)).t.tolist() == pytest.approx(times[1].tolist())


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"start": 0.5}, "leave start and steps out"),
        ({"steps": 3}, "leave start and steps out"),
        ({"times": [0.2, 0.5, 0.0]}, "times must decrease strictly"),
        ({"times": torch.ones(3, 2)}, r"times must be \(K \+ 1,\)"),
    ],
)
def test_times_that_do_not_fit_are_told(named, said):
    run = tiny.run_of(Half(), BLUR)
    with pytest.raises(ValueError, match=said):
        run.restore(X0, **{"times": TIMES} | named)
    with pytest.raises(ValueError, match=said):
        next(run.walk(X0, **{"times": TIMES} | named))
