"""The rest of the paper's operators, held to the contract and to their steps taken one by one."""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from colddiff import (
    Claims,
    ConstantSigma,
    Cosine,
    CosineBetas,
    ExponentialSigma,
    GaussianNoise,
    IteratedBlur,
    Power,
    QuadraticBetas,
    Resolution,
)
from colddiff.degradations.blur_schedules import AccumulatingSigma, DecreasingSigma
from colddiff.degradations.families import separable
from colddiff.degradations.operators.animorph import Animorph
from colddiff.degradations.operators.snow import Snow, zoomed
from colddiff.degradations.operators.widening_blur import WideningBlur
from colddiff.degradations.spectral import border_index
from colddiff.samplers.algorithms import improved, naive
from colddiff.samplers.unknown_params import bind_observed

EXAMPLES = [
    Snow(),
    Snow(level=1, num_steps=5, fix_brightness=False, schedule=Cosine()),
    Snow(level=2, num_steps=30),
    Snow(level=4, num_steps=1, fix_brightness=False, schedule=Power()),
    Animorph(),
    Animorph(betas=QuadraticBetas(num_steps=7), schedule=Cosine()),
    WideningBlur(),
    WideningBlur(num_steps=3, schedule=Power()),
    WideningBlur(num_steps=1),
    IteratedBlur(num_steps=9, kernel_size=None, sigmas=AccumulatingSigma(start=0.3, target=4.0)),
    IteratedBlur(num_steps=5, kernel_size=None, sigmas=DecreasingSigma(target=2.0), border="reflect"),
    IteratedBlur(num_steps=6, ends_in_mean=True),
    IteratedBlur(num_steps=6, sigmas=ConstantSigma(sigma=1.0), kernel_size=5, border="reflect", ends_in_mean=True),
    IteratedBlur(num_steps=3, sigmas=ExponentialSigma(), kernel_size=None, border="symmetric", ends_in_mean=True),
    Resolution(blur=True),
    Resolution(num_steps=6, mode="area", halving=False, blur=True, schedule=Cosine()),
    Resolution(num_steps=4, mode="bilinear", halving=False, blur=True),
]


@pytest.mark.parametrize("op", EXAMPLES, ids=str)
@pytest.mark.parametrize("sampler", [naive, improved])
def test_a_perfect_restorer_is_recovered_over_all_levels(sampler, op, images) -> None:
    x = images(2, 3, 9, 8)
    D = op.bind({"target": images(2, 3, 9, 8, seed=1)} if op.required_params else op.draw(x), like=x)
    times = op.level_times().flip(0)
    *_, state = sampler(lambda x_t, t: x, D, D(x, times[0]), times)
    assert (state.x - x).abs().max() < 1e-10


# --- widths of kernels -----------------------------------------------------------------------------------------------


def test_sigmas_accumulate_in_a_straight_line() -> None:
    together = AccumulatingSigma(start=0.5, target=9.0).sigmas(40).square().cumsum(0).sqrt()
    assert (together - torch.linspace(0.5, 9.0, 40, dtype=torch.float64)).abs().max() < 1e-12
    assert AccumulatingSigma(start=0.5, target=9.0).sigmas(1).tolist() == [0.5]


def test_decreasing_sigmas_fall_evenly_to_their_own_last_step_and_make_the_target() -> None:
    sigmas = DecreasingSigma(target=9.0).sigmas(40)
    assert float(sigmas.square().sum()) == pytest.approx(81.0, rel=1e-14)
    assert (sigmas.diff() + sigmas[-1]).abs().max() < 1e-14
    assert DecreasingSigma(target=9.0).sigmas(1).tolist() == [9.0]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: AccumulatingSigma(start=0.0), "0 < start < target"),
        (lambda: AccumulatingSigma(start=3.0, target=3.0), "0 < start < target"),
        (lambda: DecreasingSigma(target=math.inf), "target"),
        (lambda: IteratedBlur(num_steps=2000, kernel_size=None, sigmas=ExponentialSigma()), "give a kernel_size"),
        (
            lambda: IteratedBlur(num_steps=9_000, kernel_size=None, sigmas=ExponentialSigma(rate=0.001)),
            "give a kernel_size",
        ),
        (lambda: WideningBlur(num_steps=0), "num_steps"),
        (lambda: Snow(level=5), "level"),
        (lambda: Snow(num_steps=0), "num_steps"),
    ],
)
def test_what_cannot_be_is_told(make, word) -> None:
    with pytest.raises(ValueError, match=word):
        make()


# --- blurs -----------------------------------------------------------------------------------------------------------


def gaussian(size, sigma):
    """A kernel of size x size taps, as the paper has it."""
    u = torch.arange(size, dtype=torch.float64) - size // 2
    kernel = torch.exp(-(u[:, None] ** 2 + u**2) / (2 * sigma**2))
    return kernel / kernel.sum()


def convolved(x, kernel, border):
    """Each channel with the kernel, in two dimensions."""
    rows, columns = (border_index(n, len(kernel) // 2, border) for n in x.shape[-2:])
    bordered = x[:, :, rows][..., columns]
    return F.conv2d(bordered, kernel.expand(x.shape[1], 1, -1, -1), groups=x.shape[1])


@pytest.mark.parametrize("border", ["circular", "reflect", "symmetric"])
@pytest.mark.parametrize("sigmas", [AccumulatingSigma(start=0.3, target=6.0), DecreasingSigma(target=3.5)], ids=str)
def test_kernels_as_wide_as_their_sigma_are_the_chain(sigmas, border, images) -> None:
    x, T = images(2, 3, 13, 10), 8
    op = IteratedBlur(num_steps=T, kernel_size=None, sigmas=sigmas, border=border)
    step = x
    for k, sigma in enumerate(sigmas.sigmas(T).tolist(), start=1):
        step = convolved(step, gaussian(2 * int(2 * sigma) + 3, sigma), border)
        assert (op(x, k / T) - step).abs().max() < 1e-13, k


@pytest.mark.parametrize("kept", [2**25, 0], ids=["matrices", "spectra"])
@pytest.mark.parametrize("border", ["circular", "reflect", "symmetric"])
def test_a_blur_ends_in_the_mean_exactly_and_is_a_line_before(border, kept, images, monkeypatch) -> None:
    monkeypatch.setattr(separable, "STACK_BYTES", kept)
    x = images(2, 3, 11, 8 + (kept > 0))  # tables are remembered by size
    chain = IteratedBlur(num_steps=5, kernel_size=3, sigmas=ConstantSigma(sigma=0.6), border=border)
    op = IteratedBlur(num_steps=5, kernel_size=3, sigmas=chain.sigmas, border=border, ends_in_mean=True)
    assert ("matrices" in str(op.tables(x).keys())) == (kept > 0)
    mean = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    assert (chain(x, 1.0) - mean).abs().max() > 0.05
    assert (op(x, 1.0) - mean).abs().max() < 1e-15
    assert torch.equal(op(x, 0.8), chain(x, 0.8))
    assert (op(x, 0.95) - (0.25 * chain(x, 0.8) + 0.75 * mean)).abs().max() < 1e-13
    mixed = op(x, torch.tensor([1.0, 0.4], dtype=torch.float64))
    assert (mixed[:1] - mean[:1]).abs().max() < 1e-15 and (mixed[1:] - chain(x, 0.4)[1:]).abs().max() < 1e-13


@pytest.mark.parametrize("border", ["circular", "symmetric"])
def test_a_spectrum_ends_in_the_mean_too(border, images) -> None:
    op, x = IteratedBlur(num_steps=4, border=border, ends_in_mean=True), images(1, 1, 7, 7)
    basis, gains = op.spectrum(7, torch.tensor([3, 4]))
    assert op.has_spectrum
    for t, gain in zip((0.75, 1.0), gains, strict=True):
        A = basis[0] @ torch.diag(gain) @ basis[1]
        assert (op(x, t) - A @ x @ A.mT).abs().max() < 1e-13


def test_a_mean_that_no_cosine_of_reflected_borders_is_has_no_spectrum() -> None:
    op = IteratedBlur(border="reflect", ends_in_mean=True)
    assert not op.has_spectrum and IteratedBlur(border="reflect").has_spectrum
    with pytest.raises(NotImplementedError, match="no spectrum"):
        op.spectrum(8, torch.tensor([0]))


@pytest.mark.parametrize("size", [(32, 24), (5, 8)], ids=str)
def test_a_widening_blur_is_one_kernel_at_each_level(size, images) -> None:
    x, T = images(2, 1, *size), 7
    assert torch.equal(WideningBlur(num_steps=T)(x, 1 / T), x)
    for i in range(T):
        kernel = gaussian(2 * i + 1, 2 * (2 * i + 1))
        assert (WideningBlur(num_steps=T)(x, (i + 1) / T) - convolved(x, kernel, "circular")).abs().max() < 1e-13, i


# --- resolution ------------------------------------------------------------------------------------------------------


def softened(x):
    return convolved(x, gaussian(3, 0.5), "reflect")


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


# --- animorphosis ----------------------------------------------------------------------------------------------------


def test_animorphosis_is_the_mix_of_the_paper(images) -> None:
    x, target, op = images(2, 3, 6, 5), images(2, 3, 6, 5, seed=1), Animorph()
    f = [math.cos((k / 200 + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(201)]
    alpha_bar = 1.0
    for k in range(1, 201):
        alpha_bar *= 1 - min(1 - f[k] / f[k - 1], 0.999)
        mix = math.sqrt(alpha_bar) * (2 * x - 1) + math.sqrt(1 - alpha_bar) * (2 * target - 1)
        assert (op(x, k / 200, {"target": target}) - (mix + 1) / 2).abs().max() < 1e-14, k
    assert alpha_bar == pytest.approx(6.07e-8, rel=1e-3)


def test_animorphosis_is_gaussian_noise_whose_place_an_image_has_taken(images) -> None:
    x, target, t = images(3, 1, 4, 5), images(3, 1, 4, 5, seed=1), torch.tensor([0.1, 0.523, 1.0], dtype=torch.float64)
    noise = GaussianNoise(betas=CosineBetas(num_steps=200))
    assert torch.equal(Animorph()(x, t, {"target": target}), noise(x, t, {"noise": 2 * target - 1}))


def test_a_target_is_found_at_the_end_whatever_the_restorer_answers(images) -> None:
    x, target = images(2, 3, 6, 5), images(2, 3, 6, 5, seed=1)
    x_T = Animorph()(x, 1.0, {"target": target})
    assert (x_T - target).abs().max() < 3e-4
    D = bind_observed(Animorph(), lambda x_t, t: torch.zeros_like(x_t), x_T, 1.0)
    assert (D.params["target"] - target).abs().max() < 3e-4


def test_no_claim_to_be_monotone_is_made_for_a_target_like_the_image(images) -> None:
    x = images(1, 1, 8, 8)
    D = Animorph().bind({"target": x}, like=x)
    assert (D(x, 0.5) - x).abs().mean() > 0.05 > 1e-3 > (D(x, 1.0) - x).abs().mean()
    assert Claims.MONOTONE not in Animorph().claims


def test_gaussian_noise_keeps_its_config_and_its_params(images) -> None:
    assert list(GaussianNoise().to_config()) == ["type", "schedule", "betas"]
    assert list(Animorph().to_config()) == ["type", "schedule", "betas"]
    x = images(1, 1, 3, 3)
    assert list(GaussianNoise().draw(x)) == ["noise"] and list(GaussianNoise().tables(x)) == [
        "coefficients",
        "amplitudes",
    ]


# --- snow ------------------------------------------------------------------------------------------------------------

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
