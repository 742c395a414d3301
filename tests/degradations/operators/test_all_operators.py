"""What holds of all operators: sizes, times, what a restore recovers, what is refused."""

import math

import pytest
import torch
from support.comparing import distance
from support.operators import drawn

from colddiff import (
    ConstantSigma,
    Cosine,
    Desaturate,
    ExponentialSigma,
    IteratedBlur,
    Jpeg,
    JpegPillow,
    MotionBlur,
    Power,
    QuadraticBetas,
    Resolution,
    SaltAndPepper,
    bind_observed,
    improved,
    naive,
    one_shot,
)
from colddiff.degradations.blur_schedules import AccumulatingSigma, DecreasingSigma
from colddiff.degradations.operators.animorph import Animorph
from colddiff.degradations.operators.colour_mask import ColourMask
from colddiff.degradations.operators.fade import Fade
from colddiff.degradations.operators.gaussian_mask import GaussianMask
from colddiff.degradations.operators.snow import Snow
from colddiff.degradations.operators.spiral import Spiral
from colddiff.degradations.operators.widening_blur import WideningBlur


@pytest.mark.parametrize("op", [Desaturate(), MotionBlur(), Jpeg(), JpegPillow(), SaltAndPepper()], ids=str)
def test_a_single_pixel_will_do(op) -> None:
    x = torch.full((2, 3, 1, 1), 0.3)
    assert op(x, 0.5, op.draw(x)).shape == x.shape


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Desaturate(weights=(0.5, 0.5, 0.5)), "sum to 1"),
        (lambda: Desaturate(weights=(-0.5, 1, 0.5)), "numbers >= 0"),
        (lambda: Desaturate(weights=(math.nan, 1, 0)), "weights"),
        (lambda: MotionBlur(length=0), "length must be > 0 pixels"),
        (lambda: MotionBlur(angle=math.inf), "degrees"),
        (lambda: Jpeg(quality_min=0), "1 <= quality_min"),
        (lambda: Jpeg(quality_max=100), "quality_max <= 99"),
        (lambda: JpegPillow(quality_min=60, quality_max=50), "got 60.0 and 50.0"),
        (lambda: JpegPillow(subsampling="4:1:1"), "'4:2:0', '4:4:4'"),
        (lambda: SaltAndPepper(share=0), "share"),
        (lambda: SaltAndPepper(share=1.1), "share"),
    ],
)
def test_a_value_out_of_range_is_refused(build, words) -> None:
    with pytest.raises(ValueError, match=words):
        build()


MEAN = (1 / 3, 1 / 3, 1 / 3)


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


def test_a_user_s_mask_says_where_the_colour_is(images) -> None:
    op, x = ColourMask(num_steps=10), images(2, 3, 6, 6)
    mask = torch.zeros(2, 1, 6, 6, dtype=torch.bool)
    mask[..., :2] = True
    x = torch.where(mask, torch.tensor([0.3, 0.4, 0.6], dtype=torch.float64).view(1, 3, 1, 1), x)
    D = bind_observed(op, lambda x, t: x, x, 0.5, mask=mask, sampler=one_shot)
    assert distance(D.params["color"].flatten(1), torch.tensor([[0.3, 0.4, 0.6]] * 2, dtype=torch.float64)) < 1e-9


@pytest.mark.parametrize("op", [*HOLES, ColourMask(), Fade(), *DESATURATE], ids=str)
def test_every_image_has_its_own_time(op, images) -> None:
    x, t = images(5, 3, 6, 5), torch.tensor([0.0, 0.05, 0.37, 0.5, 1.0], dtype=torch.float64)
    params = drawn(op, x)
    together = op(x, t, params)
    for i in range(5):
        alone = op(x[i : i + 1], float(t[i]), {name: value[i : i + 1] for name, value in params.items()})
        assert (
            distance(together[i : i + 1], alone) < 1e-13
        )  # a colour mix of 20 steps: 180 products and sums of 2.2e-16


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


PAPER_EXAMPLES = [
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


@pytest.mark.parametrize("op", PAPER_EXAMPLES, ids=str)
@pytest.mark.parametrize("sampler", [naive, improved])
def test_a_perfect_restorer_is_recovered_over_all_levels(sampler, op, images) -> None:
    x = images(2, 3, 9, 8)
    D = op.bind({"target": images(2, 3, 9, 8, seed=1)} if op.required_params else op.draw(x), like=x)
    times = op.level_times().flip(0)
    *_, state = sampler(lambda x_t, t: x, D, D(x, times[0]), times)
    assert (state.x - x).abs().max() < 1e-10


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
