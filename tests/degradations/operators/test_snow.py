"""Snow: what it computes, against a slow twin."""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from colddiff.degradations.operators.snow import Snow, zoomed

# Taps of the motion, then threshold, sigma of the motion and brightness at the first step and the last.
SNOW = {
    1: (5, (0.7, 0.3), (0.5, 5), (0.95, 0.7)),
    2: (11, (1.15, 0.7), (0.05, 12), (0.95, 0.55)),
    3: (11, (1.15, 0.7), (0.05, 16), (0.95, 0.4)),
    4: (11, (1.15, 0.55), (0.05, 20), (0.95, 0.3)),
}


FIELD = {1: (0.1, 3), 2: (0.55, 2.5), 3: (0.55, 2.5), 4: (0.55, 2.5)}


def snowed(x, k, T, level, fix_brightness, layer, vertical):
    """One image (C, H, W) after step k, pixel by pixel."""
    taps, *ends = SNOW[level]
    threshold, sigma, beta = (a + (b - a) * (k - 1) / max(T - 1, 1) for a, b in ends)
    layer = torch.where(layer < threshold, 0.0, layer).clamp(0, 1)
    weight = [math.exp(-(u**2) / (2 * sigma**2)) for u in range(-(taps // 2), taps // 2 + 1)]
    (h, w), flakes = layer.shape, torch.zeros_like(layer)
    for i in range(h):
        for j in range(w):
            for u in range(-(taps // 2), taps // 2 + 1):
                a, b = (i + u, j) if vertical else (i, j + u)
                if 0 <= a < h and 0 <= b < w:
                    flakes[i, j] += weight[u + taps // 2] / sum(weight) * layer[a, b]
    if not fix_brightness:
        grey = x if len(x) == 1 else 0.299 * x[:1] + 0.587 * x[1:2] + 0.114 * x[2:]
        x = beta * x + (1 - beta) * torch.maximum(x, 1.5 * grey + 0.5)
    return (x + flakes + flakes.rot90(2)).clamp(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fix_brightness", [True, False])
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_snow_is_what_the_paper_lets_fall(level, fix_brightness, channels, images) -> None:
    op = Snow(level=level, num_steps=9, fix_brightness=fix_brightness)
    x = 0.5 * images(2, channels, 7, 6)
    params = {"layer": images(2, 1, 7, 6, seed=1) * 1.4, "vertical": torch.tensor([False, True])}
    rows = list(zip(x, params["layer"][:, 0], (False, True), strict=True))
    for k in (1, 4, 9):
        steps = [snowed(image, k, 9, level, fix_brightness, layer, vertical) for image, layer, vertical in rows]
        assert (op(x, k / 9, params) - torch.stack(steps)).abs().max() < 1e-14, k


def test_snow_begins_with_the_first_numbers_even_in_one_step(images) -> None:
    x, params = images(1, 3, 6, 6) / 2, {"layer": 1.4 * images(1, 1, 6, 6, seed=1), "vertical": torch.tensor([True])}
    expected = snowed(x[0], 1, 1, 3, True, params["layer"][0, 0], True)
    assert (Snow(num_steps=1)(x, 1.0, params)[0] - expected).abs().max() < 1e-14


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_between_two_steps_snow_is_a_line_from_the_image_itself(level, images) -> None:
    x, op = 2 * images(2, 3, 8, 6) - 0.5, Snow(level=level, num_steps=10)
    D = op.bind(op.draw(x, torch.Generator().manual_seed(0)), like=x)
    assert torch.equal(D(x, 0.0), x)
    assert D(x, 0.1).min() >= 0 and D(x, 0.1).max() <= 1
    assert (D(x, 0.03) - torch.lerp(x, D(x, 0.1), 0.3)).abs().max() < 1e-14


@pytest.mark.parametrize("size", [(32, 32), (33, 20), (7, 50), (2, 1)], ids=str)
@pytest.mark.parametrize("level", [1, 3])
def test_the_layer_is_a_field_of_which_the_centre_is_enlarged(level, size, images) -> None:
    mean, factor = FIELD[level]
    field, kept = images(1, 1, *size), [math.ceil(n / factor) for n in size]
    top, left = ((n - k) // 2 for n, k in zip(size, kept, strict=True))
    centre = field[..., top : top + kept[0], left : left + kept[1]]
    large = F.interpolate(centre, size=[round(k * factor) for k in kept], mode="bilinear", align_corners=True)
    top, left = ((m - n) // 2 for m, n in zip(large.shape[-2:], size, strict=True))
    assert (zoomed(field, factor) - large[..., top : top + size[0], left : left + size[1]]).abs().max() < 1e-14
    drawn = Snow(level=level).draw(field, torch.Generator().manual_seed(3))["layer"]
    field = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(3)).double()
    assert (drawn - zoomed(mean + 0.3 * field, factor)).abs().max() < 1e-14


def test_each_image_has_a_layer_and_a_direction_of_its_own(images) -> None:
    params = Snow().draw(images(200, 3, 8, 8), torch.Generator().manual_seed(0))
    assert set(params["vertical"].tolist()) == {0, 1} and 70 < int(params["vertical"].sum()) < 130
    assert params["layer"].shape == (200, 1, 8, 8)
    assert params["layer"].flatten(1).unique(dim=0).shape[0] == 200


def test_snow_along_columns_is_snow_along_rows_of_the_transposed_image(images) -> None:
    x, layer = images(1, 3, 8, 6) / 2, 1.4 * images(1, 1, 8, 6, seed=1)
    down = Snow()(x, 0.8, {"layer": layer, "vertical": torch.tensor([True])})
    along = Snow()(x.mT, 0.8, {"layer": layer.mT, "vertical": torch.tensor([0.0])}).mT
    other = Snow()(x, 0.8, {"layer": layer, "vertical": torch.tensor([False])})
    assert (down - along).abs().max() < 1e-14 and (down - other).abs().mean() > 0.02


def test_one_layer_falls_along_a_trajectory(images) -> None:
    """A pixel that has a flake keeps it: the threshold only falls."""
    x, op = torch.zeros(4, 1, 16, 16, dtype=torch.float64), Snow()
    D = op.bind(op.draw(x, torch.Generator().manual_seed(0)), like=x)
    seen = [D(x, t) > 0 for t in (0.25, 0.5, 0.75, 1.0)]
    for before, after in pairwise(seen):
        assert bool((after | ~before).all()) and after.sum() > before.sum()
