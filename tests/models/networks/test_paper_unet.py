"""The two networks of the paper compute what their formulas say, written out slowly here."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.slow_paper_unets import (
    slow,
    slow_3x3,
    slow_channel_norm,
    slow_conv,
    slow_convnext_block,
    slow_linear_attention,
    slow_pixel_attention,
    slow_resnet_block,
    slow_sinusoids,
    weight,
)
from torch import Tensor, nn

from colddiff.models.networks.convnext_unet import ChannelNorm, ConvNextBlock, ConvNextUNetConfig, LinearAttention
from colddiff.models.networks.paper_unet import OfficialConfig, Sinusoids, time_label
from colddiff.models.networks.resnet_unet import PixelAttention, ResNetBlock, ResNetUNetConfig, enlarge, shrink
from colddiff.models.networks.unet import RestorerConfig

CONVNEXT = ConvNextUNetConfig(channels=2, dim=8, multipliers=(1, 2, 3), num_steps=10)
RESNET = ResNetUNetConfig(channels=2, ch=32, multipliers=(1, 2, 2), blocks=2, num_steps=10)
BOTH = pytest.mark.parametrize("config", [CONVNEXT, RESNET], ids=["convnext", "resnet"])


def loud(net: nn.Module) -> nn.Module:
    """A network in float64 whose every parameter matters."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3 if parameter.dim() < 2 else 1 / math.sqrt(parameter[0].numel()))
    return net.double().eval()


def rand(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


# --- the formulas, one pixel or one sum at a time --------------------------------------------------------------------


# --- block by block --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(("before", "width"), [(3, 5), (4, 4)])
def test_a_convnext_block_is_its_formula(before: int, width: int, norm: bool) -> None:
    block, h, time = loud(ConvNextBlock(before, width, 6, norm)), rand(2, before, 5, 8), rand(2, 6)
    assert torch.allclose(block(h, time), slow_convnext_block(h, time, block.state_dict(), ""), atol=1e-10)


def test_channels_are_normalised_pixel_by_pixel() -> None:
    norm, h = loud(ChannelNorm(6)), rand(2, 6, 3, 4) * 1e-2  # so small that the epsilon counts
    p = {f"n.{name}": value for name, value in norm.state_dict().items()}
    assert torch.allclose(norm(h), slow_channel_norm(h, p, "n"), atol=1e-12)


def test_linear_attention_is_its_formula() -> None:
    attention, h = loud(LinearAttention(6)), rand(2, 6, 3, 4)
    assert torch.allclose(attention(h), slow_linear_attention(h, attention.state_dict(), ""), atol=1e-10)


def test_a_resnet_block_is_its_formula() -> None:
    for before in (32, 64):
        block, h, time = loud(ResNetBlock(before, 64, 6, 0.5)), rand(2, before, 3, 4) * 1e-2, rand(2, 6)
        assert torch.allclose(block(h, time), slow_resnet_block(h, time, block.state_dict(), ""), atol=1e-10)


def test_attention_among_pixels_is_its_formula() -> None:
    attention, h = loud(PixelAttention(32)), rand(2, 32, 3, 4)
    assert torch.allclose(attention(h), slow_pixel_attention(h, attention.state_dict(), ""), atol=1e-10)


def test_to_shrink_pads_below_and_to_the_right() -> None:
    layer, h = loud(shrink(3)), rand(2, 3, 4, 6)
    out = slow_conv(h, *weight(layer.state_dict(), "conv"), (0, 1, 0, 1), stride=2)
    assert out.shape == (2, 3, 2, 3) and torch.allclose(layer(h), out, atol=1e-12)


def test_to_enlarge_repeats_pixels() -> None:
    layer, h = loud(enlarge(3)), rand(2, 3, 2, 3)
    out = slow_3x3(h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), layer.state_dict(), "conv")
    assert torch.allclose(layer(h), out, atol=1e-12)


def test_the_embedding_is_sines_then_cosines() -> None:
    label = torch.tensor([0.0, 1.0, 37.0, 999.0])
    assert torch.allclose(Sinusoids(8)(label).double(), slow_sinusoids(label, 8), atol=2e-4)
    assert torch.allclose(Sinusoids(8)(label[:2]).double(), slow_sinusoids(label[:2], 8), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [1, 20, 200, 300, 1000])
def test_step_k_has_the_label_k_minus_1(steps: int, dtype: torch.dtype) -> None:
    k = torch.arange(1, steps + 1, dtype=dtype)
    assert torch.equal(time_label(k / steps, steps), k - 1)
    assert torch.equal(time_label(torch.zeros(2, dtype=dtype), steps), torch.zeros(2, dtype=dtype))


def test_between_two_steps_the_label_is_between_theirs() -> None:
    assert torch.allclose(time_label(torch.tensor([0.05, 0.125, 0.99]), 10), torch.tensor([0.0, 0.25, 8.9]), atol=1e-5)


# --- the whole -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (5, 11), (1, 3)])
@BOTH
def test_a_network_is_its_formula_at_any_size(config: OfficialConfig, size: tuple[int, int], residual: bool) -> None:
    config = type(config).from_config(config.to_config() | {"residual": residual})
    net, x, k = loud(config.build()), torch.rand(3, 2, *size, dtype=torch.float64), torch.tensor([1.0, 4.0, 10.0])
    bottom, right = -size[0] % 4, -size[1] % 4
    h = F.pad(2 * x - 1, (0, right, 0, bottom), mode="replicate")
    out = slow(config, h, k - 1, net.state_dict())[..., : size[0], : size[1]]
    expected = ((out + 2 * x - 1 if residual else out) + 1) / 2
    assert torch.allclose(net(x, k / 10), expected, atol=1e-6)


def test_a_network_need_not_be_told_the_time() -> None:
    config = ConvNextUNetConfig(channels=2, dim=8, multipliers=(1, 2), time_embedding=False)
    net, x = loud(config.build()), torch.rand(2, 2, 4, 4, dtype=torch.float64)
    assert not any("mlp" in name for name in net.state_dict())
    out = (slow(config, 2 * x - 1, torch.zeros(2), net.state_dict()) + 1) / 2
    assert torch.allclose(net(x, torch.tensor([0.1, 1.0])), out, atol=1e-10)


@BOTH
def test_each_image_has_its_own_time(config: OfficialConfig) -> None:
    net, x, t = loud(config.build()), torch.rand(3, 2, 8, 8, dtype=torch.float64), torch.tensor([0.1, 0.5, 1.0])
    assert torch.allclose(net(x, t)[1:2], net(x[1:2], t[1:2]), atol=1e-10)
    assert not torch.allclose(net(x, t), net(x, t.flip(0)), atol=1e-2), "the time makes no difference"


@BOTH
def test_a_network_answers_in_the_dtype_of_the_images(config: OfficialConfig) -> None:
    net, t = config.build().eval(), torch.ones(1, dtype=torch.float64)
    for dtype in (torch.float64, torch.bfloat16):
        assert net(torch.rand(1, 2, 4, 4).to(dtype), t).dtype == dtype
    assert net.bfloat16()(torch.rand(1, 2, 4, 4), t).dtype == torch.float32


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (ConvNextUNetConfig(), 56.616),
        (ConvNextUNetConfig(channels=1), 56.613),
        (ResNetUNetConfig(), 35.746),
    ],
    ids=["convnext", "convnext of one channel", "resnet"],
)
def test_the_networks_have_as_many_parameters_as_the_papers(config: OfficialConfig, millions: float) -> None:
    with torch.device("meta"):
        net = config.build()
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.001)


def test_dropout_is_for_training_only() -> None:
    net, x, t = loud(RESNET.build()), torch.rand(1, 2, 4, 4, dtype=torch.float64), torch.ones(1)
    assert torch.equal(net(x, t), net(x, t))
    net.train()
    assert not torch.equal(net(x, t), net(x, t))


@BOTH
def test_gradients_reach_every_weight(config: OfficialConfig) -> None:
    net = loud(config.build())
    net(torch.rand(2, 2, 4, 8, dtype=torch.float64), torch.tensor([0.3, 1.0])).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in net.parameters())


@BOTH
def test_a_config_survives_a_round_trip(config: OfficialConfig) -> None:
    assert RestorerConfig.from_config(config.to_config()) == config


@BOTH
def test_images_of_other_channels_are_refused(config: OfficialConfig) -> None:
    with pytest.raises(ValueError, match=r"takes 2 channels, got images \(1, 3, 8, 8\)"):
        config.build()(torch.rand(1, 3, 8, 8), torch.ones(1))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ConvNextUNetConfig, {"channels": 0}),
        (ConvNextUNetConfig, {"multipliers": ()}),
        (ConvNextUNetConfig, {"dim": 7}),
        (ConvNextUNetConfig, {"dim": 2}),
        (ConvNextUNetConfig, {"num_steps": 0}),
        (ResNetUNetConfig, {"multipliers": (1, 0)}),
        (ResNetUNetConfig, {"ch": 48}),
        (ResNetUNetConfig, {"blocks": 0}),
        (ResNetUNetConfig, {"dropout": 1.0}),
        (ResNetUNetConfig, {"attend_at": (4,)}),
    ],
)
def test_a_shape_that_cannot_be_built_is_refused(kind: type[OfficialConfig], fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        kind(**fields)
