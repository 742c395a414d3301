"""Compose : what it computes, against a slow twin."""

import json
from itertools import pairwise

import pytest
import torch
from PIL import Image

from colddiff import (
    SAMPLERS,
    Claims,
    Compose,
    Degradation,
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    Interpolate,
    LinearBetas,
    OneOf,
    Pixelate,
    PixelMask,
    PixelNoise,
    Power,
    bind_observed,
    sample,
    time_grid,
)
from colddiff.apps.cli import main
from colddiff.samplers.unknown_params import default_sampler, restore
from colddiff.testing.reporting import seeded

NOISE = GaussianNoise(betas=LinearBetas(num_steps=10, beta_start=0.01, beta_end=0.4))


BLUR = GaussianBlur(sigma_max=2.0)


def never(x, t):
    raise AssertionError("the restorer must not be asked")


def test_the_first_part_is_applied_first(images):
    x = images(2, 3, 9, 8)
    for parts in ((BLUR, Pixelate()), (Pixelate(), BLUR)):
        first, second = parts
        assert torch.equal(Compose(parts=parts)(x, 0.7), second(first(x, 0.7), 0.7))
    assert not torch.allclose(Compose(parts=(BLUR, Pixelate()))(x, 0.7), Compose(parts=(Pixelate(), BLUR))(x, 0.7))


def test_the_schedule_of_the_whole_comes_before_that_of_each_part(images):
    x = images(2, 1, 8, 8)
    fast, slow = (GaussianBlur(sigma_max=2.0, schedule=Power(exponent=e)) for e in (0.5, 3.0))
    op = Compose(parts=(fast, slow), schedule=Power(exponent=2.0))
    expected = BLUR(BLUR(x, 0.25**0.5), 0.25**3)
    assert torch.allclose(op(x, 0.5), expected, atol=1e-14)


def test_parts_of_one_kind_have_params_of_their_own(images):
    x, op = images(2, 1, 8, 8), Compose(parts=(NOISE, PixelMask(), NOISE))
    params = op.draw(x, seeded(0))
    assert params.keys() == {"0.noise", "1.rank", "2.noise"}
    assert not torch.allclose(params["0.noise"], params["2.noise"])
    step = NOISE(x, 0.5, {"noise": params["0.noise"]})
    step = PixelMask()(step, 0.5, {"rank": params["1.rank"]})
    assert torch.equal(op(x, 0.5, params), NOISE(step, 0.5, {"noise": params["2.noise"]}))


def test_names_nest_and_reach_the_part_they_belong_to(images):
    x = images(2, 3, 8, 8)
    inner = Compose(parts=(PixelMask(), OneOf(options=(NOISE, Pixelate()))))
    op = Compose(parts=(BLUR, inner))
    params = op.draw(x, seeded(0))
    assert params.keys() == {"1.0.rank", "1.1.choice", "1.1.0.noise"}
    own = {name.removeprefix("1."): value for name, value in params.items()}
    assert torch.equal(op(x, 0.5, params), inner(BLUR(x, 0.5), 0.5, own))
    many = Compose(parts=(BLUR,) * 10 + (NOISE, PixelMask()))  # "1." is no prefix of "10." or "11."
    assert many.draw(x, seeded(0)).keys() == {"10.noise", "11.rank"}


def test_tables_of_parts_are_kept_apart_too(images):
    x = images(2, 1, 8, 8)
    small, large = (GaussianNoise(betas=LinearBetas(num_steps=4, beta_start=b, beta_end=b)) for b in (0.1, 0.5))
    op = Compose(parts=(small, large))
    params = op.draw(x, seeded(0))
    expected = large(small(x, 1.0, {"noise": params["0.noise"]}), 1.0, {"noise": params["1.noise"]})
    assert torch.equal(op(x, 1.0, params), expected)


def test_image_i_does_not_depend_on_its_batch(images):
    x, op = images(3, 3, 8, 8), Compose(parts=(PixelMask(), OneOf(options=(NOISE, BLUR, Pixelate()))))
    together = op.draw_each(x, [seeded(i) for i in range(3)])
    alone = op.draw_each(x[2:], [seeded(2)])
    assert all(torch.equal(together[name][2:], alone[name]) for name in alone)


def test_what_one_part_lacks_the_whole_does_not_claim():
    smooth = Claims.DIFFERENTIABLE | Claims.TRACEABLE
    assert Compose(parts=(BLUR, Pixelate())).claims & Claims.LINEAR
    assert Compose(parts=(BLUR, NOISE)).claims == smooth  # noise is affine, and may be blurred away
    assert Compose(parts=(BLUR, NOISE)).deterministic is False and Compose(parts=(BLUR,)).deterministic


def test_a_missing_endpoint_is_asked_for_by_the_name_of_its_part(images):
    x = images(2, 1, 6, 6)
    op = Compose(parts=(BLUR, Interpolate()))
    with pytest.raises(TypeError, match=r"needs the param '1\.endpoint'"):
        op(x, 1.0, {})
    assert torch.allclose(op(x, 1.0, {"1.endpoint": 1 - x}), 1 - x)


@pytest.mark.parametrize(("cls", "field"), [(Compose, "parts"), (OneOf, "options")])
def test_there_is_at_least_one_and_each_is_a_degradation(cls, field):
    with pytest.raises(ValueError, match=f"needs degradations in {field}"):
        cls(**{field: ()})
    with pytest.raises(LookupError, match="did you mean 'gaussian_blur'"):
        cls(**{field: ("gausian_blur",)})
    with pytest.raises(TypeError, match="must be Degradation, got 3"):
        cls(**{field: (3,)})


def test_a_config_of_degradations_survives_json():
    op = Compose(
        parts=(
            GaussianBlur(sigma_max=3.0, schedule=Power(exponent=3)),
            OneOf(options=(NOISE, Interpolate(to=Pixelate(), num_steps=3))),
        ),
        schedule=Power(exponent=0.5),
    )
    config = json.loads(json.dumps(op.to_config()))
    assert Degradation.from_config(config) == op and hash(Degradation.from_config(config)) == hash(op)
    assert Compose(parts=["gaussian_blur", {"type": "pixelate"}]) == Compose(parts=(GaussianBlur(), Pixelate()))


def test_the_noise_on_a_blurred_picture_is_estimated_from_the_blurred_answer(images):
    x0, op = images(3, 1, 8, 8), Compose(parts=(BLUR, NOISE), schedule=Power(exponent=2))
    params, t = op.draw(x0, seeded(0)), torch.tensor([0.3, 0.6, 1.0], dtype=torch.float64)
    D = bind_observed(op, lambda x, t: x0, op(x0, t, params), t)
    assert torch.allclose(D.params["1.noise"], params["1.noise"], atol=1e-9)


def test_ddim_through_a_blur_is_ddim_of_the_blurred_answer(images):
    """x_s = a_s B_s x0 + b_s z with z = (x_t - a_t B_t x0) / b_t, B the blur, in centred units."""
    x0, op = images(1, 1, 8, 8), Compose(parts=(BLUR, NOISE))
    ab = NOISE.betas.alpha_bars()
    x, times = images(1, 1, 8, 8, seed=1), time_grid(5, levels=NOISE.level_times())
    guesses = iter([x0 * k / 5 for k in range(5)])
    expected, remaining = 2 * x - 1, iter([x0 * k / 5 for k in range(5)])
    for t, s in pairwise(times):
        guess = next(remaining)
        at_t, at_s = (2 * BLUR(guess, float(time)) - 1 for time in (t, s))
        a_t, a_s = (ab[round(float(time) * 10)] for time in (t, s))
        z = (expected - a_t.sqrt() * at_t) / (1 - a_t).sqrt()
        expected = a_s.sqrt() * at_s + (1 - a_s).sqrt() * z
    D = op.bind_unknown(x)
    found = sample(lambda x, t: next(guesses), D, x, times=times, sampler="estimated")
    assert torch.allclose(2 * found - 1, expected, atol=1e-9)


def test_both_algorithms_coincide_where_the_last_part_is_estimated_anew(images):
    op, x = Compose(parts=(BLUR, NOISE)), images(2, 1, 8, 8)
    times = time_grid(4, levels=NOISE.level_times())

    def R(x, t):
        return 0.9 * x + 0.03

    x0 = R(x, times[0])
    D = op.bind_unknown(x).estimate(x, x0, times[0])
    by_naive, by_improved = D(x0, times[1]), x + D(x0, times[1]) - D(x0, times[0])
    assert torch.allclose(by_naive, by_improved, atol=1e-9)
    states = [*restore(R, op, x, times, sampler=SAMPLERS["estimated"])]
    assert torch.allclose(states[0].x, by_naive, atol=1e-9)


def test_the_suited_sampler_of_a_noisy_blur_is_ddim_and_ddpm_redraws_its_noise(images):
    op, x = Compose(parts=(BLUR, NOISE)), images(2, 1, 8, 8)
    assert default_sampler(op) == "estimated"
    D = op.bind(op.draw(x, seeded(0)), like=x)
    w = torch.randn(2, 1, 8, 8, generator=seeded(1), dtype=torch.float64)
    alone = NOISE.bind({"noise": D.params["1.noise"]}, like=x).refresh(0.8, 0.4, 1.0, w)
    assert torch.equal(D.refresh(0.8, 0.4, 1.0, w).params["1.noise"], alone.params["noise"])
    assert not torch.allclose(alone.params["noise"], D.params["1.noise"])


def test_missing_pixels_of_a_blurred_picture_are_read_off_it_at_the_severity_of_the_part(images):
    x0 = images(2, 1, 12, 12) * 0.4
    op = Compose(parts=(BLUR, PixelMask(fill=(1.0,))), schedule=Power(exponent=2))
    params = op.draw(x0, seeded(0))
    x_t = op(x0, 0.8, params)
    missing = params["1.rank"] < 0.64
    D = bind_observed(op, never, x_t, 0.8)
    assert torch.equal(D.params["1.rank"] < 0.64, missing) and torch.equal(D(x0, 0.8), x_t)
    known = bind_observed(op, never, torch.full_like(x0, 0.5), 0.8, mask=missing[:1])
    assert torch.equal(known.params["1.rank"] < 0.64, missing[:1].expand(2, -1, -1, -1))


def test_a_hole_under_a_schedule_is_found_at_the_severity_of_its_part():
    op = Compose(parts=(GaussianMask(num_steps=50, schedule=Power(exponent=2)),), schedule=Power(exponent=0.5))
    x0 = torch.linspace(0.6, 1, 24 * 20).reshape(1, 1, 24, 20).expand(1, 3, -1, -1)
    center = torch.tensor([[7.0, 11.0]])
    D = bind_observed(op, never, op(x0, 0.4, {"0.center": center}), 0.4)
    assert D.params["0.center"].tolist() == center.tolist()


@pytest.mark.parametrize(
    "op",
    [
        Compose(parts=(PixelMask(), NOISE)),
        Compose(parts=(NOISE, PixelMask())),
        Compose(parts=(NOISE, BLUR)),
        Compose(parts=(BLUR, PixelNoise())),
        Compose(parts=(OneOf(options=(BLUR,)), NOISE)),
        OneOf(options=(NOISE, PixelMask())),
    ],
    ids=["mask, noise", "noise, mask", "noise, blur", "blur, pixel noise", "one of, noise", "one of"],
)
def test_improved_is_refused_where_what_was_drawn_cannot_be_known(op, images):
    x = images(2, 3, 8, 8)
    assert default_sampler(op) == "naive"
    with pytest.raises(ValueError, match=f"{type(op).__name__} cannot read them off it: use one_shot or naive"):
        bind_observed(op, never, x, 1.0)
    D = bind_observed(op, never, x, 1.0, sampler=SAMPLERS["naive"], generator=seeded(3))
    drawn = op.draw(x, seeded(3))
    assert D.params.keys() == drawn.keys() and all(torch.equal(D.params[name], drawn[name].double()) for name in drawn)


def test_parts_without_randomness_need_nothing_known(images):
    op = Compose(parts=(BLUR, Pixelate()))
    assert bind_observed(op, never, images(1, 1, 8, 8), 1.0).params == {}
    assert default_sampler(op) == "improved"


PARTS = "[{type: gaussian_blur, sigma_max: 2}, {type: gaussian_noise, betas: {type: linear, num_steps: 10}}, pixelate]"


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    """A run that was trained on the command line to undo several degradations."""
    out = tmp_path_factory.mktemp("composed") / "run"
    args = ["--degradation", "compose", "--degradation.parts", PARTS, "--steps", "2", "--batch-size", "4"]
    args += ["--device", "cpu", "--out", str(out), "--restorer", "unet", "--restorer.width", "8"]
    assert main.main(["train", "digits", *args, "--restorer.multipliers", "[1]", "--restorer.blocks", "1"]) == 0
    return out


def test_parts_are_named_on_the_command_line(composed):
    parts = json.loads((composed / "config.json").read_text())["degradation"]["parts"]
    assert [part["type"] for part in parts] == ["gaussian_blur", "gaussian_noise", "pixelate"]
    assert parts[0]["sigma_max"] == 2.0 and parts[1]["betas"]["num_steps"] == 10


def test_a_run_of_several_restores_and_generates(composed, tmp_path):
    Image.new("L", (9, 7), 120).save(tmp_path / "picture.png")
    args = [str(composed), str(tmp_path / "picture.png"), "--out", str(tmp_path / "out"), "--steps", "2"]
    assert main.main(["restore", *args]) == 0 and (tmp_path / "out" / "picture.png").is_file()
    assert main.main(["sample", str(composed), "-n", "2", "--steps", "2", "--out", str(tmp_path / "new.png")]) == 0


def test_degrade_takes_one_of_several(tmp_path):
    Image.new("RGB", (9, 7), "red").save(tmp_path / "picture.png")
    args = ["--degradation", "one_of", "--degradation.options", "[pixelate, pixel_mask]", "--out"]
    assert main.main(["degrade", str(tmp_path / "picture.png"), *args, str(tmp_path / "strip.png")]) == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "parts"),
        (["--degradation.parts", "[]"], "compose needs degradations in parts, in their order: --degradation.parts"),
        (["--degradation.parts", "[gausian_blur]"], "did you mean 'gaussian_blur'"),
        (["--degradation.parts", "gaussian_blur"], "Compose.parts must be"),
        (["--degradation.parts", "[{type: gaussian_blur, sigma: 3}]"], "did you mean 'sigma_max'"),
        (["--degradation.parts", "[interpolate]"], "compose needs 0.endpoint from the data"),
    ],
)
def test_a_mistake_in_parts_ends_in_one_line(options, told, tmp_path, capsys):
    args = ["train", "digits", "--degradation", "compose", "--out", str(tmp_path / "run")]
    assert main.main([*args, *options]) == 2
    line = capsys.readouterr().err
    assert told in line and line.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_hole_in_the_middle_of_a_noisy_picture_is_restored(images):
    op, x0 = Compose(parts=(GaussianMask(random_center=False), GaussianNoise())), images(2, 3, 8, 8)
    x = op(x0, 0.5, op.draw(x0, torch.Generator().manual_seed(0)))
    times = torch.tensor([0.5, 0.2, 0.0], dtype=torch.float64)
    *_, last = restore(lambda x, t: x0, op, x, times, sampler=SAMPLERS["estimated"])
    assert torch.allclose(last.x, x0, atol=1e-6)
