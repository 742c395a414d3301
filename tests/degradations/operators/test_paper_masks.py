"""What the paper's code masks and fades: every closed form against its steps, and what Algorithm 2 keeps of them."""

import math

import pytest
import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from torch import Tensor

from colddiff import Claims, Degradation, Power, bind_observed, improved, naive, one_shot
from colddiff.degradations.families import radial
from colddiff.degradations.operators.colour_mask import ColourMask
from colddiff.degradations.operators.desaturate import Desaturate
from colddiff.degradations.operators.fade import Fade
from colddiff.degradations.operators.gaussian_mask import GaussianMask
from colddiff.degradations.operators.spiral import Spiral, spiral_order

MEAN = (1 / 3, 1 / 3, 1 / 3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def drawn(op: Degradation, x: Tensor) -> dict[str, Tensor]:
    return op.draw(x, seeded(0))


def kept_by_steps(op: GaussianMask | ColourMask, sigmas: list[float], h: int, w: int) -> list[Tensor]:
    """prod_{i < k} z_i for k = 0 .. T around the middle, one step after another."""
    rows, columns = torch.arange(h).double()[:, None] - (h // 2 - 1), torch.arange(w).double()[None] - (w // 2 - 1)
    kept = [torch.ones(h, w, dtype=torch.float64)]
    for sigma in sigmas:
        kept.append(kept[-1] * (1 - torch.exp(-(rows**2 + columns**2) / (2 * sigma**2))))
    return kept


# --- holes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 8), (9, 5), (1, 1), (2, 7)])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_colour_mask_is_the_product_of_its_steps(reverse, size, images) -> None:
    op = ColourMask(num_steps=7, kernel_std=0.4, initial_mask=2, reverse=reverse)
    x = images(2, 3, *size)
    params = drawn(op, x)
    kept = kept_by_steps(op, [0.4 * (i + 2) for i in range(7)], *size)
    for k in range(1, 8):
        alpha = 1 - kept[7 - k] if reverse else kept[k]
        assert distance(op(x, k / 7, params), alpha * x + (1 - alpha) * params["color"]) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_reversed_colour_mask_ends_in_the_colour_and_takes_the_border_first(dtype, images) -> None:
    op = ColourMask(num_steps=30, kernel_std=0.2)
    x = images(2, 3, 16, 16, dtype=dtype)
    D = op.bind(drawn(op, x), like=x)
    assert torch.equal(D(x, 1.0), D.params["color"].expand_as(x))
    gone = ((D(x, 0.5) - x) / (D.params["color"] - x))[:, 0]
    assert bool((gone[:, 0, 0] > 0.9).all()) and bool((gone[:, 7, 7].abs() < 1e-6).all())


def test_a_colour_is_drawn_for_every_image_and_channel(images) -> None:
    color = drawn(ColourMask(), images(500, 3, 1, 1))["color"]
    assert color.shape == (500, 3, 1, 1)
    assert 0.25 <= float(color.min()) < 0.26 and 0.74 < float(color.max()) < 0.75
    assert torch.equal(drawn(ColourMask(low=0.3, high=0.3), color)["color"], torch.full_like(color, 0.3))


def test_a_hole_that_does_not_grow_is_the_power_of_its_one_step(images) -> None:
    x = images(1, 1, 9, 9)
    for initial in (1, 11):
        op = GaussianMask(num_steps=6, kernel_std=1.7, initial_mask=initial, random_center=False, growing=False)
        kept = kept_by_steps(op, [1.7], 9, 9)[1]
        for k in (1, 3, 6):
            assert distance(op(x, k / 6), 0.5 + kept**k * (x - 0.5)) < 1e-12


@pytest.mark.parametrize(
    ("op", "other"),
    [
        (ColourMask(num_steps=11, kernel_std=0.3), ColourMask(num_steps=11, kernel_std=0.3, low=0.2)),
        (
            ColourMask(num_steps=11, kernel_std=0.3, reverse=False),
            ColourMask(num_steps=11, kernel_std=0.3, reverse=False, low=0.2),
        ),
        (GaussianMask(num_steps=11), GaussianMask(num_steps=11, fill=(0.5, 0.5, 0.5))),
    ],
    ids=["inwards", "outwards", "anywhere"],
)
def test_a_hole_without_a_table_is_the_same(op, other, images, monkeypatch) -> None:
    x, t = images(5, 3, 10, 7), torch.tensor([0.0, 0.013, 0.5, 7 / 11, 1.0])
    params = drawn(op, x)
    expected = op(x, t, params)
    monkeypatch.setattr(radial, "LARGEST_TABLE", 0)  # the other is the same to D, and not in the cache
    assert "gone" not in other.tables(x) and "gone" in op.bind(params, like=x).tables
    assert distance(other(x, t, params), expected) < 1e-12


@pytest.mark.parametrize("largest", [0, radial.LARGEST_TABLE])
def test_a_graph_may_hold_the_tables_of_a_hole_or_do_without(largest, images, monkeypatch) -> None:
    op, x, t = ColourMask(num_steps=3, kernel_std=0.3), images(2, 3, 5, 4), torch.tensor([0.3, 1.0])
    params = drawn(op, x)
    expected = op(x, t, params)
    monkeypatch.setattr(radial, "LARGEST_TABLE", largest)
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, t: op(x, t, params), fullgraph=True, backend="eager")
    assert distance(compiled(x, t), expected) < 1e-12
    torch._dynamo.reset()


def test_the_paper_s_750_masks_at_128_pixels_fit_a_table(images) -> None:
    like = images(1, 1, 128, 128, dtype=torch.float32)
    assert ColourMask().tables(like)["gone"].shape == (751, 1621)
    moving = GaussianMask(num_steps=1).tables(like)
    assert 751 * len(moving["radii"]) < radial.LARGEST_TABLE < 751 * (128**2 + 128**2 + 1)


def test_a_pixel_finds_its_distance_from_every_centre() -> None:
    like = torch.zeros(1, 1, 4, 6)
    tables = GaussianMask(num_steps=1).tables(like)
    rows, columns = torch.arange(4).view(1, 4, 1), torch.arange(6).view(1, 1, 6)
    for center in [(r, c) for r in range(-1, 4) for c in range(-1, 6)] + [(90, -90), (-90, 90)]:
        place = torch.tensor([center])
        r2 = tables["radii"][radial.ranks_around(place, like, tables["ranks"])][:, 0]
        expected = (rows - center[0]).abs().clamp(max=4) ** 2 + (columns - center[1]).abs().clamp(max=6) ** 2
        assert torch.equal(r2.long(), expected), center


# --- the spiral ------------------------------------------------------------------------------------------------------


def walked(h: int, w: int) -> list[tuple[int, int]]:
    """The pixels in the order of a walk right 1, down 1, left 2, up 2, right 3 .., those outside left out."""
    row, column, found = (h - 1) // 2, (w - 1) // 2, [((h - 1) // 2, (w - 1) // 2)]
    for leg in range(2 * max(h, w) + 2):
        dy, dx = [(0, 1), (1, 0), (0, -1), (-1, 0)][leg % 4]
        for _ in range(leg // 2 + 1):
            row, column = row + dy, column + dx
            if 0 <= row < h and 0 <= column < w:
                found.append((row, column))
    return found


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 1), (4, 4), (5, 5), (3, 8), (9, 4), (32, 32)])
def test_the_spiral_is_walked_pixel_by_pixel(size) -> None:
    order = spiral_order(*size)
    assert [divmod(int(i), size[1]) for i in order.flatten().argsort()] == walked(*size)
    assert sorted(order.flatten().tolist()) == list(range(size[0] * size[1]))


@pytest.mark.parametrize(("size", "num_steps"), [((4, 4), 16), ((5, 3), 4), ((1, 1), 3), ((3, 3), 100)])
def test_level_k_of_a_spiral_has_lost_its_share_of_the_pixels(size, num_steps) -> None:
    op, x = Spiral(num_steps=num_steps, fill=(1.0,)), torch.zeros(1, 2, *size)
    D = op.bind(like=x)
    for k in range(num_steps + 1):
        count = math.floor(k * size[0] * size[1] / num_steps + 0.5)
        expected = x.clone()
        for row, column in walked(*size)[:count]:
            expected[:, :, row, column] = 1
        assert torch.equal(D(x, k / num_steps), expected), k


def test_a_random_fill_is_one_light_colour_per_image() -> None:
    op, x = Spiral(num_steps=4, random_fill=True), torch.zeros(500, 3, 2, 2)
    params = drawn(op, x)
    assert params["color"].shape == (500, 3, 1, 1)
    assert 0.5 <= float(params["color"].min()) < 0.51 and 0.99 < float(params["color"].max()) < 1
    assert torch.equal(op(x, 1.0, params), params["color"].expand_as(x))


# --- fading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("growing", [False, True])
def test_fading_is_done_step_by_step(growing, images) -> None:
    op, x = Fade(num_steps=8, rate=0.15, growing=growing, fill=(0.2,)), images(2, 1, 3, 4)
    faded = x - 0.2
    for i in range(8):
        faded = faded * max(0.0, 1 - (0.15 * (i + 1) if growing else 0.15))
        assert distance(op(x, (i + 1) / 8), faded + 0.2) < 1e-14


@pytest.mark.parametrize(
    ("op", "prior"),
    [
        (Fade(), "constant"),
        (Fade(num_steps=3), None),
        (Fade(growing=False), None),
        (ColourMask(), "constant"),
        (ColourMask(num_steps=5, reverse=False), None),
        (Spiral(), "constant"),
    ],
    ids=str,
)
def test_a_chain_has_a_prior_where_its_end_tells_nothing_of_the_picture(op, prior, images) -> None:
    x, other = images(1, 3, 6, 6), images(1, 3, 6, 6, seed=1)
    D = op.bind(drawn(op, x), like=x)
    assert op.prior == prior
    assert torch.equal(D(x, 1.0), D(other, 1.0)) == (prior is not None)


# --- colours ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "kept"),
    [
        (Desaturate(weights=MEAN, num_steps=20), [(19 - i) / (20 - i) for i in range(20)]),
        (Desaturate(weights=MEAN, num_steps=20, keep=0.9), [0.9] * 19 + [0.0]),
        (Desaturate(weights=MEAN, num_steps=20, keep=0.9, total_removal=False), [0.9] * 20),
    ],
    ids=["linear", "constant", "constant, not all"],
)
def test_decolorization_is_done_step_by_step(op, kept, images) -> None:
    x = images(2, 3, 4, 5)
    y = x
    for i, a in enumerate(kept):
        y = a * y + (1 - a) * y.mean(dim=1, keepdim=True)
        assert distance(op(x, (i + 1) / 20), y) < 1e-14


def test_decolorization_in_lab_goes_there_and_back_at_every_step(images) -> None:
    op, x = Desaturate(weights=MEAN, num_steps=5, keep=0.9, lab=True), images(2, 3, 4, 5)
    lab = rgb_to_lab(x)
    for k, a in enumerate([0.9, 0.9, 0.9, 0.9, 0.0], 1):
        rgb = lab_to_rgb(lab)
        lab = rgb_to_lab(a * rgb + (1 - a) * rgb.mean(dim=1, keepdim=True))
        assert distance(op(x, k / 5), lab_to_rgb(lab)) < 1e-6


@pytest.mark.parametrize("num_steps", [None, 4])
def test_lab_clips_what_is_no_colour_and_leaves_gradients_finite(num_steps) -> None:
    op = Desaturate(num_steps=num_steps, lab=True)
    x = torch.tensor([1.4, 0.5, -0.3], dtype=torch.float64).view(1, 3, 1, 1).repeat(2, 1, 2, 2).requires_grad_()
    inside = x.detach().clamp(0, 1)
    y = op(x, torch.tensor([0.0, 0.5]))
    y.sum().backward()
    assert x.grad is not None and bool(x.grad.isfinite().all())
    y = y.detach()
    assert torch.equal(y[0], x[0]) and distance(y[1], op(inside, 0.5)[1]) < 1e-15
    assert distance(y[1], Desaturate()(inside, 0.5)[1]) < 1e-6
    D, x = op.bind(like=inside), x.detach()
    assert distance(D.change(x, 0.5, 0.0), x - D(x, 0.5)) < 1e-15


def test_lab_promises_less() -> None:
    assert Claims.LINEAR in Desaturate().claims and Claims.DIFFERENTIABLE in Desaturate().claims
    assert not Desaturate(lab=True).claims & (Claims.LINEAR | Claims.DIFFERENTIABLE | Claims.POINTWISE)


# --- what Algorithm 2 keeps ------------------------------------------------------------------------------------------


DESATURATE = [
    Desaturate(weights=MEAN, num_steps=20),
    Desaturate(weights=MEAN, num_steps=6, keep=0.9),
    Desaturate(num_steps=6, keep=0.5, total_removal=False, schedule=Power()),
    Desaturate(lab=True),
    Desaturate(weights=MEAN, num_steps=5, keep=0.9, lab=True),
]
HOLES = [
    GaussianMask(num_steps=6, kernel_std=0.02, initial_mask=1),
    GaussianMask(num_steps=6, kernel_std=0.1, growing=False),
    ColourMask(num_steps=6, kernel_std=0.02, reverse=False),
    Spiral(num_steps=10),
    Spiral(num_steps=10, random_fill=True),
]


@pytest.mark.parametrize("op", HOLES, ids=str)
def test_algorithm_2_never_changes_a_pixel_that_is_seen_and_algorithm_1_does(op, images) -> None:
    x, wrong = images(2, 3, 9, 8), images(2, 3, 9, 8, seed=1)
    D = op.bind(drawn(op, x), like=x)
    start = torch.tensor([4 / op.num_steps, 1 / op.num_steps, 0.0], dtype=torch.float64)
    x_t = D(x, start[0])
    seen = (x_t == x) & (D(wrong, start[0]) == wrong)
    assert 0.2 < float(seen.double().mean()) < 1
    for state in improved(lambda x, t: wrong, D, x_t, start):
        assert torch.equal(state.x[seen], x[seen])
    *_, end = naive(lambda x, t: wrong, D, x_t, start)
    assert bool((end.x[seen] != x[seen]).all())


def test_the_middle_of_a_reversed_colour_mask_is_seen_until_the_end(images) -> None:
    op, x, wrong = ColourMask(num_steps=8, kernel_std=0.3), images(1, 3, 9, 9), images(1, 3, 9, 9, seed=1)
    D = op.bind(drawn(op, x), like=x)
    times = torch.tensor([7 / 8, 0.5, 0.0], dtype=torch.float64)
    for sampler, kept in ((improved, x), (naive, wrong)):
        *_, end = sampler(lambda x, t: wrong, D, D(x, times[0]), times)
        assert torch.equal(end.x[..., 3, 3], kept[..., 3, 3])


@pytest.mark.parametrize(
    "op",
    [Desaturate(weights=MEAN, num_steps=20), Desaturate(weights=MEAN, num_steps=20, keep=0.9, total_removal=False)],
    ids=str,
)
def test_algorithm_2_keeps_the_channel_mean_of_every_pixel_and_algorithm_1_does_not(op, images) -> None:
    x, wrong = images(1, 3, 5, 4), images(1, 3, 5, 4, seed=1)
    D = op.bind(like=x)
    times = torch.tensor([1.0, 0.6, 0.15, 0.0], dtype=torch.float64)
    for sampler, error in ((improved, 0.0), (naive, distance(wrong.mean(dim=1), x.mean(dim=1)))):
        *_, end = sampler(lambda x, t: wrong, D, D(x, 1.0), times)
        assert abs(distance(end.x.mean(dim=1), x.mean(dim=1)) - error) < 1e-14


@pytest.mark.parametrize("sampler", [naive, improved])
@pytest.mark.parametrize(
    "op",
    [*HOLES, ColourMask(num_steps=12), Fade(), *DESATURATE],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_a_perfect_restorer_is_recovered_level_by_level(op, sampler, images) -> None:
    x = images(2, 3, 6, 5)
    D = op.bind(drawn(op, x), like=x)
    times = op.level_times()
    times = torch.linspace(0, 1, 6, dtype=torch.float64) if times is None else times
    *_, end = sampler(lambda x_t, t: x, D, D(x, times[-1]), times.flip(0))
    assert distance(end.x, x) < 1e-12


# --- what can be read off the picture --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "op",
    [ColourMask(num_steps=60, kernel_std=0.05), ColourMask(num_steps=60, reverse=False), Spiral(random_fill=True)],
    ids=str,
)
def test_the_colour_of_what_is_gone_is_read_off_the_picture(op, images) -> None:
    x = images(3, 3, 16, 16)
    params = drawn(op, x)
    for t, error in ((1.0, 1e-4), (0.6, 1e-2), (0.3, 1e-2)):
        D = bind_observed(op, lambda x, t: x, op(x, t, params), t)
        assert distance(D.params["color"], params["color"]) < error, t


def test_the_centre_of_a_hole_is_read_off_the_picture(images) -> None:
    op, x = GaussianMask(num_steps=20, kernel_std=2.0, growing=False), images(4, 3, 24, 20)
    params = drawn(op, x)
    for t in (torch.full((4,), 0.5), torch.tensor([0.2, 0.5, 0.7, 1.0])):
        assert torch.equal(op.observe(op(x, t, params), t)["center"], params["center"])


def test_a_user_s_mask_says_where_the_colour_is(images) -> None:
    op, x = ColourMask(num_steps=10), images(2, 3, 6, 6)
    mask = torch.zeros(2, 1, 6, 6, dtype=torch.bool)
    mask[..., :2] = True
    x = torch.where(mask, torch.tensor([0.3, 0.4, 0.6], dtype=torch.float64).view(1, 3, 1, 1), x)
    D = bind_observed(op, lambda x, t: x, x, 0.5, mask=mask, sampler=one_shot)
    assert distance(D.params["color"].flatten(1), torch.tensor([0.3, 0.4, 0.6], dtype=torch.float64)) < 1e-9


def test_a_spiral_of_a_given_colour_has_nothing_to_find(images) -> None:
    x = images(1, 3, 4, 4)
    assert Spiral().observe(x, torch.tensor([0.5])) == {} and Spiral().deterministic


# --- times and fields ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [*HOLES, ColourMask(), Fade(), *DESATURATE], ids=str)
def test_every_image_has_its_own_time(op, images) -> None:
    x, t = images(5, 3, 6, 5), torch.tensor([0.0, 0.05, 0.37, 0.5, 1.0], dtype=torch.float64)
    params = drawn(op, x)
    together = op(x, t, params)
    for i in range(5):
        alone = op(x[i : i + 1], float(t[i]), {name: value[i : i + 1] for name, value in params.items()})
        assert distance(together[i : i + 1], alone) < 1e-14


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ColourMask(low=0.6, high=0.5), "low <= high"),
        (lambda: ColourMask(high=1.5), "low <= high"),
        (lambda: ColourMask(num_steps=0), "num_steps"),
        (lambda: ColourMask(kernel_std=0.0), "kernel_std"),
        (lambda: Spiral(num_steps=0), "num_steps"),
        (lambda: Spiral(fill=(2.0,)), "fill"),
        (lambda: Fade(num_steps=0), "num_steps"),
        (lambda: Fade(rate=0.0), "rate must be in"),
        (lambda: Fade(rate=math.nan), "rate must be in"),
        (lambda: Fade(fill=()), "fill"),
        (lambda: Desaturate(num_steps=0), "num_steps"),
        (lambda: Desaturate(keep=0.9), "with num_steps given"),
        (lambda: Desaturate(num_steps=3, keep=1.0), "keep must be in"),
    ],
)
def test_fields_out_of_range_are_refused(make, words) -> None:
    with pytest.raises(ValueError, match=words):
        make()
