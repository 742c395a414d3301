"""Each operator against a slow, obvious twin, and against what its docstring says."""

import math

import pytest
import scipy.special
import torch
import torch.nn.functional as F
from torch import Tensor

from colddiff import (
    BetaTable,
    ConstantSigma,
    CosineBetas,
    Degradation,
    ExponentialSigma,
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    Interpolate,
    IteratedBlur,
    LinearBetas,
    LinearSigma,
    Pixelate,
    PixelMask,
    PixelNoise,
    QuadraticBetas,
    UniformNoise,
)
from colddiff.degradations import levels
from colddiff.degradations.spectral import border_index
from colddiff.testing.reporting import seeded
from colddiff.utils import table_cache

BORDERS = ("reflect", "circular", "symmetric")


def distance(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


# --- blurs -----------------------------------------------------------------------------------------------------------


def padded(x: Tensor, radius: int, border: str) -> Tensor:
    """x with `radius` more rows and columns on each side."""
    if border != "symmetric":
        return F.pad(x, (radius,) * 4, mode=border)
    for dim in (-2, -1):
        n = x.shape[dim]
        where = [i % (2 * n) for i in range(-radius, n + radius)]
        x = x.index_select(dim, torch.tensor([i if i < n else 2 * n - 1 - i for i in where]))
    return x


def convolved(x: Tensor, kernel: Tensor, border: str) -> Tensor:
    """One depthwise convolution by the outer product of a 1-D kernel with itself."""
    weight = torch.outer(kernel, kernel).expand(x.shape[1], 1, -1, -1)
    return F.conv2d(padded(x, len(kernel) // 2, border), weight, groups=x.shape[1])


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    "sigmas",
    [ConstantSigma(sigma=7), LinearSigma(), ExponentialSigma(start=1, rate=0.01), LinearSigma(start=0.3, slope=0.3)],
    ids=["constant", "linear", "exponential", "incremental"],
)
def test_iterated_blur_is_the_chain_of_its_convolutions(sigmas, border, images) -> None:
    x = images(1, 2, 12, 9)
    op = IteratedBlur(num_steps=20, kernel_size=11, sigmas=sigmas, border=border)
    chain = x
    for k, sigma in enumerate(sigmas.sigmas(20), start=1):
        offset = torch.arange(-5, 6, dtype=torch.float64)
        kernel = torch.exp(-(offset**2) / (2 * sigma**2))
        chain = convolved(chain, kernel / kernel.sum(), border)
        if k in (1, 2, 7, 20):
            assert distance(op(x, k / 20), chain) < 1e-12


def test_iterated_blur_takes_kernels_larger_than_the_picture(images) -> None:
    x = images(1, 1, 3, 1)
    assert distance(IteratedBlur(num_steps=2, kernel_size=11, border="symmetric")(x, 1.0), x.mean().expand_as(x)) < 0.05


def bessel_kernel(variance: float, radius: int) -> Tensor:
    """The discrete Gaussian e^-v I_n(v)."""
    return torch.from_numpy(scipy.special.ive(range(-radius, radius + 1), variance))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 2.5])
def test_gaussian_blur_is_convolution_by_the_discrete_gaussian(sigma, border, images) -> None:
    x = images(2, 1, 40, 33)
    expected = convolved(x, bessel_kernel(sigma**2, 30), border)
    assert distance(GaussianBlur(sigma_max=sigma, border=border)(x, 1.0), expected) < 1e-12


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("sigma", [0.5, 12.0])
def test_gaussian_blur_equals_a_hundred_small_ones(sigma, border, images) -> None:
    x = images(1, 3, 15, 22)
    small, chain = GaussianBlur(sigma_max=sigma / 10, border=border), x
    for _ in range(100):
        chain = small(chain, 1.0)
    assert distance(GaussianBlur(sigma_max=sigma, border=border)(x, 1.0), chain) < 1e-12


@pytest.mark.parametrize("border", BORDERS)
def test_gaussian_blur_of_large_pictures_equals_the_spectral_form(border, images, monkeypatch) -> None:
    x, t = images(3, 2, 21, 14), torch.tensor([0.0, 0.01, 1.0])
    op = GaussianBlur(sigma_max=3, border=border)
    expected = op(x, t)
    monkeypatch.setattr(GaussianBlur, "largest_side", 8)
    monkeypatch.setattr(table_cache, "_TABLES", {})
    assert torch.equal(op(x, t)[0], x[0])
    assert distance(op(x, t), expected) < 1e-6


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kind", [GaussianBlur, IteratedBlur])
def test_blurs_in_float32_lose_nothing_but_rounding(kind, border, images) -> None:
    x, op = images(2, 3, 64, 49), kind(border=border)
    for t in (0.05, 0.5, 1.0):
        assert distance(op(x.float(), t).double(), op(x, t)) < 1.5e-6


@pytest.mark.parametrize("op", [GaussianBlur(sigma_max=5), IteratedBlur(num_steps=5)], ids=["gaussian", "iterated"])
def test_blurs_keep_a_flat_picture(op) -> None:
    flat = torch.full((1, 1, 7, 9), 0.3, dtype=torch.float64)
    assert distance(op(flat, 1.0), flat) < 1e-12


@pytest.mark.parametrize("border", BORDERS)
def test_borders_are_those_of_torch(border) -> None:
    mode = {"reflect": "reflect", "circular": "circular"}.get(border)
    row = torch.arange(6.0)[None, None]
    index = border_index(6, 5, border)
    if mode:
        assert torch.equal(row[0, 0][index], F.pad(row, (5, 5), mode=mode)[0, 0])
    else:
        assert index.tolist() == [4, 3, 2, 1, 0, 0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1]


# --- masks -----------------------------------------------------------------------------------------------------------


def explicit_mask(op: GaussianMask, k: int, center: tuple[float, float], h: int, w: int) -> Tensor:
    rows, columns = torch.arange(h).double()[:, None], torch.arange(w).double()[None]
    r2 = (rows - center[0]) ** 2 + (columns - center[1]) ** 2
    keep = torch.ones(h, w, dtype=torch.float64)
    for i in range(k):
        keep = keep * (1 - torch.exp(-r2 / (2 * (op.kernel_std * (i + op.initial_mask)) ** 2)))
    return keep


@pytest.mark.parametrize("op", [GaussianMask(), GaussianMask(num_steps=8, kernel_std=0.3, initial_mask=1)], ids=str)
def test_gaussian_mask_is_the_product_of_its_steps(op, images) -> None:
    x = images(2, 1, 9, 13)
    params = {"center": torch.tensor([[-1.0, 4.0], [8.0, 12.0]])}
    for k in (1, 2, op.num_steps // 2, op.num_steps):
        y = op(x, k / op.num_steps, params)
        for i, center in enumerate(params["center"].tolist()):
            keep = explicit_mask(op, k, center, 9, 13)
            assert distance(y[i, 0], keep * x[i, 0] + (1 - keep) * 0.5) < 1e-12


def test_a_random_centre_covers_the_picture_and_one_pixel_before_it(images) -> None:
    center = GaussianMask().draw(images(4000, 1, 3, 2), torch.Generator().manual_seed(0))["center"]
    found = {tuple(c) for c in center.tolist()}
    assert found == {(float(i), float(j)) for i in range(-1, 3) for j in range(-1, 2)}


def test_a_fixed_centre_is_the_middle(images) -> None:
    D = GaussianMask(random_center=False).bind(like=images(2, 1, 28, 31))
    assert D.tables["center"].tolist() == [[13, 14]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixel_masks_are_nested_and_grow_to_everything(dtype, images) -> None:
    x = images(2, 3, 6, 5)
    op = PixelMask(fill=(1.0,))
    D = op.bind(op.draw(x.to(dtype), torch.Generator().manual_seed(0)), like=x)
    gone = torch.stack([(D(x, k / 30) == 1).all(dim=1) for k in range(31)])
    assert gone.sum(dim=(2, 3)).tolist() == [[k, k] for k in range(31)]
    assert bool((gone[:-1] <= gone[1:]).all())


def test_a_rank_of_zero_is_still_there_at_time_zero(images) -> None:
    x = images(1, 1, 2, 2)
    assert torch.equal(PixelMask()(x, 0.0, {"rank": torch.zeros(1, 1, 2, 2)}), x)


def test_fill_is_one_colour_or_one_per_channel(images) -> None:
    x = images(1, 3, 2, 2)
    D = PixelMask(fill=(0.1, 0.2, 0.3)).bind({"rank": torch.zeros(1, 1, 2, 2)}, like=x)
    assert distance(D(x, 1.0), torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64).view(1, 3, 1, 1).expand_as(x)) < 1e-15
    with pytest.raises(ValueError, match="one per channel, 1, got"):
        PixelMask(fill=(0.1, 0.2, 0.3)).bind(like=x[:, :1])


# --- resolution ------------------------------------------------------------------------------------------------------


def block_means(x: Tensor, size: int) -> Tensor:
    expected = torch.empty_like(x)
    for i in range(0, x.shape[-2], size):
        for j in range(0, x.shape[-1], size):
            block = x[:, :, i : i + size, j : j + size]
            expected[:, :, i : i + size, j : j + size] = block.mean(dim=(2, 3), keepdim=True)
    return expected


@pytest.mark.parametrize("largest_matrix", [64, 0], ids=["matrices", "pyramid"])
@pytest.mark.parametrize(("h", "w"), [(8, 8), (7, 11), (1, 5), (13, 6)])
def test_pixelate_is_the_block_means_at_each_block_size_and_straight_between(
    h, w, largest_matrix, images, monkeypatch
) -> None:
    monkeypatch.setattr(Pixelate, "largest_side", largest_matrix)
    monkeypatch.setattr(table_cache, "_TABLES", {})
    x = images(2, 2, h, w)
    halvings = math.ceil(math.log2(max(h, w)))
    for k in range(halvings + 1):
        assert distance(Pixelate()(x, k / halvings), block_means(x, 2**k)) < 1e-12
    between = torch.lerp(block_means(x, 2), block_means(x, 4), 0.3)
    assert distance(Pixelate()(x, 1.3 / halvings), between) < 1e-12


def test_pixelate_ends_in_one_colour(images) -> None:
    x = images(2, 3, 9, 14)
    assert distance(Pixelate()(x, 1.0), x.mean(dim=(2, 3), keepdim=True).expand_as(x)) < 1e-12


@pytest.mark.parametrize("side", [5, 16, 41])
def test_a_largest_block_means_the_same_at_every_image_size(side, images) -> None:
    x = images(1, 1, side, side + 3)
    for k in range(4):
        assert distance(Pixelate(largest=8)(x, k / 3), block_means(x, 2**k)) < 1e-12
    with pytest.raises(ValueError, match="power of two"):
        Pixelate(largest=6)


def test_pixelate_of_one_pixel_is_that_pixel(images) -> None:
    x = images(2, 3, 1, 1)
    assert distance(Pixelate()(x, 0.7), x) < 1e-15


# --- noises ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "shift", "noisy"),
    [(120, 20, 140), (120, -50, 70), (250, 20, 255), (5, -20, 0), (120, 0.6, 121), (120, 0.4, 120)],
)
def test_pixel_noise_is_the_arithmetic_of_the_note(level, shift, noisy) -> None:
    x = torch.full((1, 1, 1, 1), level / 255)
    params = {"noise": torch.full((1, 1, 1, 1), shift / 50)}
    assert round(float(PixelNoise(sigma=50)(x, 1.0, params)) * 255, 4) == noisy


def test_clipped_share_counts_what_a_camera_loses() -> None:
    x = torch.tensor([250.0, 120.0, 5.0, 0.0]).view(1, 1, 2, 2) / 255
    noise = torch.tensor([20.0, 20.0, -20.0, 0.2]).view(1, 1, 2, 2) / 50
    assert PixelNoise(sigma=50).clipped_share(x, torch.ones(1), {"noise": noise}).tolist() == [0.5]
    assert PixelNoise(sigma=50).clipped_share(x, torch.zeros(1), {"noise": noise}).tolist() == [0]


def test_wrapped_uniform_noise_stays_in_range_and_ends_uniform(images) -> None:
    x = torch.full((1, 1, 100, 100), 0.9)
    op = UniformNoise()
    y = op(x, 1.0, op.draw(x, torch.Generator().manual_seed(0)))
    assert float(y.min()) >= 0 and float(y.max()) < 1
    assert torch.histc(y, 10, 0, 1).sub(1000).abs().max() < 4 * math.sqrt(900)


def test_the_draws_of_wrapped_noise_are_found_again(images) -> None:
    x, op = images(2, 1, 4, 4), UniformNoise()
    params = op.draw(x, torch.Generator().manual_seed(0))
    for t in (0.4, 1.0):
        found = op.bind({}, like=x).estimate(op(x, t, params), x, t).params["u"]
        assert distance(found, params["u"].to(found)) < 1e-12


def test_uniform_noise_wraps_only_when_told() -> None:
    x, u = torch.full((1, 1, 1, 1), 0.9), {"u": torch.full((1, 1, 1, 1), 0.4)}
    assert float(UniformNoise()(x, 0.5, u)) == pytest.approx(0.1)
    assert float(UniformNoise(wrap=False)(x, 0.5, u)) == pytest.approx(1.1)


@pytest.mark.parametrize("betas", [LinearBetas(), QuadraticBetas()], ids=["linear", "quadratic"])
def test_ten_thousand_stepwise_chains_have_the_mean_and_variance_of_the_closed_form(betas) -> None:
    pixels = torch.tensor([0.0, 0.3, 1.0])
    n, op = 10_000, GaussianNoise(betas=betas)
    x, generator = pixels.view(1, 1, 1, 3).expand(n, 1, 1, 3), torch.Generator().manual_seed(0)
    alpha_bar = betas.alpha_bars()
    for k in range(1, 1001):
        x = op.step(x, k, generator)
        if k in (1, 250, 1000):
            mean = 0.5 + alpha_bar[k].sqrt() * (pixels.double() - 0.5)
            variance = (1 - alpha_bar[k]) / 4
            off_mean = (x.double().mean(dim=0)[0, 0] - mean).abs() / (variance / n).sqrt()
            off_variance = (x.double().var(dim=0)[0, 0] - variance).abs() / (variance * math.sqrt(2 / (n - 1)))
            assert float(off_mean.max()) < 4 and float(off_variance.max()) < 4
            one_step = op(pixels.view(1, 1, 1, 3), k / 1000, {"noise": torch.ones(1, 1, 1, 3)})
            assert distance(one_step.double().flatten(), mean + variance.sqrt()) < 1e-6


@pytest.mark.parametrize("betas", [LinearBetas(), CosineBetas()], ids=["linear", "cosine"])
def test_noise_ends_in_a_standard_normal(betas, images) -> None:
    x, op = images(1, 1, 200, 200, dtype=torch.float32), GaussianNoise(betas=betas)
    c = 2 * op(x, 1.0, op.draw(x, torch.Generator().manual_seed(1))) - 1
    assert abs(float(c.mean())) < 4 / 200 and abs(float(c.var()) - 1) < 4 * math.sqrt(2) / 200


def test_noise_in_float32_keeps_the_first_and_the_last_steps(images) -> None:
    x, op = images(2, 1, 4, 4), GaussianNoise(betas=CosineBetas(num_steps=1000))
    noise = op.draw(x, torch.Generator().manual_seed(0))
    for k in (1, 999):
        exact, single = op(x, k / 1000, noise), op(x.float(), k / 1000, noise)
        assert distance(single.double(), exact) < 3e-7
    assert float(1 - CosineBetas(num_steps=1000).alpha_bars()[1]) > 0


def test_a_step_outside_the_chain_is_refused(images) -> None:
    op = GaussianNoise(betas=BetaTable(values=(0.1, 0.2)))
    for k in (0, 3):
        with pytest.raises(ValueError, match=r"1 \.\. 2"):
            op.step(images(1, 1, 2, 2), k)


# --- the interface ---------------------------------------------------------------------------------------------------


def test_interpolate_ends_at_the_other_degradation(images) -> None:
    x = images(2, 3, 8, 6)
    to = PixelMask()
    op, params = Interpolate(to=to), to.draw(x, torch.Generator().manual_seed(0))
    assert distance(op(x, 1.0, params), to(x, 1.0, params)) < 1e-15
    assert distance(op(x, 0.25, params), 0.75 * x + 0.25 * to(x, 1.0, params)) < 1e-15


def test_every_operator_takes_a_single_pixel() -> None:
    x = torch.full((2, 1, 1, 1), 0.3)
    for op in (
        GaussianBlur(),
        IteratedBlur(),
        GaussianMask(),
        PixelMask(),
        Pixelate(),
        GaussianNoise(),
        UniformNoise(),
    ):
        assert op(x, 0.5, op.draw(x)).shape == x.shape


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        ([[0.5]], TypeError, "list"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), TypeError, "uint8"),
        (torch.zeros(3, 2, 2), ValueError, r"x\[None\]"),
        (torch.zeros(1, 0, 2, 2), ValueError, "got shape"),
    ],
)
def test_what_is_no_batch_of_float_images_is_refused(x, error, words) -> None:
    with pytest.raises(error, match=words):
        GaussianBlur()(x, 0.5)


@pytest.mark.parametrize("t", [-0.1, 1.1, math.nan, torch.tensor([0.5, 2.0]), torch.zeros(3), torch.zeros(2, 1)])
def test_a_time_out_of_range_or_shape_is_refused(t, images) -> None:
    with pytest.raises(ValueError, match="time"):
        GaussianBlur()(images(2, 1, 4, 4), t)


def test_times_may_be_numbers_and_integers(images) -> None:
    x = images(2, 1, 4, 4)
    assert distance(GaussianBlur()(x, 1), GaussianBlur()(x, torch.ones(2, dtype=torch.int64))) < 1e-15


def test_a_random_operator_asks_for_its_params(images) -> None:
    with pytest.raises(TypeError, match=r"op\.draw\(x, generator\)"):
        PixelMask()(images(1, 1, 2, 2), 0.5)


@pytest.mark.parametrize("value", [torch.zeros(3, 1, 4, 4), torch.tensor(1.0), 0.5])
def test_params_without_a_row_per_image_are_refused(value, images) -> None:
    with pytest.raises(ValueError, match="'rank' must be a tensor with one row per image, 2"):
        PixelMask().bind({"rank": value}, like=images(2, 1, 4, 4))


def test_draw_each_wants_a_generator_per_image(images) -> None:
    with pytest.raises(ValueError, match="one generator per image, 2, got 1"):
        PixelMask().draw_each(images(2, 1, 4, 4), [torch.Generator()])


def test_what_an_operator_cannot_do_it_says(images) -> None:
    op, x = GaussianBlur(), images(1, 1, 4, 4)
    with pytest.raises(NotImplementedError, match="GaussianBlur cannot read"):
        op.observe(x, torch.ones(1))
    with pytest.raises(NotImplementedError, match="GaussianBlur cannot estimate"):
        op.estimate(x, x, torch.ones(1), {})
    with pytest.raises(NotImplementedError, match="GaussianBlur has no noise"):
        op.refresh({}, torch.ones(1), torch.zeros(1), 1.0, x)


def test_autocast_does_not_reach_a_degradation(images) -> None:
    x = images(2, 3, 9, 7, dtype=torch.float32)
    expected = GaussianBlur()(x, 0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(GaussianBlur()(x, 0.5), expected)


def test_products_are_exact_inside_and_precision_settings_as_they_were_outside(images, monkeypatch) -> None:
    knobs = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.mkldnn.matmul)
    before = [knob.fp32_precision for knob in knobs]
    inside = []
    degrade = GaussianBlur.degrade
    monkeypatch.setattr(
        GaussianBlur, "degrade", lambda *a: inside.extend(k.fp32_precision for k in knobs) or degrade(*a)
    )
    try:
        torch.set_float32_matmul_precision("high")
        set_by_user = [knob.fp32_precision for knob in knobs]
        GaussianBlur()(images(1, 1, 4, 4), 0.5)
        assert inside == ["ieee"] * 3
        assert [knob.fp32_precision for knob in knobs] == set_by_user
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
        for knob, precision in zip(knobs, before, strict=True):
            knob.fp32_precision = precision


def test_tables_are_made_once_and_forgotten_when_memory_is_short(images, monkeypatch) -> None:
    from colddiff.utils import table_cache

    built = []
    monkeypatch.setattr(table_cache, "_TABLES", {})
    monkeypatch.setattr(GaussianBlur, "tables", lambda self, like: built.append(self) or {"table": torch.zeros(100)})
    one, two = GaussianBlur(sigma_max=1), GaussianBlur(sigma_max=2)
    for op in (one, one, GaussianBlur(sigma_max=1.0), two, one):
        op.bind(like=images(1, 1, 4, 4))
    assert built == [one, two]
    monkeypatch.setattr(table_cache, "CACHE_BYTES", 500)
    for op in (two, one, one):  # only the newest fits
        op.bind(like=images(1, 1, 4, 4))
    assert built == [one, two, one]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: GaussianBlur(sigma_max=0), "sigma_max must be > 0 pixels"),
        (lambda: GaussianBlur(sigma_max=math.nan), "sigma_max"),
        (lambda: GaussianBlur(border="zero"), "'reflect', 'circular', 'symmetric'"),
        (lambda: IteratedBlur(kernel_size=4), "odd"),
        (lambda: IteratedBlur(num_steps=0), "num_steps"),
        (lambda: GaussianMask(num_steps=0), "num_steps"),
        (lambda: GaussianMask(kernel_std=0), "kernel_std"),
        (lambda: GaussianMask(initial_mask=0), "initial_mask"),
        (lambda: PixelNoise(sigma=-1), "grey levels"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_unit(build, words) -> None:
    with pytest.raises(ValueError, match=words):
        build()


def test_degradations_are_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Degradation()


def test_d_refuses_images_that_it_was_not_bound_to() -> None:
    op = GaussianMask()
    x = torch.rand(2, 1, 8, 8)
    D = op.bind(op.draw(x, seeded(0)), like=x)
    for other in (torch.rand(2, 1, 32, 32), torch.rand(1, 1, 8, 8), x.double()):
        with pytest.raises(ValueError, match="bind again with like=x"):
            D(other, 0.5)
    blur = GaussianBlur().bind(like=x)
    assert blur(torch.rand(5, 1, 8, 8), 0.5).shape == (5, 1, 8, 8)  # nothing in it belongs to an image


def test_tables_made_in_inference_mode_serve_gradients_later() -> None:
    op = GaussianBlur(sigma_max=1.2345)
    with torch.inference_mode():
        op(torch.rand(1, 1, 6, 6), 0.5)
    x = torch.rand(1, 1, 6, 6, requires_grad=True)
    op(x, 0.5).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("fill", [(), (float("nan"),), (1.5,)])
@pytest.mark.parametrize("kind", [GaussianMask, PixelMask])
def test_a_fill_is_a_colour(kind, fill) -> None:
    with pytest.raises(ValueError, match="fill must be one number, or one per channel"):
        kind(fill=fill)


def test_a_centre_far_outside_leaves_the_picture_nearly_whole(images) -> None:
    x = images(1, 1, 8, 8)
    found = GaussianMask(num_steps=5)(x, 1.0, {"center": torch.tensor([[500.0, -500.0]])})
    assert (found - x).abs().max() < 0.05


# --- what is spared --------------------------------------------------------------------------------------------------


def test_small_work_stays_on_one_thread_and_the_others_come_back() -> None:
    seen: list[int] = []

    class Counting(GaussianNoise):
        def degrade(self, x, s, params):
            seen.append(torch.get_num_threads())
            if bool(params["noise"].isnan().any()):
                raise ArithmeticError("no noise")
            return super().degrade(x, s, params)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        small, large = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 1024, 1024)
        for x in (small, large):
            op = Counting()
            op(x, 0.5, op.draw(x, seeded(0)))
        with pytest.raises(ArithmeticError):
            Counting()(small, 0.5, {"noise": small + torch.nan})
        assert seen == [1, 2, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_whoever_degrades_in_another_way_changes_in_another_way(images) -> None:
    class Quantised(GaussianBlur):
        def degrade(self, x, s, params):
            return (255 * super().degrade(x, s, params)).round() / 255

    x = images(2, 3, 8, 8)
    D = Quantised(sigma_max=3.0).bind(like=x)
    assert torch.equal(D.change(x, 0.7, 0.3), D(x, 0.3) - D(x, 0.7))


def test_a_hole_in_the_middle_serves_any_batch_and_needs_no_bind(images) -> None:
    op, x = GaussianMask(random_center=False), images(3, 1, 8, 8)
    D = op.bind(like=x)
    assert torch.equal(D(x[:2], 0.5), D(x, 0.5)[:2])
    moving = GaussianMask()
    params = moving.draw(x, seeded(0))
    half = torch.full((3, 1, 1, 1), 0.5, dtype=torch.float64)
    assert torch.equal(moving.degrade(x, half, params | moving.tables(x)), moving(x, 0.5, params))


def test_a_severity_on_a_level_is_that_level() -> None:
    s = torch.tensor([0.0, 0.3, 0.5, 0.55, 1.0], dtype=torch.float64).reshape(-1, 1, 1, 1)
    level, fraction = levels.level_at(s, 10)
    assert level.tolist() == [0, 3, 5, 5, 10]
    assert torch.allclose(fraction.flatten(), torch.tensor([0, 0, 0, 0.5, 0], dtype=torch.float64))
    assert torch.equal(levels.level_at(s.float(), 10)[0], level)
