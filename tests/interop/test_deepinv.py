"""Degradations in deepinv and physics of deepinv here: the same images on both sides."""

from dataclasses import replace

import pytest
import torch
from support import tiny
from support.comparing import seeded
from support.optional_packages import beside
from torch import Tensor
from torch.utils.data import DataLoader

import colddiff as cd
from colddiff.models.recommended import Recommended, Setting
from colddiff.models.run import Run
from colddiff.testing import check_degradation

deepinv = beside("deepinv")


from colddiff.interop.deepinv import as_denoiser, as_physics, as_reconstructor, from_physics  # noqa: E402
from colddiff.interop.deepinv.physics import as_generator  # noqa: E402

LINEAR = {
    "gaussian blur": cd.GaussianBlur(sigma_max=2.0),
    "iterated blur": cd.IteratedBlur(),
    "pixelation": cd.Pixelate(),
    "resolution": cd.Resolution(),
    "motion blur": cd.MotionBlur(),
    "greying": cd.Desaturate(),
}
OTHERS = {"mask": cd.GaussianMask(), "noise": cd.GaussianNoise(), "snow": cd.Snow(), "spiral": cd.Spiral()}


@pytest.fixture(scope="module")
def clean(digits: Run) -> Tensor:
    return digits.sample(2, steps=4)


# --- a degradation as physics ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*LINEAR, *OTHERS])
def test_the_physics_of_a_degradation_makes_its_images(name: str, images) -> None:
    op, x, t = (LINEAR | OTHERS)[name], images(3, 3, 16, 16, dtype=torch.float32), torch.tensor([0.2, 0.5, 1.0])
    params = op.draw(x, seeded(0))
    physics = as_physics(op, t, params=params)
    assert isinstance(physics, deepinv.physics.Physics)
    assert isinstance(physics, deepinv.physics.LinearPhysics) == (name in LINEAR)
    assert torch.equal(physics(x), op(x, t, params)) and torch.equal(physics.A(x), physics(x))


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_one_passes_the_test_of_adjoints(name: str, images) -> None:
    op, x = LINEAR[name], images(1, 3, 16, 16)
    physics = as_physics(op, 0.7, params=op.draw(x, seeded(0)))
    assert float(physics.adjointness_test(x, num_samples=4)) < 1e-12


def test_deepinv_solves_with_the_adjoint(images) -> None:
    x = images(2, 1, 12, 12)
    physics = as_physics(cd.GaussianBlur(sigma_max=0.5), 1.0)
    assert (physics(x) - x).abs().max() > 0.1
    assert torch.allclose(physics.A_dagger(physics(x), max_iter=100, tol=1e-10), x, atol=1e-4)


def test_parameters_are_updated_as_everywhere_in_deepinv(images) -> None:
    op, x = cd.MotionBlur(), images(2, 1, 12, 12)
    one, other = op.draw(x, seeded(0)), op.draw(x, seeded(1))
    physics = as_physics(op, 1.0, params=one)
    assert torch.equal(physics(x, t=torch.tensor(0.5), sigma=0.1), op(x, 0.5, one))
    assert torch.equal(physics(x), op(x, 0.5, one)), "what is passed with an image stays"
    physics.update(t=1.0, **other)
    assert torch.equal(physics(x), op(x, 1.0, other)) and not torch.equal(physics(x), op(x, 1.0, one))
    physics.clone().update(t=0.0)
    assert torch.equal(physics(x), op(x, 1.0, other)), "a clone is another"


def test_params_of_one_image_serve_any_number(images) -> None:
    op, x = cd.MotionBlur(), images(3, 1, 12, 12)
    params = op.draw(x[:1], seeded(0))
    every = {name: value.expand(3, *value.shape[1:]) for name, value in params.items()}
    assert torch.equal(as_physics(op, 1.0, params=params)(x), op(x, 1.0, every))


def test_a_generator_draws_times_and_params_for_a_batch() -> None:
    op = cd.MotionBlur()
    generator = as_generator(op, (1, 12, 12), t=(0.2, 0.4))
    drawn = generator.step(5, seed=3)
    assert all(torch.equal(value, generator.step(5, seed=3)[name]) for name, value in drawn.items())
    assert not torch.equal(generator.step(5)["t"], drawn["t"])
    assert 0.2 <= float(drawn["t"].min()) < float(drawn["t"].max()) <= 0.4
    physics = as_physics(op, params=op.draw(torch.zeros(1, 1, 12, 12), seeded(0)))
    x = torch.rand(5, 1, 12, 12, generator=seeded(0))
    time = drawn.pop("t")
    assert torch.equal(physics(x, t=time, **drawn), op(x, time, drawn))


def test_noise_of_deepinv_comes_after_the_degradation(images) -> None:
    x, physics = images(1, 1, 8, 8, dtype=torch.float32), as_physics(cd.GaussianBlur(), 1.0)
    physics.set_noise_model(deepinv.physics.GaussianNoise(sigma=0.1, rng=seeded(0)))
    assert 0.05 < float((physics(x) - physics.A(x)).std()) < 0.2


def test_a_random_degradation_asks_for_its_params() -> None:
    with pytest.raises(TypeError, match=r"MotionBlur is random: pass params=motionblur.draw"):
        as_physics(cd.MotionBlur(), 1.0)


# --- physics as a degradation ----------------------------------------------------------------------------------------


def test_a_degradation_comes_back_through_its_physics(images) -> None:
    op, x = cd.GaussianBlur(sigma_max=2.0), images(3, 1, 12, 12)
    back, t = from_physics(as_physics(op), schedule=lambda s: {"t": s}), torch.tensor([0.0, 0.4, 1.0])
    assert torch.equal(back(x, t)[0], x[0])
    assert torch.allclose(back(x, t), op(x, t), atol=1e-5) and back.deterministic


def gaussian(sigma: float) -> Tensor:
    kernel: Tensor = deepinv.physics.functional.gaussian_blur(sigma=sigma)
    return kernel.reshape(1, 1, *kernel.shape[-2:])


def blur_of_deepinv(sigma: float = 1.0):
    return deepinv.physics.Blur(filter=gaussian(sigma), padding="circular")


def test_a_schedule_gives_parameters_and_the_physics_stays_as_it_was(images) -> None:
    physics, x = blur_of_deepinv(), images(2, 1, 16, 16, dtype=torch.float32)
    before = physics.filter.clone()
    op, t = from_physics(physics, schedule=lambda s: {"filter": gaussian(0.3 + s)}), torch.tensor([0.5, 1.0])
    expected = torch.cat([blur_of_deepinv(0.8).A(x[:1]), blur_of_deepinv(1.3).A(x[1:])])
    assert torch.allclose(op(x, t), expected, atol=1e-5)
    assert torch.equal(physics.filter, before)


def test_without_a_schedule_it_is_the_straight_line_to_the_physics(images) -> None:
    physics, x = blur_of_deepinv(), images(2, 1, 16, 16, dtype=torch.float32)
    op = from_physics(physics)
    assert torch.allclose(op(x, 0.25), torch.lerp(x, physics.A(x), 0.25), atol=1e-6)
    assert torch.equal(op(x, 0.0), x) and op.claims == cd.Claims.LINEAR | cd.Claims.DIFFERENTIABLE
    y = op(x, 1.0)
    physics.update_parameters(filter=torch.zeros_like(physics.filter))
    assert torch.equal(op(x, 1.0), y), "a degradation is a value"


def test_what_is_claimed_of_a_linear_physics_holds() -> None:
    check_degradation(from_physics(blur_of_deepinv(0.3), name="blur_of_deepinv"))


def test_a_generator_of_deepinv_is_asked_once_for_a_trajectory(images) -> None:
    generator = deepinv.physics.generator.MotionBlurGenerator(psf_size=(5, 5))
    op, x = from_physics(blur_of_deepinv(), generator=generator), images(2, 1, 16, 16, dtype=torch.float32)
    params = op.draw(x, seeded(0))
    assert torch.equal(params["filter"], op.draw(x, seeded(0))["filter"])
    assert not torch.equal(params["filter"][0], params["filter"][1])
    for i in range(2):
        expected = blur_of_deepinv().A(x[i : i + 1], filter=params["filter"][i : i + 1])
        assert torch.allclose(op(x, 1.0, params)[i], expected[0], atol=1e-6)


def test_parameters_are_where_the_image_is() -> None:
    seen: list[str] = []

    class Watched(deepinv.physics.Physics):
        def A(self, x: Tensor, **parameters: Tensor) -> Tensor:
            seen.extend(f"{name} {value.device} {tuple(value.shape)}" for name, value in parameters.items())
            return x

    op = from_physics(Watched(), schedule=lambda s: {"sigma": 3 * s, "filter": torch.ones(1, 1, 3, 3)})
    type(op).fn(torch.empty(1, 4, 4, device="meta"), 0.5, angle=2.0, shift=torch.zeros(2))
    assert seen == ["angle meta (1,)", "shift meta (1, 2)", "sigma meta (1,)", "filter meta (1, 1, 3, 3)"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_physics_on_a_gpu_takes_what_was_drawn_without_a_warning(images) -> None:
    physics = deepinv.physics.Blur(filter=gaussian(1.0), padding="circular")
    op = from_physics(physics, schedule=lambda s: {"filter": gaussian(0.3 + s)})
    x = images(2, 1, 16, 16, dtype=torch.float32)
    assert torch.allclose(op(x.cuda(), 0.5).cpu(), op(x, 0.5), atol=1e-5)


def test_a_physics_that_changes_the_size_is_told_so(images) -> None:
    op = from_physics(deepinv.physics.Downsampling(img_size=(1, 8, 8), filter=None, factor=2))
    with pytest.raises(ValueError, match="Downsampling must keep the shape of images"):
        op(images(1, 1, 8, 8, dtype=torch.float32), 1.0)


def test_only_a_physics_of_deepinv_is_one() -> None:
    with pytest.raises(TypeError, match="expected a physics of deepinv, got function"):
        from_physics(lambda x: x)


# --- restorers -------------------------------------------------------------------------------------------------------


def test_a_reconstructor_restores_as_its_run(digits: Run, clean: Tensor) -> None:
    physics = as_physics(digits.degradation)
    y = physics(clean)
    model = as_reconstructor(digits, steps=4)
    assert isinstance(model, deepinv.models.Reconstructor)
    assert torch.equal(model(y, physics), digits.restore(y, steps=4, start=1.0))
    bare = as_reconstructor(digits.R, digits.degradation, steps=4)
    assert torch.allclose(bare(y, physics), digits.restore(y, steps=4, start=1.0), atol=1e-5)
    assert len([*model.parameters()]) == len([*digits.net.parameters()])


def test_a_reconstructor_takes_what_was_recommended_for_its_run(digits: Run, clean: Tensor) -> None:
    found = (Setting(1.0, "naive", 3), Setting(0.25, "one_shot", 1))
    run = replace(digits, recommended=Recommended({"distortion": found}, "digits"))
    physics = as_physics(run.degradation, torch.tensor([1.0, 0.25]))
    y = physics(clean)
    expected = run.restore(y, start=torch.tensor([1.0, 0.25]))
    assert torch.equal(as_reconstructor(run)(y, physics), expected)
    assert not torch.allclose(expected, replace(run, recommended=None).restore(y, start=1.0), atol=1e-3)
    assert torch.equal(as_reconstructor(run)(y), run.restore(y, sampler="naive", steps=3, start=1.0))
    known = as_reconstructor(run, oracle=True)(y, as_physics(run.degradation))
    assert torch.allclose(known, run.restore(y, sampler="naive", steps=3, start=1.0), atol=1e-5)
    for asked in ({"steps": 2}, {"sampler": "improved"}):
        assert torch.equal(as_reconstructor(run, **asked)(y), run.restore(y, **{"start": 1.0} | asked))


@pytest.mark.parametrize("made", [as_reconstructor, as_denoiser])
def test_what_becomes_of_a_module_of_deepinv_does_not_become_of_the_run(made) -> None:
    net = cd.UNetConfig(channels=1, width=8, multipliers=(1,), blocks=1, patch=1).build()
    run = tiny.run_of(net, cd.GaussianNoise())
    before = tiny.weights(net)
    model = made(run).double().train()
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert {p.dtype for p in net.parameters()} == {torch.float32} and not net.training
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert torch.equal(tiny.weights(net), before)


def test_a_degradation_that_is_given_is_the_one_that_a_run_undoes(digits: Run, clean: Tensor) -> None:
    op = cd.GaussianBlur(sigma_max=1.0)
    y = op(clean, 1.0)
    restored = as_reconstructor(digits, op, steps=3)(y, as_physics(op))
    assert torch.equal(restored, replace(digits, degradation=op).restore(y, steps=3, start=1.0))
    assert not torch.allclose(restored, digits.restore(y, steps=3, start=1.0), atol=1e-3)


def test_a_physics_of_ours_tells_the_time(digits: Run, clean: Tensor) -> None:
    physics = as_physics(digits.degradation, torch.tensor([0.5, 0.25]))
    y, model = physics(clean), as_reconstructor(digits, steps=3)
    assert torch.equal(model(y, physics), digits.restore(y, start=torch.tensor([0.5, 0.25]), steps=3))
    assert torch.equal(model(y, blur_of_deepinv()), digits.restore(y, steps=3, start=1.0)), (
        "others are taken to be at t = 1"
    )
    assert torch.equal(
        as_reconstructor(digits, steps=3, start=0.75)(y, physics), digits.restore(y, start=0.75, steps=3)
    )


def test_only_an_oracle_knows_what_was_drawn(images) -> None:
    op, x = cd.MotionBlur(), images(2, 1, 12, 12, dtype=torch.float32)
    physics = as_physics(op, 1.0, params=op.draw(x, seeded(0)))
    y = physics(x)
    known = as_reconstructor(lambda z, t: x, op, steps=3, sampler="improved", oracle=True)
    assert torch.allclose(known(y, physics), x, atol=1e-5)
    with pytest.raises(ValueError, match="improved needs the params that damaged the picture"):
        as_reconstructor(lambda z, t: x, op, steps=3, sampler="improved")(y, physics)


def test_a_restorer_alone_does_not_say_what_it_undoes() -> None:
    with pytest.raises(TypeError, match="does not say what it undoes"):
        as_reconstructor(lambda x, t: x)


# Of the trainer of deepinv about itself.
@pytest.mark.filterwarnings("ignore:non_blocking_transfers=True can only be used:UserWarning")
def test_deepinv_measures_a_run(digits: Run, clean: Tensor) -> None:
    physics = as_physics(digits.degradation, 0.5)
    y = physics(clean)
    pairs = [{"x": one, "y": other} for one, other in zip(clean, y, strict=True)]
    found = deepinv.test(
        as_reconstructor(digits, steps=3), DataLoader(pairs, batch_size=2), physics,
        metrics=[deepinv.metric.PSNR()], verbose=False, show_progress_bar=False, rescale_mode=None,
    )  # fmt: skip
    expected = deepinv.metric.PSNR()(digits.restore(y, start=0.5, steps=3), clean)
    assert found["PSNR"] == pytest.approx(float(expected.mean()), abs=1e-4) and found["PSNR"] > 30


@pytest.mark.parametrize("sigma", [0.05, [0.1, 0.7]])
def test_a_denoiser_sees_images_as_its_degradation_makes_them(sigma: float | list[float], images) -> None:
    op, x = cd.GaussianNoise(), images(2, 1, 8, 8)
    noise, seen = torch.randn(x.shape, dtype=x.dtype, generator=seeded(0)), []
    model = as_denoiser(lambda x, t: seen.append((x, t)) or x, op)
    assert isinstance(model, deepinv.models.Denoiser)
    level = torch.tensor(sigma, dtype=x.dtype)
    model(x + level.reshape(-1, 1, 1, 1) * noise, level)
    ((given, t),) = seen
    assert torch.allclose(given, op(x, t, {"noise": noise}), atol=1e-9)


def test_a_denoiser_of_no_noise_is_asked_at_time_zero(images) -> None:
    x, seen = images(2, 1, 8, 8), []
    as_denoiser(lambda x, t: seen.append((x, t)) or x, cd.GaussianNoise())(x, 0.0)
    assert torch.equal(seen[0][0], x) and not seen[0][1].any()


def test_a_denoiser_is_for_gaussian_noise(digits: Run) -> None:
    with pytest.raises(TypeError, match="is for GaussianNoise, not GaussianBlur"):
        as_denoiser(digits)
