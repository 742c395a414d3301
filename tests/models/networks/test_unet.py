"""The one restorer: any size, told the time, nothing at first."""

import pytest
import torch

from colddiff import UNet, UNetConfig
from colddiff.models.networks.unet import SIZES, norm

TINY = UNetConfig(channels=3, width=8, multipliers=(1, 2), blocks=1)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (2, 1), (7, 5), (8, 8), (13, 22)])
@pytest.mark.parametrize(
    "config",
    [
        TINY,
        UNetConfig(channels=1, width=8, patch=1, blocks=1),
        UNetConfig(channels=4, width=8, patch=4, multipliers=(1,), attention_levels=0, blocks=1),
    ],
    ids=["tiny", "grey", "patch4"],
)
def test_images_of_any_size_and_channels_come_back_as_they_were(config, h, w, images) -> None:
    x = images(2, config.channels, h, w, dtype=torch.float32)
    y = config.build()(x, torch.tensor([0.1, 0.9]))
    assert y.shape == x.shape and y.dtype == x.dtype and bool(y.isfinite().all())


def test_a_residual_network_starts_as_the_identity(images) -> None:
    x = images(2, 3, 9, 6, dtype=torch.float32)
    assert torch.allclose(UNet(TINY)(x, torch.rand(2)), x, atol=1e-6)


def test_without_the_residual_it_starts_grey(images) -> None:
    net = UNetConfig(width=8, multipliers=(1, 2), blocks=1, residual=False).build()
    assert torch.equal(net(images(1, 3, 8, 8, dtype=torch.float32), torch.ones(1)), torch.full((1, 3, 8, 8), 0.5))


def shaken(net: UNet) -> UNet:
    """The network with no parameter left at zero, so that everything in it can be seen to work."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return net


def trained(net: UNet, steps: int = 3, **kwargs) -> list[torch.Tensor | None]:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, target = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    for _ in range(steps):  # a last layer of zeros lets no gradient through at first
        optimizer.zero_grad()
        ((net(x, torch.tensor([0.2, 0.8]), **kwargs) - target) ** 2).mean().backward()
        optimizer.step()
    return [p.grad for p in net.parameters()]


@pytest.mark.parametrize("residual", [True, False])
def test_gradients_reach_every_parameter_after_the_first_steps(residual) -> None:
    torch.manual_seed(0)
    net = UNetConfig(width=8, multipliers=(1, 2), blocks=1, residual=residual).build()
    dead = [n for (n, _), g in zip(net.named_parameters(), trained(net), strict=True) if g is None or not g.any()]
    assert dead == []


def test_the_time_matters(images) -> None:
    net = shaken(UNet(TINY))
    x = images(1, 3, 8, 8, dtype=torch.float32)
    assert not torch.allclose(net(x, torch.tensor([0.1])), net(x, torch.tensor([0.9])), atol=1e-4)


def test_images_do_not_see_each_other(images) -> None:
    net = shaken(UNet(TINY))
    x, t = images(3, 3, 7, 5, dtype=torch.float32), torch.tensor([0.1, 0.5, 0.9])
    assert torch.allclose(net(x, t)[1:2], net(x[1:2], t[1:2]), atol=1e-5)


def test_times_may_be_float64(images) -> None:
    x, t = images(2, 3, 8, 8, dtype=torch.float32), torch.tensor([0.1, 0.9])
    net = shaken(UNet(TINY))
    assert torch.allclose(net(x, t), net(x, t.double()))


def test_a_condition_is_bound_as_params_are(images) -> None:
    torch.manual_seed(0)
    net = UNetConfig(width=8, multipliers=(1, 2), blocks=1, cond_channels=1).build()
    shaken(net)
    cond, x = images(2, 1, 8, 8, dtype=torch.float32), images(2, 3, 8, 8, dtype=torch.float32, seed=1)
    R = net.bind(cond)
    assert torch.equal(R(x, torch.ones(2)), net(x, torch.ones(2), cond))
    assert not torch.allclose(R(x, torch.ones(2)), net.bind(1 - cond)(x, torch.ones(2)), atol=1e-5)


def test_wrong_channels_are_named(images) -> None:
    x = images(1, 1, 8, 8, dtype=torch.float32)
    with pytest.raises(ValueError, match="takes 3 channels"):
        UNet(TINY)(x, torch.ones(1))
    with pytest.raises(ValueError, match=r"condition of 0 channels, got 1: use net.bind\(cond\)"):
        UNet(TINY)(x.expand(-1, 3, -1, -1), torch.ones(1), x)
    with pytest.raises(ValueError, match="condition of 2 channels, got 0"):
        UNetConfig(width=8, multipliers=(1,), cond_channels=2).build()(x.expand(-1, 3, -1, -1), torch.ones(1))


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 12},
        {"channels": 0},
        {"multipliers": ()},
        {"multipliers": (1, 0)},
        {"dropout": 1.0},
        {"cond_channels": -1},
    ],
    ids=str,
)
def test_an_impossible_shape_is_refused(fields) -> None:
    with pytest.raises(ValueError, match="must be"):
        UNetConfig(**fields)


def test_memory_format_changes_nothing(images) -> None:
    net = shaken(UNet(TINY))
    x, t = images(2, 3, 8, 8, dtype=torch.float32), torch.tensor([0.1, 0.9])
    expected = net(x, t)
    assert torch.allclose(net(x.to(memory_format=torch.channels_last), t), expected, atol=1e-5)
    assert torch.allclose(net.to(memory_format=torch.channels_last)(x, t), expected, atol=1e-5)


def test_half_precision_weights_take_float_images(images) -> None:
    x = images(2, 3, 8, 8, dtype=torch.float32)
    y = UNet(TINY).bfloat16()(x, torch.ones(2))
    assert y.dtype == torch.float32 and torch.allclose(y, x, atol=1e-2)


def test_two_networks_of_one_seed_are_equal() -> None:
    torch.manual_seed(3)
    first = UNet(TINY).state_dict()
    torch.manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(first.values(), UNet(TINY).state_dict().values(), strict=True))


def test_dropout_is_silent_in_evaluation(images) -> None:
    torch.manual_seed(0)
    net = UNetConfig(width=8, multipliers=(1, 2), blocks=1, dropout=0.5).build()
    shaken(net)
    x = images(1, 3, 8, 8, dtype=torch.float32)
    assert not torch.equal(net(x, torch.ones(1)), net(x, torch.ones(1)))
    net.eval()
    assert torch.equal(net(x, torch.ones(1)), net(x, torch.ones(1)))


def test_the_skip_gain_is_exact_in_bf16() -> None:
    net = UNet(UNetConfig(channels=1, width=8, multipliers=(1,), blocks=1))
    torch.nn.init.constant_(net.keep.bias, 0.0035)
    x, t = torch.rand(1, 1, 8, 8), torch.tensor([0.5])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        fast = net(x, t)
    with torch.no_grad():
        assert (fast - net(x, t)).abs().max() < 2e-5


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_about_so_many_parameters(size) -> None:
    with torch.device("meta"):
        net = UNetConfig.of_size(size, channels=3).build()
    count = sum(p.numel() for p in net.parameters()) / 1e6
    assert abs(count / float(size[:-1]) - 1) < 0.25
    with pytest.raises(LookupError, match=r"no U-Net has the size '2M': there are 0.3M, 1M"):
        UNetConfig.of_size("2M")


def test_the_first_layer_stays_float32_in_bf16(images) -> None:
    net = shaken(UNet(TINY)).to_bfloat16()
    assert net.stem.weight.dtype == torch.float32 and net.shrink[0].weight.dtype == torch.bfloat16
    assert net(images(1, 3, 9, 6, dtype=torch.float32), torch.rand(1)).dtype == torch.float32


@pytest.mark.parametrize("width", [8, 16, 48, 64, 96])
def test_groups_are_as_large_as_they_may_be(width) -> None:
    groups = norm(width).num_groups
    assert width // groups == {8: 8, 16: 16, 48: 16, 64: 32, 96: 32}[width]
