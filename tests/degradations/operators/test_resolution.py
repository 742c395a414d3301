"""The chain of smaller and smaller images is what interpolating step by step makes of an image."""

import pytest
import torch
import torch.nn.functional as F
from support.operators import convolved_2d, gaussian_2d

from colddiff import Resolution

SIZES = [(32, 32), (16, 24), (13, 7), (1, 5), (3, 1)]


def chain(x, k, mode, halving):
    """k steps on the image itself."""
    h, w = x.shape[-2:]
    for i in range(k):
        side = [max(1, n // 2 ** (i + 1) if halving else n - i) for n in (h, w)]
        x = F.interpolate(F.interpolate(x, size=side, mode=mode), size=(h, w), mode="nearest-exact")
    return x


@pytest.mark.parametrize("largest", [256, 0], ids=["matrices", "interpolations"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("halving", [True, False])
@pytest.mark.parametrize("mode", ["bicubic", "bilinear", "area"])
def test_levels_are_the_steps_of_interpolation(mode, halving, size, largest, images, monkeypatch) -> None:
    monkeypatch.setattr(Resolution, "largest_side", largest)
    x, op = images(2, 3, *size), Resolution(num_steps=6, mode=mode, halving=halving)
    for k in range(7):
        # Steps of bicubic interpolation overshoot, and rounding with them.
        tolerance = 1e-12 * max(1.0, float(chain(x, k, mode, halving).abs().max()))
        assert (op(x, k / 6) - chain(x, k, mode, halving)).abs().max() <= tolerance, k
    between = 0.7 * chain(x, 2, mode, halving) + 0.3 * chain(x, 3, mode, halving)
    assert (op(x, 2.3 / 6) - between).abs().max() < 1e-11


def test_images_of_a_batch_are_each_at_their_own_level(images) -> None:
    x, t = images(4, 1, 8, 12), torch.tensor([0.0, 1 / 3, 0.5, 1.0], dtype=torch.float64)
    each = torch.cat([Resolution()(x[i : i + 1], t[i]) for i in range(4)])
    assert torch.equal(Resolution()(x, t)[:1], x[:1]) and (Resolution()(x, t) - each).abs().max() < 1e-14


def test_the_steps_of_upstream_are_composed(images) -> None:
    """After the first, a bicubic step of half the side is a mean over 2 x 2 of what is left."""
    x = images(2, 3, 32, 32)
    small = Resolution()(x, 1 / 3)[..., ::2, ::2]
    assert (Resolution()(x, 2 / 3)[..., ::4, ::4] - F.avg_pool2d(small, 2)).abs().max() < 1e-12
    assert (Resolution()(x, 1.0) - F.interpolate(x, scale_factor=1 / 8, mode="bicubic").repeat_interleave(8, 2)
            .repeat_interleave(8, 3)).abs().max() > 0.05  # fmt: skip


def test_one_pixel_less_begins_with_the_image_itself(images) -> None:
    x, op = images(2, 1, 8, 8), Resolution(num_steps=8, halving=False)
    assert (op(x, 1 / 8) - x).abs().max() < 1e-15
    assert op(x, 1.0).std(dim=(2, 3)).max() < 1e-12


def test_long_chains_on_large_images_keep_no_matrices(images) -> None:
    x, op = images(1, 1, 300, 20), Resolution(num_steps=200, halving=False)
    assert op.tables(x) == {} and Resolution(num_steps=2000).largest_side < 70
    assert torch.equal(op(x, 0.0), x)


def test_what_is_no_chain_is_refused() -> None:
    with pytest.raises(ValueError, match="num_steps must be in 1"):
        Resolution(num_steps=0)
    with pytest.raises((TypeError, ValueError), match="mode"):
        Resolution(mode="lanczos")  # type: ignore[arg-type]


def softened(x):
    return convolved_2d(x, gaussian_2d(3, 0.5), "reflect")


@pytest.mark.parametrize("largest", [256, 0], ids=["matrices", "interpolations"])
@pytest.mark.parametrize("size", [(32, 32), (16, 24), (13, 7), (2, 3), (1, 5)], ids=str)
@pytest.mark.parametrize("halving", [True, False])
@pytest.mark.parametrize("mode", ["bicubic", "bilinear", "area"])
def test_levels_are_steps_of_blur_interpolation_blur(mode, halving, size, largest, images, monkeypatch) -> None:
    monkeypatch.setattr(Resolution, "largest_side", largest)
    x, op = images(2, 3, *size), Resolution(num_steps=5, mode=mode, halving=halving, blur=True)
    steps = [x]
    for i in range(5):
        sides = [max(1, n // 2 ** (i + 1) if halving else n - i) for n in size]
        small = F.interpolate(softened(steps[-1]), size=sides, mode=mode)
        steps.append(softened(F.interpolate(small, size=size, mode="nearest-exact")))
        assert (op(x, (i + 1) / 5) - steps[-1]).abs().max() < 1e-12, i
    assert (op(x, 1.7 / 5) - torch.lerp(steps[1], steps[2], 0.7)).abs().max() < 1e-12


def test_blur_leaves_no_blocks() -> None:
    assert Resolution().has_blocks and not Resolution(blur=True).has_blocks
    with pytest.raises(NotImplementedError, match="no blocks"):
        Resolution(blur=True).block_sides(8, (8, 8))
