"""A replayed step is the step."""

import itertools

import pytest
import torch
from torch import Tensor

from colddiff import SAMPLERS, GaussianBlur, GaussianMask, GaussianNoise, Interpolate, walk
from colddiff.samplers.base import State
from colddiff.samplers.cuda_graph import captured
from colddiff.samplers.unknown_params import restore
from colddiff.testing.reporting import seeded

LONG = 9  # steps, enough for a recording
OPERATORS = [GaussianBlur(), GaussianMask(), GaussianNoise(), Interpolate(to=GaussianBlur())]


class Buffers:
    """What a CUDA graph does to tensors: the same ones at every call, written over."""

    made = 0

    def __init__(self, step, x: Tensor, pair: Tensor) -> None:
        Buffers.made += 1
        self.step, self.x, self.pair = step, x.clone(), pair.clone()
        self.result = step(self.x, self.pair)

    def __call__(self, x: Tensor, pair: Tensor) -> tuple[Tensor, Tensor]:
        self.x.copy_(x)
        self.pair.copy_(pair)
        for kept, new in zip(self.result, self.step(self.x, self.pair), strict=True):
            kept.copy_(new)
        return self.result[0].clone(), self.result[1].clone()


def R(x: Tensor, t: Tensor) -> Tensor:
    return 0.9 * x + 0.05 * t.reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("start", [0.8, torch.tensor([1.0, 0.3, 0.6], dtype=torch.float64)], ids=["one", "each"])
@pytest.mark.parametrize("name", ["naive", "improved", "estimated"])
@pytest.mark.parametrize("op", OPERATORS, ids=str)
def test_a_captured_walk_is_the_walk(op, name, start, images) -> None:
    if name == "estimated" and not op.estimable:
        pytest.skip("nothing to estimate")
    x = images(3, 3, 8, 8)
    D = op.bind(op.draw(x, seeded(0)), like=x)
    ordinary = [*walk(R, D, x, steps=LONG, start=start, sampler=name)]
    Buffers.made = 0
    replayed = [*walk(R, D, x, steps=LONG, start=start, sampler=captured(SAMPLERS[name], Buffers))]
    assert Buffers.made == 1 and len(replayed) == len(ordinary)
    for a, b in zip(ordinary, replayed, strict=True):
        assert torch.allclose(a.x, b.x, atol=1e-12) and torch.allclose(a.x0, b.x0, atol=1e-12)
        assert torch.equal(a.t, b.t)


def two_step(R, D, x, times, *, generator=None):
    """A sampler of the user's own that remembers the step before."""
    before = None
    for t, s in itertools.pairwise(times.reshape(len(times), -1).expand(-1, len(x))):
        x0 = R(x, t)
        x = x + D.change(x0 if before is None else 1.5 * x0 - 0.5 * before, t, s)
        before = x0
        yield State(x, x0, s)


@pytest.mark.parametrize("name", ["one_shot", "ddpm", "two_step"])
def test_what_cannot_or_need_not_be_recorded_is_walked_as_ever(name, images) -> None:
    x, op = images(2, 1, 6, 6), GaussianNoise()
    D = op.bind(op.draw(x, seeded(0)), like=x)

    def refuse(*args):
        raise AssertionError("it was recorded")

    mine = SAMPLERS.get(name, two_step)
    plain, wrapped = (
        [*walk(R, D, x, steps=LONG, sampler=sampler, generator=seeded(1))][-1].x
        for sampler in (mine, captured(mine, refuse))
    )
    assert torch.equal(plain, wrapped)


def test_on_a_cpu_it_is_the_sampler_itself(images) -> None:
    x, op = images(2, 1, 6, 6), GaussianBlur()
    D = op.bind(like=x)
    one, other = ([*walk(R, D, x, steps=3, sampler=s)][-1].x for s in ("improved", captured(SAMPLERS["improved"])))
    assert torch.equal(one, other)


@pytest.mark.parametrize("op", [GaussianNoise(), GaussianMask()], ids=["estimable", "observable"])
def test_a_restore_may_go_through_it(op, images) -> None:
    x0 = images(2, 3, 8, 8)
    x = op(x0, 0.6, op.draw(x0, seeded(0)))
    times = torch.linspace(0.6, 0, LONG + 1, dtype=torch.float64)
    sampler = SAMPLERS["improved"]
    plain = [*restore(R, op, x, times, sampler=sampler)]
    replayed = [*restore(R, op, x, times, sampler=sampler, capture=lambda s: captured(s, Buffers))]
    assert torch.allclose(plain[-1].x, replayed[-1].x, atol=1e-12)


@pytest.mark.parametrize(("spoil", "complaint"), [("fails", "cannot be recorded .no graph"), ("wrong", "is .* off")])
def test_what_is_recorded_wrongly_is_walked_as_ever_with_a_warning(spoil, complaint, images) -> None:
    def record(step, x, pair):
        if spoil == "fails":
            raise RuntimeError("no graph here")
        return lambda x, pair: (step(x, pair)[0] + 0.01, x)

    x, D = images(2, 1, 6, 6), GaussianBlur().bind(like=images(2, 1, 6, 6))
    with pytest.warns(UserWarning, match=complaint):
        found = [*walk(R, D, x, steps=LONG, sampler=captured(SAMPLERS["improved"], record))]
    assert torch.equal(found[-1].x, [*walk(R, D, x, steps=LONG, sampler="improved")][-1].x)


def test_a_short_walk_is_not_recorded(images) -> None:
    x, D = images(2, 1, 6, 6), GaussianBlur().bind(like=images(2, 1, 6, 6))
    Buffers.made = 0
    for _ in walk(R, D, x, steps=3, sampler=captured(SAMPLERS["improved"], Buffers)):
        pass
    assert Buffers.made == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["naive", "improved"])
def test_a_cuda_graph_serves_every_time(name) -> None:
    x = torch.rand(4, 3, 16, 16, generator=seeded(0)).cuda()
    D = GaussianBlur().bind(like=x)
    ordinary = [*walk(R, D, x, steps=LONG, sampler=name)]
    replayed = [*walk(R, D, x, steps=LONG, sampler=captured(SAMPLERS[name]))]
    for a, b in zip(ordinary, replayed, strict=True):
        assert torch.allclose(a.x, b.x, atol=1e-6)
