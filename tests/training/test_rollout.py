"""A training that lets the network see where its own steps lead."""

import json

import pytest
import torch
from support import tiny
from torch import Tensor, nn

import colddiff as cd
from colddiff import train
from colddiff.apps.cli import main
from colddiff.training.batches import Batches, times_above
from colddiff.training.config import TrainConfig
from colddiff.training.loss import restoration_loss

CPU = torch.device("cpu")
OPS = [cd.GaussianBlur(sigma_max=3.0), cd.IteratedBlur(num_steps=5, kernel_size=3), cd.PixelMask(), cd.GaussianNoise()]


class Watching(nn.Module):
    """A restorer that remembers what it was asked, and whether it was to learn from it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((), 0.5))
        self.asked: list[tuple[Tensor, Tensor, bool]] = []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.asked.append((x.detach(), t, torch.is_grad_enabled()))
        return self.weight * x


def batch_of(op, rollout=True, position=0, size=8):
    return Batches(cd.load_data("digits"), op, size, seed=0, rollout=rollout).at(position, CPU)


@pytest.mark.parametrize("op", OPS, ids=str)
def test_the_network_sees_where_its_own_step_leads(op, tmp_path):
    batch, R = batch_of(op), Watching()
    restoration_loss(R, op, batch, tiny.config(tmp_path, degradation=op))
    (begun, u, learns_first), (seen, t, learns) = R.asked
    assert (learns_first, learns) == (False, True)
    walked = slice(0, None, 2)
    assert torch.equal(u, batch.earlier[walked]) and torch.equal(t, batch.t) and bool((u > t[walked]).any())
    x0, params = batch.x0[walked], {name: value[walked] for name, value in batch.params.items()}
    x_u = (op(x0, u, params) * 255).round() / 255
    assert torch.equal(begun, x_u)
    step = op(0.5 * x_u, t[walked], params) - op(0.5 * x_u, u, params)
    assert torch.allclose(seen[walked], x_u + step, atol=1e-6)


def test_every_other_image_comes_from_the_degradation_as_ever(tmp_path):
    op = OPS[0]
    batch, plain = batch_of(op), batch_of(op, rollout=False)
    assert plain.earlier is None
    assert torch.equal(batch.x0, plain.x0) and torch.equal(batch.t, plain.t)
    assert torch.equal(batch.earlier[1::2], batch.t[1::2])
    seen = []
    for which in (batch, plain):
        R = Watching()
        restoration_loss(R, op, which, tiny.config(tmp_path))
        seen.append(R.asked[-1][0])
    assert torch.equal(seen[0][1::2], seen[1][1::2]) and not torch.equal(seen[0][::2], seen[1][::2])


def test_nothing_is_learned_through_the_step(tmp_path):
    op, config = OPS[0], tiny.config(tmp_path)
    batch, R = batch_of(op), Watching()
    (through,) = torch.autograd.grad(restoration_loss(R, op, batch, config), R.weight)
    x = R.asked[-1][0]
    (alone,) = torch.autograd.grad((R(x, batch.t) - batch.x0).abs().mean(), R.weight)
    assert torch.equal(through, alone)


def test_images_are_rolled_out_alike_however_batches_are_cut():
    whole = batch_of(OPS[0], size=12).earlier
    parts = [batch_of(OPS[0], position=p, size=3).earlier for p in (0, 3, 6, 9)]
    assert torch.equal(whole, torch.cat(parts))


def test_earlier_times_are_spread_from_the_time_to_the_end():
    t = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64).repeat_interleave(1001)
    u = torch.linspace(0, 1 - 1e-9, 1001, dtype=torch.float64).repeat(3)
    found = times_above(cd.GaussianBlur(), t, u).reshape(3, -1)
    assert torch.allclose(found.mean(dim=1), torch.tensor([0.6, 0.75, 1.0], dtype=torch.float64), atol=1e-3)
    op = cd.IteratedBlur(num_steps=5, schedule=cd.Power(exponent=2.0))
    levels = op.level_times()
    found = times_above(op, levels[1:], torch.full((5,), 0.999, dtype=torch.float64))
    assert bool((found == 1).all())
    assert torch.equal(times_above(op, levels[1:], torch.zeros(5, dtype=torch.float64)), levels[1:])


def test_training_with_rollout_goes_on_to_the_same_weights(tmp_path):
    whole = train(tiny.config(tmp_path / "whole", rollout=True), progress=False)
    part = tiny.config(tmp_path / "part", rollout=True, checkpoint_every=2)
    train(part, progress=False)
    for file in (tmp_path / "part" / "checkpoints").glob("step-*6"):
        for inner in file.iterdir():
            inner.unlink()
        file.rmdir()
    again = train(part, resume=True, progress=False)
    assert torch.equal(tiny.weights(again.net), tiny.weights(whole.net))
    plain = train(tiny.config(tmp_path / "plain"), progress=False)
    assert not torch.equal(tiny.weights(plain.net), tiny.weights(whole.net))


def test_a_run_of_before_there_was_rollout_still_reads(tmp_path):
    told = tiny.config(tmp_path).to_config()
    told.pop("rollout")
    assert TrainConfig.from_config(json.loads(json.dumps(told))) == tiny.config(tmp_path)


def test_the_command_line_trains_with_rollout(tmp_path, capsys):
    line = ["train", "digits", "--degradation", "pixelate", "--out", str(tmp_path / "run"), "--steps", "2", "--rollout"]
    small = ["--restorer", "unet", "--restorer.width", "8", "--restorer.blocks", "1", "--batch-size", "4"]
    assert main.main([*line, *small]) in (None, 0)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["training"]["rollout"] is True
