"""What a restore may know of the damage, in order."""

import pytest
import torch
from torch import Tensor

from colddiff import (
    SAMPLERS,
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    Interpolate,
    LinearBetas,
    PixelMask,
    PixelNoise,
    bind_observed,
    improved,
    naive,
    sample,
    time_grid,
)
from colddiff.samplers.unknown_params import restore
from colddiff.testing.reporting import seeded


def structured(n: int = 4, h: int = 24, w: int = 20) -> Tensor:
    """Smooth pictures with no flat patch of the fill colour."""
    y, x = torch.linspace(0, 1, h)[:, None], torch.linspace(0, 1, w)[None]
    pictures = [
        torch.stack([0.9 - 0.3 * y * x, 0.1 + 0.2 * (y - x * i / n) ** 2, 0.8 + 0.1 * (9 * x).sin() * y.cos()])
        for i in range(n)
    ]
    return torch.stack(pictures)


def never(x: Tensor, t: Tensor) -> Tensor:
    raise AssertionError("the restorer must not be asked")


def test_a_deterministic_operator_needs_nothing() -> None:
    D = bind_observed(GaussianBlur(), never, structured(), 1.0)
    assert D.params == {}


def test_what_can_be_read_off_the_picture_is_read_off() -> None:
    x0, op = structured(), PixelMask(fill=(0.5,))
    params = op.draw(x0, seeded(0))
    x_t = op(x0, 0.6, params)
    D = bind_observed(op, never, x_t, 0.6)
    assert torch.equal(D.params["rank"] < 0.6, params["rank"] < 0.6)
    assert torch.equal(D(x0, 0.6), x_t)


def test_a_pixel_mask_comes_from_the_user_where_the_colour_says_nothing() -> None:
    x0 = torch.full((2, 1, 6, 5), 0.5)
    mask = torch.rand(2, 1, 6, 5, generator=seeded(0)) < 0.4
    for known in (mask, mask.float()):
        D = bind_observed(PixelMask(), never, x0, 0.4, mask=known)
        assert torch.equal(D.params["rank"] < 0.4, mask)
        assert bool((D.params["rank"] < 1).all())


def test_an_observed_pixel_mask_opens_gradually() -> None:
    op = PixelMask()
    D = bind_observed(op, never, torch.full((1, 1, 16, 16), 0.5), 1.0)
    shares = [float((D.params["rank"] < s).float().mean()) for s in (0.25, 0.5, 0.75)]
    assert shares == pytest.approx([0.25, 0.5, 0.75], abs=0.02)


@pytest.mark.parametrize(("t", "off"), [(0.1, 0), (0.3, 0), (0.6, 0), (1.0, 1)])
def test_a_gaussian_hole_is_found_where_it_is(t: float, off: int) -> None:
    x0, op = structured(), GaussianMask(num_steps=50)
    center = torch.tensor([[12.0, 10.0], [5.0, 4.0], [20.0, 15.0], [0.0, 19.0]])
    D = bind_observed(op, never, op(x0, t, {"center": center}), t)
    assert float((D.params["center"] - center).abs().max()) <= off


def test_a_gaussian_hole_may_be_given_as_a_mask() -> None:
    mask = torch.zeros(2, 1, 9, 9)
    mask[0, 0, 2:5, 4:7] = 1
    mask[1, 0, 8, 0] = 1
    D = bind_observed(GaussianMask(), never, structured(2, 9, 9), 0.5, mask=mask)
    assert D.params["center"].tolist() == [[3, 5], [8, 0]]


def test_a_mask_where_nothing_is_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="GaussianBlur has no missing pixels"):
        bind_observed(GaussianBlur(), never, structured(), 1.0, mask=torch.ones(4, 1, 24, 20))


def test_noise_is_estimated_after_one_restorer_call() -> None:
    x0, op = structured(), GaussianNoise(betas=LinearBetas(num_steps=50, beta_end=0.2))
    params, calls = op.draw(x0, seeded(0)), []
    D = bind_observed(op, lambda x, t: calls.append(t.tolist()) or x0, op(x0, 0.5, params), 0.5)
    assert calls == [[0.5] * 4]
    assert torch.allclose(D.params["noise"], params["noise"], atol=1e-4)


def test_the_endpoint_of_an_interpolation_is_the_picture_itself() -> None:
    x_t = structured()
    D = bind_observed(Interpolate(), lambda x, t: x * 0.5, x_t, 1.0)
    assert torch.allclose(D.params["endpoint"], x_t)


def test_improved_is_refused_where_nothing_can_be_known() -> None:
    with pytest.raises(ValueError, match=r"PixelNoise cannot read them off it: use one_shot or naive"):
        bind_observed(PixelNoise(), never, structured(), 1.0, sampler=improved)


def test_other_samplers_get_a_fresh_draw() -> None:
    D = bind_observed(PixelNoise(), never, structured(), 1.0, sampler=naive, generator=seeded(3))
    assert torch.equal(D.params["noise"], PixelNoise().draw(structured(), seeded(3))["noise"])


def test_an_image_may_have_its_own_time() -> None:
    x0, op, t = structured(), GaussianMask(num_steps=50), torch.tensor([0.3, 0.5, 0.7, 0.1])
    center = torch.tensor([[12.0, 10.0], [5.0, 4.0], [20.0, 15.0], [10.0, 9.0]])
    D = bind_observed(op, never, op(x0, t, {"center": center}), t)
    assert D.params["center"].tolist() == center.tolist()


def test_observed_pixels_survive_a_restore() -> None:
    x0, op = structured(), PixelMask()
    params = op.draw(x0, seeded(0))
    x_t = op(x0, 0.6, params)
    D = bind_observed(op, never, x_t, 0.6)
    restored = sample(lambda x, t: torch.zeros_like(x), D, x_t, steps=6, start=0.6)
    seen = (params["rank"] >= 0.6).expand_as(x0)
    assert torch.equal(restored[seen], x0[seen])


def test_nothing_is_recorded_for_gradients() -> None:
    x = structured().requires_grad_()
    D = bind_observed(Interpolate(), lambda x, t: x * 0.5, x, 1.0)
    assert not D.params["endpoint"].requires_grad


@pytest.mark.parametrize(("name", "calls"), [("one_shot", 1), ("naive", 4), ("improved", 4), ("estimated", 4)])
def test_an_estimate_costs_no_call_of_its_own(name: str, calls: int) -> None:
    op, asked = GaussianNoise(betas=LinearBetas(num_steps=8, beta_start=0.01, beta_end=0.3)), []
    x_t = torch.rand(2, 1, 6, 6, generator=seeded(0), dtype=torch.float64)

    def R(x: Tensor, t: Tensor) -> Tensor:
        asked.append(t)
        return x / 2

    states = [*restore(R, op, x_t, time_grid(4, levels=op.level_times()), sampler=SAMPLERS[name])]
    assert len(asked) == calls and states[-1].x.shape == x_t.shape


def test_a_sampler_that_estimates_is_refused_where_nothing_can_be_estimated() -> None:
    x_t = structured()
    with pytest.raises(ValueError, match="GaussianMask does not allow: use improved"):
        bind_observed(GaussianMask(), never, x_t, 1.0, sampler=SAMPLERS["estimated"])


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.zeros(4, 1, 24, 20), "marks nothing as missing"),
        (torch.ones(4, 1, 8, 8), r"expected a mask \(4, 1, 24, 20\)"),
        (torch.ones(3, 1, 24, 20), "expected a mask"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bind_observed(PixelMask(), never, structured(), 0.5, mask=mask)


def test_one_mask_serves_all_pictures_wherever_they_are() -> None:
    mask = torch.zeros(1, 1, 24, 20)
    mask[..., 4:9, 5:8] = 1
    for op in (PixelMask(), GaussianMask()):
        assert all(len(p) == 4 for p in bind_observed(op, never, structured(), 0.5, mask=mask).params.values())
    x = structured()
    assert torch.equal(
        bind_observed(GaussianMask(), never, x, 0.5, mask=mask).params["center"][0], torch.tensor([6, 6])
    )


def test_a_centred_mask_is_known_without_a_look() -> None:
    op = GaussianMask(random_center=False, fill=(0.0,))
    x0 = structured()
    assert torch.equal(bind_observed(op, never, op(x0, 0.3), 0.3)(x0, 0.3), op(x0, 0.3))


def test_pixels_seen_in_bf16_stay_seen() -> None:
    op, x0 = PixelMask(), torch.full((1, 1, 40, 40), 0.9, dtype=torch.bfloat16)
    params = op.draw(x0, seeded(0))
    D = bind_observed(op, never, op(x0, 0.7, params), 0.7)
    assert torch.equal(D(x0, 0.7), op(x0, 0.7, params))
