"""Degradation and sampler as a scheduler of diffusers: its steps are ours, and one walk owes nothing to another."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import colddiff as cd
from colddiff.degradations import GaussianNoise
from colddiff.samplers.algorithms import SAMPLERS
from colddiff.samplers.priors import StandardNormal

diffusers = pytest.importorskip("diffusers")

from support.diffusers_pipelines import NET, NOISE, OPERATORS, damaged, quiet, run_of, seeds  # noqa: E402

from colddiff.interop.diffusers import ColdPipeline, ColdScheduler, ColdUNet, from_diffusers  # noqa: E402
from colddiff.interop.diffusers import scheduler as scheduler_module  # noqa: E402

# --- the scheduler ---------------------------------------------------------------------------------------------------


def looped(scheduler: ColdScheduler, model, sample: Tensor, **options) -> Tensor:
    """A loop as people write it who know diffusers."""
    for t in scheduler.timesteps:
        output = model(sample, t).sample
        sample = scheduler.step(output, t, sample, **options).prev_sample
    return sample


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_step_is_one_step_of_the_sampler(name: str) -> None:
    op, x, x0 = OPERATORS["noise"], torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    params = op.draw(x, torch.Generator().manual_seed(1))
    scheduler = ColdScheduler(op, sampler=name)
    scheduler.set_timesteps(5, params=params)
    for k, t in enumerate(scheduler.timesteps):
        grid = cd.time_grid(5)[k : k + 2]
        (state,) = cd.walk(
            lambda *_: x0, op.bind(params, like=x), x, times=grid, sampler=name, generator=seeds(2)
        )  # fmt: skip
        step = scheduler.step(2 * x0 - 1, t, 2 * x - 1, generator=seeds(2))
        assert torch.allclose(step.prev_sample, 2 * state.x - 1, atol=1e-6)
        assert torch.allclose(step.pred_original_sample, 2 * x0 - 1, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in OPERATORS if n != "endpoint"])
@pytest.mark.parametrize("sampler", ["naive", "improved"])
def test_the_loop_of_diffusers_is_our_sample(name: str, sampler: str) -> None:
    run = run_of(OPERATORS[name])
    x0 = torch.rand(2, 1, 8, 8)
    params = run.degradation.draw(x0, torch.Generator().manual_seed(1))
    D = run.degradation.bind(params, like=x0)
    x = D(x0, 1.0)
    scheduler, model = ColdScheduler(run.degradation, sampler=sampler), ColdUNet.from_run(run)
    scheduler.set_timesteps(5, params=params)
    with torch.no_grad():
        found = looped(scheduler, model, 2 * x.double() - 1)
        assert torch.allclose((found + 1) / 2, cd.sample(run.net, D, x, steps=5, sampler=sampler).double(), atol=1e-5)


def test_the_next_timestep_is_that_of_the_grid() -> None:
    op = GaussianNoise(betas=cd.LinearBetas(num_steps=200))
    scheduler = ColdScheduler(op, sampler="estimated")
    scheduler.set_timesteps(7)  # 200 levels in 7 steps are no even strides
    times = cd.time_grid(7, levels=op.level_times())
    assert len({*(times[:-1] - times[1:]).mul(200).round().tolist()}) == 2
    x = torch.rand(1, 1, 4, 4)
    x0 = torch.rand(1, 1, 4, 4)
    D = op.bind_unknown(x)
    for k, t in enumerate(scheduler.timesteps):
        found = scheduler.step(2 * x0 - 1, t, 2 * x - 1).prev_sample
        expected = D.estimate(x, x0, times[k])(x0, times[k + 1])
        assert torch.allclose(found, 2 * expected - 1, atol=1e-5)
    assert torch.allclose(found, 2 * x0 - 1, atol=1e-6), "the last step ends in the clean image"


def test_timesteps_are_those_of_diffusers() -> None:
    theirs = diffusers.DDIMScheduler(timestep_spacing="trailing")
    theirs.set_timesteps(20)
    scheduler = ColdScheduler(NOISE)
    scheduler.set_timesteps(20)
    assert torch.allclose(scheduler.timesteps, theirs.timesteps.double())
    assert scheduler.num_inference_steps == 20 and len(scheduler) == 1000 and scheduler.order == 1
    assert scheduler.init_noise_sigma == 1 and scheduler.timesteps.is_floating_point()
    x = torch.rand(2)
    assert scheduler.scale_model_input(x, 3) is x
    once = ColdScheduler(NOISE, sampler="one_shot")
    once.set_timesteps(20)
    assert once.timesteps.tolist() == [999.0]


def test_what_a_network_hears_is_the_time() -> None:
    model, heard = ColdUNet(NET, sample_size=8, in_channels=1), []
    model.net.forward = lambda x, t: heard.append((x, t)) or x
    sample = torch.full((3, 1, 8, 8), -0.5)
    for timestep in (499, 499.0, torch.tensor(499), torch.tensor([499.0]), torch.tensor([-1, 499, 999])):
        assert torch.equal(model(sample, timestep).sample, sample)
    assert all(torch.equal(x, torch.full_like(x, 0.25)) for x, _ in heard)
    assert all(t.tolist() == [0.5] * 3 for _, t in heard[:-1]) and heard[-1][1].tolist() == [0, 0.5, 1]
    assert torch.equal(model(sample, 1, return_dict=False)[0], sample)


def test_a_walk_owes_nothing_to_the_one_before() -> None:
    run = run_of(OPERATORS["mask"])
    pipeline = quiet(ColdPipeline.from_run(run))
    first, second = damaged(run, 4), damaged(run, 3).flip(-1)
    for x in (first, second, first[:1]):
        assert torch.allclose(pipeline(x, output_type="pt").images, run.restore(x), atol=1e-5)
    model, scheduler = ColdUNet.from_run(run), ColdScheduler(run.degradation)
    scheduler.set_timesteps(5)  # once, for walks of several sizes, and of one that begins later
    with torch.no_grad():
        for x in (first, second, first[:1]):
            found = (looped(scheduler, model, 2 * x - 1) + 1) / 2
            assert torch.allclose(found.clamp(0, 1), run.restore(x), atol=1e-4)
        scheduler.timesteps = scheduler.timesteps[2:]
        for x in (first, second):
            found = (looped(scheduler, model, 2 * x - 1) + 1) / 2
            assert torch.allclose(found.clamp(0, 1), run.restore(x, start=0.6), atol=1e-4)


@pytest.mark.parametrize("count", [2, 3])
def test_a_walk_that_was_given_up_leaves_nothing_to_one_that_begins_at_the_next_timestep(count: int) -> None:
    run = run_of(OPERATORS["mask"])
    scheduler, model = ColdScheduler(run.degradation), ColdUNet.from_run(run)
    scheduler.set_timesteps(5)
    first, second = damaged(run, 2), damaged(run, count).flip(-1)
    with torch.no_grad():
        t = scheduler.timesteps[0]
        scheduler.step(model(2 * first - 1, t).sample, t, 2 * first - 1)
        scheduler.timesteps = scheduler.timesteps[1:]
        found = (looped(scheduler, model, 2 * second - 1) + 1) / 2
    assert torch.allclose(found.clamp(0, 1), run.restore(second, start=0.8), atol=1e-4)


def test_a_walk_goes_on_with_copies_of_its_samples_and_with_what_was_written_into_them(monkeypatch) -> None:
    run, begun = run_of(OPERATORS["mask"]), []
    bind = scheduler_module.bind_observed
    monkeypatch.setattr(scheduler_module, "bind_observed", lambda *a, **k: begun.append(1) or bind(*a, **k))
    scheduler, sample = ColdScheduler(run.degradation), 2 * damaged(run).double() - 1
    scheduler.set_timesteps(5)
    for t, changed in zip(
        scheduler.timesteps, (lambda x: x.clone(), lambda x: x.float(), lambda x: x.mul_(0.9)) * 2, strict=False
    ):
        sample = changed(scheduler.step(sample, t, sample).prev_sample)
    assert len(begun) == 1
    scheduler.set_timesteps(5)
    for t in scheduler.timesteps[:2]:
        scheduler.step(sample, t, sample)
    assert len(begun) == 3, "a new grid, and a sample that no step gave"


@pytest.mark.parametrize("prediction", ["sample", "epsilon", "v_prediction"])
def test_gaussian_noise_estimated_is_ddim(prediction: str) -> None:
    torch.manual_seed(0)
    model = diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 8), norm_num_groups=8,
        layers_per_block=1, down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    ).eval()  # fmt: skip
    theirs = diffusers.DDIMScheduler(timestep_spacing="trailing", clip_sample=False, prediction_type=prediction)
    theirs.set_timesteps(10)
    z = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        expected = looped(theirs, model, z)
        scheduler = ColdScheduler.from_config(theirs.config, degradation=NOISE, sampler="estimated")
        assert scheduler.config.prediction_type == prediction
        scheduler.set_timesteps(10)
        close = 1e-5 * max(1.0, float(expected.abs().max()))  # noise that was never learned makes pixels of hundreds
        assert torch.allclose(looped(scheduler, model, z), expected, atol=close)
    pipeline = quiet(ColdPipeline(model, scheduler))
    restored = pipeline((z + 1) / 2, num_inference_steps=10, output_type="pt").images
    assert torch.allclose(restored, ((expected + 1) / 2).clamp(0, 1), atol=close)


def test_a_model_of_diffusers_is_kept_in_a_pipeline_of_ours(tmp_path: Path) -> None:
    model = diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8,), norm_num_groups=8,
        layers_per_block=1, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    )  # fmt: skip
    scheduler = ColdScheduler(NOISE, sampler="ddpm", prediction_type="epsilon")
    ColdPipeline(model, scheduler, StandardNormal()).save_pretrained(tmp_path)
    pipeline = quiet(ColdPipeline.from_pretrained(tmp_path))
    a, b = (
        pipeline(num_inference_steps=4, generator=seeds(2), batch_size=2, output_type="pt").images for _ in range(2)
    )
    assert a.shape == (2, 1, 8, 8) and torch.equal(a, b) and float(a.std()) > 0.01
    with pytest.raises(ValueError, match="UNet2DModel, which only diffusers can build"):
        from_diffusers(tmp_path, tmp_path / "run")
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(model.state_dict(), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(OSError, match="safetensors"):
        ColdPipeline.from_pretrained(tmp_path, use_safetensors=False)


def test_a_scheduler_of_diffusers_walks_with_our_network() -> None:
    run = run_of(NOISE, prior=StandardNormal())
    scheduler = ColdScheduler(NOISE, sampler="estimated")
    theirs = diffusers.DDIMScheduler.from_config(
        scheduler.config, timestep_spacing="trailing", clip_sample=False
    )  # fmt: skip
    pipeline = diffusers.DDIMPipeline(ColdUNet.from_run(run), theirs)
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(generator=torch.Generator().manual_seed(0), num_inference_steps=4, output_type="np").images
    x = (torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 1) / 2
    expected = run.restore(x, steps=4, sampler="estimated").movedim(1, -1).numpy()
    assert np.allclose(made, expected, atol=1e-5)


def test_a_sampler_is_swapped_by_config() -> None:
    run = run_of(OPERATORS["blur"])
    pipeline, x = quiet(ColdPipeline.from_run(run)), damaged(run)
    assert pipeline.scheduler.config.sampler == "improved"
    pipeline.scheduler = ColdScheduler.from_config(pipeline.scheduler.config, sampler="naive")
    restored = pipeline(x, output_type="pt").images
    assert torch.allclose(restored, run.restore(x, sampler="naive"), atol=1e-5)
    assert not torch.allclose(restored, run.restore(x), atol=1e-3)


def test_adding_noise_degrades() -> None:
    x, z, timesteps = torch.rand(3, 1, 8, 8) * 2 - 1, torch.randn(3, 1, 8, 8), torch.tensor([0, 499, 999])
    theirs = diffusers.DDPMScheduler().add_noise(x, z, timesteps)
    assert torch.allclose(ColdScheduler(NOISE).add_noise(x, z, timesteps), theirs, atol=1e-5)
    blur = OPERATORS["blur"]
    blurred = ColdScheduler(blur).add_noise(x, z, torch.tensor([249, 499, 999]))
    assert torch.allclose(blurred, 2 * blur((x + 1) / 2, torch.tensor([0.25, 0.5, 1.0])) - 1, atol=1e-6)
    assert torch.allclose(ColdScheduler(blur).add_noise(x, z, torch.tensor(-1)), x, atol=1e-6)
    snow = OPERATORS["snow"]
    params = snow.draw(x, torch.Generator().manual_seed(0))
    snowed = ColdScheduler(snow).add_noise(x, z, timesteps, params=params)
    assert torch.allclose(snowed, 2 * snow((x + 1) / 2, (timesteps + 1) / 1000, params) - 1, atol=1e-5)
    assert ColdScheduler(snow).add_noise(x, z, timesteps).shape == x.shape


def test_what_is_drawn_to_add_noise_comes_from_a_generator() -> None:
    x, z, timesteps = torch.rand(3, 1, 8, 8) * 2 - 1, torch.randn(3, 1, 8, 8), torch.tensor([499, 749, 999])
    op = OPERATORS["mask"]
    scheduler = ColdScheduler(op)
    for draws, given in (
        (op.draw(x, torch.Generator().manual_seed(1)), lambda: torch.Generator().manual_seed(1)),
        (op.draw_each(x, seeds(3)), lambda: seeds(3)),
    ):
        before = torch.get_rng_state()
        found = scheduler.add_noise(x, z, timesteps, generator=given())
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.allclose(found, 2 * op((x + 1) / 2, (timesteps + 1) / 1000, draws) - 1, atol=1e-6)


def test_the_noise_that_is_added_is_that_of_a_part_too() -> None:
    x, z, timesteps = torch.rand(3, 1, 8, 8) * 2 - 1, torch.randn(3, 1, 8, 8), torch.tensor([499, 749, 999])
    op = cd.Compose(parts=(OPERATORS["blur"], cd.PixelNoise(), GaussianNoise()))
    drawn = op.draw(x, torch.Generator().manual_seed(1))
    found = ColdScheduler(op).add_noise(x, z, timesteps, generator=torch.Generator().manual_seed(1))
    expected = 2 * op((x + 1) / 2, (timesteps + 1) / 1000, drawn | {"2.noise": z}) - 1
    assert torch.allclose(found, expected, atol=1e-6)
    before = torch.get_rng_state()
    ColdScheduler(NOISE).add_noise(x, z, timesteps)
    assert torch.equal(torch.get_rng_state(), before), "nothing is drawn where nothing but that noise is random"
