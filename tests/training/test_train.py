"""A training learns, says what it did, and goes on from where it stopped to the last bit."""

import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support import tiny
from support.image_folders import numbers
from support.run_files import entries
from torch import nn

import colddiff as cd
from colddiff.data import ImageData, from_images, load_data
from colddiff.degradations import GaussianBlur, GaussianNoise, Interpolate, PixelNoise
from colddiff.models import serialization
from colddiff.models.networks.parametrization import Epsilon
from colddiff.training import loop
from colddiff.training.batches import Batches
from colddiff.training.checkpoints import snapshots
from colddiff.training.config import TrainConfig
from colddiff.training.loop import average, learning_rate
from colddiff.training.loss import restoration_loss
from colddiff.training.setup import images_for, prior_for, restorer_for
from colddiff.training.train import train

# --- learning --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A small U-Net that saw enough noisy digits to know what time it is."""
    config = tiny.config(
        tmp_path_factory.mktemp("learned") / "run", degradation=GaussianNoise(), steps=150, batch_size=16, lr=5e-3,
        restorer=tiny.NET.from_config(tiny.NET.to_config() | {"attention_levels": 0}),
        validate_every=25, ema_decay=0.95,
    )  # fmt: skip
    return train(config, progress=False), config


def test_the_loss_falls(learned):
    _, config = learned
    losses, held_out = entries(Path(config.out), "loss"), entries(Path(config.out), "validation_loss")
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
    assert len(held_out) == 6 and held_out[-1] < 0.85 * held_out[0]


def test_shuffling_the_times_raises_the_loss_of_a_trained_network(learned):
    run, config = learned
    data = load_data("digits", split="test")
    batch = next(Batches(data, run.degradation, 180, seed=5).one_pass(run.device))
    other = batch.t[torch.randperm(180, generator=torch.Generator().manual_seed(0))]
    net = run.net

    class Told(nn.Module):
        def forward(self, x, t):
            return net(x, other)

    with torch.no_grad():
        right, wrong = (float(restoration_loss(R, run.degradation, batch, config)) for R in (net, Told()))
    assert wrong > 1.1 * right


@pytest.mark.parametrize("predict", ["epsilon", "velocity"])
@pytest.mark.parametrize("restorer", [None, tiny.NET], ids=["default", "given"])
def test_noise_and_velocity_are_trained_and_restore(predict, restorer, tmp_path):
    steps = 1 if restorer is None else 40
    config = tiny.config(
        tmp_path / "run", degradation=GaussianNoise(), predict=predict, restorer=restorer, steps=steps, lr=1e-2,
        batch_size=16, ema_decay=0.9,
    )  # fmt: skip
    run = train(config, progress=False)
    assert run.config["restorer"]["type"] == predict
    assert run.config["restorer"]["net"]["residual"] is False
    if restorer is None:
        return
    losses = entries(Path(config.out), "loss")
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])
    x0 = load_data("digits", split="test")[:64]
    x = run.degradation(x0, 0.1, run.degradation.draw(x0, torch.Generator().manual_seed(0)))
    restored = serialization.load(config.out, device="cpu").restore(x, start=0.1, sampler="one_shot")
    assert (restored - x0).square().mean() < (x - x0).square().mean()


def test_what_a_network_predicts_must_suit_the_degradation_and_the_network(tmp_path):
    with pytest.raises(ValueError, match="gaussian_noise only"):
        tiny.config(tmp_path, predict="epsilon")
    with pytest.raises(ValueError, match="leave out restorer and predict"):
        train(tiny.config(tmp_path / "run"), net=OwnNet())


class OwnNet(nn.Module):
    """A network of a user's own, with a running mean and tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 1, 1)
        self.bias = self.last.bias
        self.alias = nn.Conv2d(2, 8, 3)
        self.alias.weight = self.first.weight

    def forward(self, x, t):
        time = t.to(x.dtype)[:, None, None, None].expand(-1, 1, *x.shape[2:])
        return x + self.last(torch.relu(self.norm(self.first(torch.cat([x, time], dim=1)))))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    config = tiny.config(tmp_path_factory.mktemp("own") / "run", restorer=None, steps=30, lr=1e-2)
    return train(config, net=OwnNet(), progress=False), config


def test_a_network_of_ones_own_is_trained_and_loaded(own):
    run, config = own
    losses = entries(Path(config.out), "loss")
    assert sum(losses[-5:]) < sum(losses[:5])
    assert run.config["restorer"] is None
    again = serialization.load(config.out, device="cpu", net=OwnNet())
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(again.restore(x), run.restore(x))
    with pytest.raises(ValueError, match=r"load\(path, net=...\)"):
        serialization.load(config.out)


def test_the_average_has_the_running_means_of_the_network(own):
    run, config = own
    latest = load_file(snapshots(Path(config.out))[-1] / "model.safetensors")
    assert latest["norm.running_mean"].abs().max() > 0
    assert torch.equal(run.net.norm.running_mean, latest["norm.running_mean"])


# --- what it leaves --------------------------------------------------------------------------------------------------


def test_a_training_that_fails_at_its_first_step_leaves_no_run(tmp_path):
    config = tiny.config(tmp_path / "run", restorer=tiny.NET.from_config(tiny.NET.to_config() | {"cond_channels": 1}))
    with pytest.raises(ValueError, match="takes a condition of 1 channels"):
        train(config, progress=False)
    assert not (tmp_path / "run").exists()


def test_minutes_become_steps_that_the_config_remembers(tmp_path):
    config = tiny.config(tmp_path / "run", steps=None, minutes=0.01)
    began = time.monotonic()
    run = train(config, progress=False)
    assert time.monotonic() - began < 30
    steps = run.config["training"]["total_steps"]
    assert steps == run.config["step"] >= 1
    assert run.config["training"]["minutes"] == 0.01 and run.config["training"]["steps"] is None
    state = json.loads((snapshots(tmp_path / "run")[-1] / "state.json").read_text())
    assert state["steps"] == steps


def test_the_budget_is_one_number_above_zero(tmp_path):
    with pytest.raises(ValueError, match="steps or minutes, not both"):
        tiny.config(tmp_path, minutes=1.0)
    for name in ("steps", "batch_size", "grad_accumulation", "image_size"):
        with pytest.raises(ValueError, match=f"{name} must be > 0, got 0"):
            tiny.config(tmp_path, **{name: 0})


def test_images_with_any_number_of_channels_are_trained_on_and_pictured(tmp_path):
    np.save(tmp_path / "data.npy", np.random.default_rng(0).integers(0, 256, (20, 2, 8, 8)).astype(np.uint8))
    restorer = tiny.NET.from_config(tiny.NET.to_config() | {"channels": 2})
    run = train(tiny.config(tmp_path / "run", data=str(tmp_path / "data.npy"), restorer=restorer, steps=1))
    assert run.shape == (2, 8, 8) and [*(tmp_path / "run" / "samples").iterdir()]


# --- images in memory ------------------------------------------------------------------------------------------------


def test_images_in_memory_are_trained_on_in_two_steps(tmp_path):
    array = np.random.default_rng(0).random((40, 8, 8))
    config = tiny.config(tmp_path / "run", data="images in memory", steps=2)
    run = cd.train(config, data=cd.from_images(array), progress=False)
    told = run.config["data"]
    assert run.config["step"] == 2 and told["data"] == "images in memory" and 30 <= told["images"] < 40
    assert run.shape == (1, 8, 8) and run.framing.colour == "grey"
    with pytest.raises(ValueError, match=r"cannot resume, .*images was"):
        train(config, data=cd.from_images(array[:20]), resume=True, progress=False)


def test_images_in_memory_are_checked_on_those_that_are_given_or_on_a_tenth():
    config = tiny.config("x", data="mine")
    data = from_images(np.arange(60, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8))
    mine, held = images_for(config, data)
    assert sorted(numbers(mine) + numbers(held)) == list(range(60)) and 0 < len(held) < 15
    assert (mine.protocol["images"], held.protocol["images"]) == (len(mine), len(held))
    assert not set(numbers(images_for(config, from_images(data.images[:50]))[1])) - set(numbers(held))
    mine, held = images_for(config, data, from_images(data.images[:3]))
    assert len(mine) == 60 and len(held) == 3
    plain, _ = images_for(config, ImageData(data.images))
    assert plain.protocol["data"] == "mine" and plain.protocol["channels"] == 1


def test_pairs_in_memory_are_trained_on(tmp_path):
    clean = torch.rand(20, 1, 8, 8)
    config = tiny.config(tmp_path / "run", data="mine", paired_data="mine too", degradation=Interpolate(), steps=2)
    run = train(config, data=from_images(clean, 1 - clean), progress=False)
    assert run.prior is None and run.restore(clean[:1]).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("data", "held_out", "error", "told"),
    [
        (torch.zeros(4, 1, 8, 8), None, TypeError, "data must be ImageData .* or StreamedData .*, got Tensor"),
        (ImageData(torch.zeros(1, 1, 8, 8).byte()), None, ValueError, "nothing can be held out of 1 images: give held"),
        (ImageData(torch.zeros(9, 1, 8, 8).byte()), ImageData(torch.zeros(0, 1, 8, 8).byte()), ValueError, "no images"),
        (ImageData(torch.zeros(9, 1, 8, 8).byte()), ImageData(torch.zeros(2, 3, 8, 8).byte()), ValueError,
         "data has 1 channels, held_out 3"),
        (from_images(torch.zeros(4, 1, 8, 8), torch.zeros(4, 1, 8, 8)), None, ValueError,
         "gaussian_blur needs no params from data, which brings endpoint"),
        (from_images(np.zeros((9, 8, 8), np.uint8), size=4, resize_mode="tiles"), None, ValueError, "of one picture"),
    ],
)  # fmt: skip
def test_images_in_memory_that_cannot_be_trained_on_are_refused(data, held_out, error, told):
    with pytest.raises(error, match=told):
        images_for(tiny.config("x"), data, held_out)


# --- rates, averages, precision ---------------------------------------------------------------------------------------


def test_the_learning_rate_warms_up_then_falls_as_a_cosine(tmp_path):
    config = tiny.config(tmp_path, warmup_steps=10, lr=2.0)
    rates = [learning_rate(k, 210, config) for k in range(210)]
    assert rates[:10] == pytest.approx([0.2 * (k + 1) for k in range(10)])
    assert rates[10] == 2.0 and rates[110] == pytest.approx(2.0 * 0.505)
    assert rates[-1] == pytest.approx(0.02, rel=0.02)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert next(learning_rate(k, 5, config) for k in range(5)) == 2.0  # at most a tenth of a short training


def test_the_average_follows_the_weights_closely_at_first(tmp_path, monkeypatch):
    seen, original = [], loop.average

    def watched(ema, net, decay):
        before = tiny.weights(ema)
        original(ema, net, decay)
        seen.append((decay, before, tiny.weights(net), tiny.weights(ema)))

    monkeypatch.setattr(loop, "average", watched)
    train(tiny.config(tmp_path / "run", ema_decay=0.3), progress=False)
    assert [s[0] for s in seen] == pytest.approx([1 / 10, 2 / 11, 3 / 12, 0.3, 0.3, 0.3])
    for decay, before, net, after in seen:
        assert torch.allclose(after, decay * before + (1 - decay) * net, atol=1e-7)


def test_bf16_that_drifts_is_given_up_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "GATE", -1.0)
    with pytest.warns(UserWarning, match="bf16 raises the validation loss by .*: going on in float32"):
        run = train(tiny.config(tmp_path / "run", precision="bf16", validate_every=2), progress=False)
    assert run.config["precision"] == run.precision == "fp32"
    assert entries(tmp_path / "run", "bf16_drift")[0] != 0


def test_bf16_is_kept_where_it_is_close(tmp_path):
    run = train(tiny.config(tmp_path / "run", precision="bf16"), progress=False)
    assert run.config["precision"] == "bf16"
    assert run.restore(torch.rand(1, 1, 8, 8)).dtype == torch.float32


def test_networks_see_eight_bit_levels_unless_told_otherwise(tmp_path):
    seen = []

    class Watching(nn.Module):
        def forward(self, x, t):
            seen.append(x)
            return x

    batch = Batches(load_data("digits"), GaussianBlur(), 4, 0).at(0, torch.device("cpu"))
    for eight_bit in (True, False):
        restoration_loss(Watching(), GaussianBlur(), batch, tiny.config(tmp_path, quantize_inputs=eight_bit))
    assert torch.equal((seen[0] * 255).round() / 255, seen[0])
    assert not torch.equal((seen[1] * 255).round() / 255, seen[1])


def test_l1_and_l2_are_means_over_everything(tmp_path):
    batch = Batches(load_data("digits"), PixelNoise(), 4, 0).at(0, torch.device("cpu"))
    l1, l2 = (
        restoration_loss(tiny.Oracle(batch.x0 + 0.5), PixelNoise(), batch, tiny.config(tmp_path, loss=loss))
        for loss in ("l1", "l2")
    )
    assert (float(l1.detach()), float(l2.detach())) == pytest.approx((0.5, 0.25))


def test_a_config_survives_json():
    config = tiny.config("run", degradation=GaussianNoise(), prior="uniform")
    assert TrainConfig.from_config(json.loads(json.dumps(config.to_config()))) == config


# --- what follows from the degradation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("degradation", "expected"),
    [
        (GaussianBlur(sigma_max=3.0), "empirical"),
        (GaussianBlur(sigma_max=50.0), "channel_gaussian"),
        (GaussianNoise(), "standard_normal"),
    ],
    ids=["ends in pictures", "ends in one colour", "ends in noise"],
)
def test_generation_starts_where_the_degradation_ends(degradation, expected, tmp_path):
    prior = prior_for(tiny.config(tmp_path, degradation=degradation), load_data("digits"))
    assert prior.registered_name == expected
    u = prior.sample(4, (1, 8, 8), torch.Generator().manual_seed(0))
    assert u.shape == (4, 1, 8, 8)


def test_a_noise_predictor_made_for_another_noise_is_refused(tmp_path):
    config = tiny.config(tmp_path, degradation=GaussianBlur(), restorer=Epsilon())
    with pytest.raises(ValueError, match="use --predict epsilon"):
        restorer_for(config, load_data("digits"))


def test_averaged_weights_follow_sharded_ones(tmp_path) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        net, ema = (torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)) for _ in range(2))
        expected = [torch.lerp(e, p, 0.25) for e, p in zip(ema.parameters(), net.parameters(), strict=True)]
        mesh = init_device_mesh("cpu", (1,))
        average(fully_shard(ema, mesh=mesh), fully_shard(net, mesh=mesh), 0.75)
        for e, wanted in zip(ema.parameters(), expected, strict=True):
            assert torch.allclose(e.full_tensor(), wanted)
    finally:
        torch.distributed.destroy_process_group()
