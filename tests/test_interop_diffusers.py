"""A run inside diffusers is the run itself: the same images, from files that diffusers reads."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import torch
from fake_hub import serving
from huggingface_hub import constants
from PIL import Image
from torch import Tensor

import colddiff as cd
from colddiff import registry
from colddiff.checkpoint import load, save
from colddiff.degradations import GaussianBlur, GaussianMask, GaussianNoise, Interpolate, IteratedBlur, PixelMask, Snow
from colddiff.parametrization import Epsilon, Flow, Velocity
from colddiff.priors import Constant, StandardNormal
from colddiff.run import Run
from colddiff.samplers import SAMPLERS
from colddiff.unet import UNetConfig
from colddiff.wiener_unet import WienerUNetConfig

diffusers = pytest.importorskip("diffusers")

from colddiff.interop import diffusers as ours  # noqa: E402
from colddiff.interop import diffusers_parts, diffusers_scheduler  # noqa: E402
from colddiff.interop.diffusers import (  # noqa: E402
    ColdPipeline,
    ColdPrior,
    ColdScheduler,
    ColdUNet,
    from_diffusers,
    to_diffusers,
)

NET = UNetConfig(channels=1, width=8, multipliers=(1,), blocks=1, patch=1)
NOISE = GaussianNoise(betas=cd.LinearBetas(num_steps=1000))
OPERATORS = {
    "blur": GaussianBlur(sigma_max=3.0),
    "mask": GaussianMask(num_steps=5, kernel_std=0.2),
    "noise": GaussianNoise(betas=cd.LinearBetas(num_steps=50)),
    "levels": IteratedBlur(sigmas=cd.ConstantSigma(sigma=1.0), num_steps=6),
    "pixels": PixelMask(),
    "snow": Snow(),
    "endpoint": Interpolate(),
}  # fmt: skip


def run_of(op: cd.Degradation, restorer=NET, prior=None, side: int = 8) -> Run:
    """A run with weights that were never trained, but are not zero either."""
    torch.manual_seed(0)
    net = restorer.build()
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    config = {
        "version": cd.__version__, "restorer": restorer.to_config(), "degradation": op.to_config(), "step": 3,
        "image": {"channels": 1, "size": [side, side]}, "data": {"data": "digits"}, "training": {}, "precision": "fp32",
    }  # fmt: skip
    return Run(net.to(memory_format=torch.channels_last).eval(), op, prior, config, Path("run"))


def seeds(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(i) for i in range(count)]


def quiet(pipeline: ColdPipeline) -> ColdPipeline:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def damaged(run: Run, count: int = 3) -> Tensor:
    x = torch.rand(count, *run.shape, generator=torch.Generator().manual_seed(5))
    return run.degrade(x) if not run.degradation.required_params else x


@pytest.fixture(scope="module")
def digits() -> Run:
    return cd.load("digits", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def exported(digits: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_diffusers(digits, tmp_path_factory.mktemp("exported") / "digits")


# --- the same images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATORS)
def test_a_pipeline_restores_what_the_run_restores(name: str) -> None:
    run = run_of(OPERATORS[name])
    x = damaged(run)
    restored = quiet(ColdPipeline.from_run(run))(x, output_type="pt", generator=seeds(3)).images
    assert torch.allclose(restored, run.restore(x), atol=1e-5)


@pytest.mark.parametrize("name", ["mask", "noise", "levels", "endpoint"])
def test_a_pipeline_begins_and_goes_on_where_the_run_does(name: str) -> None:
    run = run_of(OPERATORS[name], prior=StandardNormal() if name == "noise" else Constant(sigma=0.1))
    steps = min(6, run.degradation.levels or 6)
    made = quiet(ColdPipeline.from_run(run))(
        num_inference_steps=steps, batch_size=4, output_type="pt", generator=seeds(4)
    )
    assert torch.allclose(made.images, run.sample(4, steps=steps, batch_size=4), atol=1e-5)


def test_a_partly_damaged_picture_starts_where_it_is() -> None:
    run = run_of(OPERATORS["levels"])
    x = torch.rand(2, 1, 8, 8)
    restored = quiet(ColdPipeline.from_run(run))(x, start=0.5, output_type="pt").images
    assert torch.allclose(restored, run.restore(x, start=0.5), atol=1e-5)
    assert not torch.allclose(restored, run.restore(x), atol=1e-3)


def test_a_mask_says_where_pixels_are_missing() -> None:
    run = run_of(GaussianMask(num_steps=5, kernel_std=0.2))
    x, mask = torch.rand(2, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    mask[..., 1:4, 5:7] = 1
    pipeline = quiet(ColdPipeline.from_run(run))
    restored = pipeline(x, mask=mask, output_type="pt").images
    assert torch.allclose(restored, run.restore(x, mask=mask), atol=1e-5)
    assert not torch.allclose(restored, pipeline(x, output_type="pt").images, atol=1e-3)


def test_digits_come_back_from_files_to_the_same_images(digits: Run, exported: Path) -> None:
    pipeline = quiet(ColdPipeline.from_pretrained(exported))
    x = digits.degrade(cd.load_data("digits", split="test", size=16).images[:16].float() / 255)
    restored = pipeline(x, output_type="pt").images
    assert torch.equal(restored, digits.restore(x, steps=20)), "not to the last bit"
    assert float((restored - x).abs().mean()) > 0.05, "nothing was restored"
    made = pipeline(batch_size=16, num_inference_steps=5, output_type="pt", generator=seeds(16)).images
    assert torch.allclose(made, digits.sample(16, steps=5), atol=1e-5)


def test_a_run_comes_back_as_it_was(digits: Run, exported: Path, tmp_path: Path) -> None:
    again = from_diffusers(exported, tmp_path / "run", device="cpu")
    assert again.config == digits.config | {"version": cd.__version__} and again.prior == digits.prior
    x = torch.rand(2, 1, 16, 16)
    assert torch.equal(
        load(again.path, device="cpu", precision="fp32").restore(x, steps=20), digits.restore(x, steps=20)
    )
    with pytest.raises(ValueError, match="holds a run already"):
        from_diffusers(exported, tmp_path / "run")


def test_folders_of_this_machine_are_not_told() -> None:
    run = run_of(OPERATORS["blur"])
    run.config["data"]["data"] = "/home/me/album"
    assert ColdUNet.from_run(run).config.run["data"] == {"data": "album"}


def test_large_pictures_are_seen_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(OPERATORS["blur"])
    pipeline, seen = quiet(ColdPipeline.from_run(run)), []
    forward = pipeline.unet.forward
    monkeypatch.setattr(pipeline.unet, "forward", lambda x, *a, **k: seen.append(x.shape) or forward(x, *a, **k))
    x = torch.rand(1, 1, 8, 300)
    restored = pipeline(x, num_inference_steps=2, output_type="pt").images
    assert max(shape[-1] for shape in seen) < 300
    assert torch.allclose(restored, run.restore(x, steps=2), atol=1e-5)


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
    bind = diffusers_scheduler.bind_observed
    monkeypatch.setattr(diffusers_scheduler, "bind_observed", lambda *a, **k: begun.append(1) or bind(*a, **k))
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


# --- files -----------------------------------------------------------------------------------------------------------


def test_trap_one_the_modules_that_are_named_have_the_base_classes(exported: Path, monkeypatch) -> None:
    index = json.loads((exported / "model_index.json").read_text())
    assert {tuple(part) for name, part in index.items() if name[0] != "_"} == ours.MADE_OF
    ColdPipeline.from_pretrained(exported)
    monkeypatch.delattr(diffusers_scheduler, "SchedulerMixin")
    with pytest.raises(ValueError, match="cannot be loaded"):
        ColdPipeline.from_pretrained(exported)


def test_trap_two_no_module_is_named_as_a_pipeline_of_diffusers(exported: Path) -> None:
    for part in (ColdUNet, ColdScheduler, ColdPrior, ColdPipeline):
        assert not [name for name in part.__module__.split(".") if hasattr(diffusers.pipelines, name)]


def test_trap_three_nothing_of_a_pipeline_is_dropped(tmp_path: Path) -> None:
    run = run_of(OPERATORS["mask"], prior=Constant(sigma=0.125))
    ColdPipeline.from_run(run).save_pretrained(tmp_path)
    again = ColdPipeline.from_pretrained(tmp_path)
    assert again.scheduler.degradation == run.degradation and again.prior.prior == run.prior
    ColdPipeline.from_run(replace(run, prior=None)).save_pretrained(tmp_path / "without")
    assert ColdPipeline.from_pretrained(tmp_path / "without").prior is None


@pytest.mark.parametrize(
    "restorer",
    [
        NET,
        Epsilon(net=NET, degradation=OPERATORS["noise"]),
        Velocity(net=NET, degradation=OPERATORS["noise"]),
        Flow(net=NET),
        WienerUNetConfig(net=NET, degradation=OPERATORS["blur"], size=(8, 8), noise=0.01),
        cd.DiffusersUNetConfig(channels=1, block_out_channels=(8,), layers_per_block=1, attention_head_dim=8,
                               norm_num_groups=8),
    ],
    ids=lambda restorer: restorer.registered_name,
)  # fmt: skip
def test_every_network_of_ours_is_a_model_of_diffusers(restorer, tmp_path: Path) -> None:
    run = run_of(getattr(restorer, "degradation", OPERATORS["blur"]), restorer)
    copied = ColdUNet.from_run(run)
    assert not copied.training and copied.net is not run.net
    copied.save_pretrained(tmp_path)
    model = ColdUNet.from_pretrained(tmp_path)
    assert (tmp_path / "diffusion_pytorch_model.safetensors").is_file() and not model.training
    assert model.config.sample_size == 8 and model.config.in_channels == 1
    x = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        expected = 2 * run.net(x, torch.tensor([0.5, 0.5])) - 1
        assert torch.allclose(model(2 * x - 1, 499).sample, expected, atol=1e-5)


def test_a_network_works_in_half_precision(tmp_path: Path) -> None:
    run = run_of(OPERATORS["blur"], prior=Constant())
    to_diffusers(run, tmp_path / "p")
    pipeline = quiet(ColdPipeline.from_pretrained(tmp_path / "p")).to(torch.bfloat16)
    assert pipeline.unet.dtype == torch.bfloat16
    x = damaged(run)
    assert torch.allclose(pipeline(x, output_type="pt").images, run.restore(x), atol=0.05)


@pytest.mark.slow
def test_a_fresh_process_reads_what_was_written(digits: Run, exported: Path, tmp_path: Path) -> None:
    x = torch.rand(2, 1, 16, 16)
    np.save(tmp_path / "x.npy", x.movedim(1, -1).numpy())
    code = (
        "import numpy as np; from colddiff.interop.diffusers import ColdPipeline; "
        f"pipeline = ColdPipeline.from_pretrained({str(exported)!r}); "
        "np.save('restored.npy', pipeline(np.load('x.npy'), output_type='np').images)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
    restored = torch.from_numpy(np.load(tmp_path / "restored.npy")).movedim(-1, 1)
    assert torch.allclose(restored, digits.restore(x, steps=20), atol=1e-5)


# --- what goes in and comes out --------------------------------------------------------------------------------------


def test_pictures_come_in_and_go_out_as_people_hold_them(tmp_path: Path) -> None:
    run = run_of(OPERATORS["blur"])
    pipeline = quiet(ColdPipeline.from_run(run))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 7, 9, 1)).astype(np.uint8)
    pictures = [Image.fromarray(each[..., 0]) for each in pixels]
    pictures[0].save(tmp_path / "a.png")
    expected = run.restore(torch.from_numpy(pixels).movedim(-1, 1).float() / 255).movedim(1, -1).numpy()
    for given in (pixels, pictures, [tmp_path / "a.png", pictures[1].convert("RGB")]):
        assert np.allclose(pipeline(given, output_type="np").images, expected, atol=1e-5)
    first, second = pipeline(pictures).images
    assert first.size == (9, 7) and np.abs(np.asarray(second) / 255 - expected[1, ..., 0]).max() < 0.003
    (images,) = pipeline(pictures[0], output_type="pt", return_dict=False)
    assert images.shape == (1, 1, 7, 9) and 0 <= float(images.min()) <= float(images.max()) <= 1


def test_progress_is_told_as_pipelines_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run, told = run_of(OPERATORS["levels"]), []
    pipeline = ColdPipeline.from_run(run)
    monkeypatch.setattr(pipeline, "progress_bar", lambda steps: told.append(len(steps)) or steps)
    pipeline(torch.rand(1, 1, 8, 8))
    pipeline(torch.rand(1, 1, 8, 8), num_inference_steps=3)
    assert told == [6, 3], "six levels, and three steps"


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "no prior to start from"),
        ({"image": torch.rand(1, 3, 8, 8)}, r"expected images of 1 channels.*\(3, 8, 8\)"),
        ({"image": [torch.rand(1, 8, 8), torch.rand(1, 9, 8)]}, "of one size at a time"),
        ({"image": []}, "at least one image|expected images"),
        ({"output_type": "latent"}, "output_type must be one of pil, np, pt, got 'latent'"),
        ({"image": torch.rand(2, 1, 8, 8), "generator": seeds(3)}, "a generator for each, got 2 and 3"),
        ({"image": torch.rand(1, 1, 8, 8), "generator": [SimpleNamespace(device=torch.device("cuda"))]}, "on the CPU"),
        ({"image": torch.rand(1, 1, 8, 8), "mask": torch.ones(1, 1, 8, 8)}, "leave the mask out"),
        ({"image": torch.rand(1, 1, 8, 8), "num_inference_steps": 0}, "steps must be a whole number >= 1, got 0"),
        ({"image": torch.rand(1, 1, 8, 8), "start": 2.0}, r"start must be in \(0, 1\]"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_call_is_told(given: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        quiet(ColdPipeline.from_run(run_of(OPERATORS["blur"])))(**given)


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"degradation": {"type": "gausian_blur"}}, LookupError, "did you mean 'gaussian_blur'"),
        ({"degradation": {"type": "gaussian_blur", "sigma_max": -1}}, ValueError, "sigma_max must be"),
        ({"degradation": GaussianBlur(), "sampler": "improvd"}, LookupError, "did you mean 'improved'"),
        ({"degradation": GaussianBlur(), "prediction_type": "x0"}, ValueError, "one of sample, epsilon, v_prediction"),
        ({"degradation": GaussianBlur(), "prediction_type": "epsilon"}, ValueError, "of gaussian_noise only"),
        ({"degradation": GaussianBlur(), "num_train_timesteps": 10**12}, ValueError, "in 1 .. 1,000,000, got 1000000"),
    ],
)
def test_a_scheduler_that_cannot_be_is_refused(given: dict, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        ColdScheduler(**given)


def test_a_step_off_the_grid_is_refused() -> None:
    x = torch.rand(1, 1, 4, 4)
    scheduler = ColdScheduler(GaussianBlur())
    with pytest.raises(ValueError, match="call set_timesteps"):
        scheduler.step(x, 999, x)
    scheduler.set_timesteps(4)
    with pytest.raises(ValueError, match=r"timestep 500\.0 is not one of this walk"):
        scheduler.step(x, 500, x)
    scheduler.step(x, scheduler.timesteps[1].float(), x)
    snow = ColdScheduler(Snow(), sampler="improved")
    snow.set_timesteps(4)
    with pytest.raises(ValueError, match="improved needs the params"):
        snow.step(x, 999, x)


def test_a_run_that_cannot_be_a_pipeline_is_refused_in_a_line(tmp_path: Path) -> None:
    own, beside = run_of(OPERATORS["blur"]), run_of(NOISE)
    own.config["restorer"] = None
    with pytest.raises(ValueError, match="a network of your own"):
        to_diffusers(own, tmp_path / "p")
    beside.config["training"]["condition"] = {"type": "gaussian_blur"}
    with pytest.raises(ValueError, match="sees a damaged picture beside x"):
        to_diffusers(beside, tmp_path / "p")
    theirs = ColdPipeline(ColdUNet(NET, 8, 1), diffusers.DDPMScheduler())
    with pytest.raises(TypeError, match="walks with a ColdScheduler, got DDPMScheduler"):
        theirs(torch.rand(1, 1, 8, 8))
    theirs.scheduler = ColdScheduler(NOISE, num_train_timesteps=50)
    with pytest.raises(ValueError, match="knows 1000 train timesteps, the scheduler has 50"):
        theirs(torch.rand(1, 1, 8, 8))
    assert [*tmp_path.iterdir()] == []


# --- folders that anybody may have written ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return to_diffusers(run_of(OPERATORS["blur"], prior=Constant()), tmp_path / "p")


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("part", [["antigravity", "ColdUNet"], ["unet", "Mine"], ["colddiff.cli", "main"]])
def test_no_module_is_imported_because_a_folder_names_it(part: list[str], folder: Path) -> None:
    (folder / "unet" / "unet.py").write_text("raise AssertionError('executed')")
    changed(folder / "model_index.json", unet=part)
    with pytest.raises(ValueError, match="nothing is imported because a file says so"):
        ColdPipeline.from_pretrained(folder)
    assert "antigravity" not in sys.modules


def test_no_pipeline_is_imported_because_a_folder_names_it(folder: Path) -> None:
    (folder / "mine.py").write_text("raise AssertionError('executed')")
    changed(folder / "model_index.json", _class_name=["mine", "Mine"])
    with pytest.raises(ValueError, match="nothing is imported because a file says so"):
        ColdPipeline.from_pretrained(folder)


@pytest.mark.parametrize("trusted", [False, True])
def test_a_plug_in_is_imported_for_a_folder_only_if_it_is_trusted(trusted: bool, folder: Path, monkeypatch) -> None:
    class Point:
        name, value = "fog", "fogs:Fog"

        def load(self) -> object:
            raise AssertionError("imported")

    monkeypatch.setattr(registry, "entry_points", lambda group, name=None: [Point()] if name == "fog" else [])
    changed(folder / "scheduler" / "scheduler_config.json", degradation={"type": "fog"})
    error, told = (AssertionError, "imported") if trusted else (LookupError, "import fogs yourself, or trust it")
    with pytest.raises(error, match=told):
        ColdPipeline.from_pretrained(folder, trust_plugins=trusted)


def test_pickled_weights_are_never_read(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(OSError, match="safetensors"):
        ColdPipeline.from_pretrained(folder, use_safetensors=False)
    with pytest.raises(OSError, match="safetensors"):
        ColdUNet.from_pretrained(folder / "unet")


def test_weights_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    other = to_diffusers(run_of(OPERATORS["blur"], replace(NET, blocks=2)), tmp_path / "other")
    (other / "unet" / "config.json").replace(folder / "unet" / "config.json")
    with pytest.raises(ValueError, match="do not fit the network"):
        ColdPipeline.from_pretrained(folder)


def test_a_config_that_fills_the_memory_is_not_read(folder: Path) -> None:
    with (folder / "scheduler" / "scheduler_config.json").open("a") as file:
        file.write(" " * 2**21)
    with pytest.raises(ValueError, match="larger than"):
        ColdPipeline.from_pretrained(folder)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"sample_size": [8, 10**9]}, "1 .. 8192 px"),
        ({"sample_size": [8, 8, 8]}, "1 .. 8192 px"),
        ({"in_channels": 10**9}, "1 .. 1024 channels"),
        ({"run": {"data": "album"}}, "whose data is not as `colddiff export` wrote it"),
    ],
)
def test_a_config_that_cannot_be_is_refused(values: dict, told: str, folder: Path) -> None:
    changed(folder / "unet" / "config.json", **values)
    with pytest.raises(ValueError, match=told):
        from_diffusers(folder, folder / "run")
    assert not (folder / "run").exists()


def test_a_pipeline_comes_from_the_hub_with_its_prior(digits: Run, exported: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    files = {str(f.relative_to(exported)): f.read_bytes() for f in exported.rglob("*") if f.is_file()}
    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        hub.put("alice/digits", files)
        pipeline = ColdPipeline.from_pretrained("alice/digits", cache_dir=tmp_path)
        files |= {"model_index.json": b'{"_class_name": ["mine", "Mine"]}', "mine.py": b"1 / 0"}
        hub.put("mallory/digits", files)
        with pytest.raises(ValueError, match="nothing is imported"):
            ColdPipeline.from_pretrained("mallory/digits", cache_dir=tmp_path)
        assert {Path(name).suffix for name in hub.downloads()} == {".json", ".safetensors"}
    getattr(huggingface_hub, "close_session", lambda: None)()
    assert pipeline.prior.prior == digits.prior and pipeline.scheduler.degradation == digits.degradation


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def export(tmp_path: Path, monkeypatch, capsys):
    """Runs `colddiff export`; gives its code and what it said."""
    from colddiff import cli

    monkeypatch.chdir(tmp_path)
    run = run_of(OPERATORS["blur"])
    save(tmp_path / "run", run.net.state_dict(), run.config, None)

    def call(*arguments: str) -> tuple[int, str]:
        try:
            code = cli.main(["export", *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return code, told.out + told.err

    return call


def test_the_command_writes_a_pipeline_and_says_how_it_is_read(export, tmp_path: Path) -> None:
    code, told = export("run", "p")
    assert code == 0 and "ColdPipeline.from_pretrained('p')" in told
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [
        "README.md", "model_index.json", "scheduler", "unet"
    ]  # fmt: skip
    weights = tmp_path / "p" / "unet" / "diffusion_pytorch_model.safetensors"
    assert weights.stat().st_mode & 0o777 == (tmp_path / "p" / "README.md").stat().st_mode & 0o777 != 0o600
    assert 'ColdPipeline.from_pretrained("p")' in (tmp_path / "p" / "README.md").read_text()
    x = torch.rand(1, 1, 8, 8)
    restored = quiet(ColdPipeline.from_pretrained("p"))(x, output_type="pt").images
    assert torch.allclose(restored, load("run", device="cpu").restore(x), atol=1e-5)
    assert "the same images as cd.load('run', precision='fp32')" in told and "anew" not in told
    code, told = export("run", "p")
    assert code == 0 and "in p, written anew;" in told


@pytest.mark.parametrize("name", ["m.onxx", "runs/foo.xyz", "m.pt"])
def test_no_folder_is_made_where_a_file_was_named(name: str, export, tmp_path: Path) -> None:
    code, told = export("run", name)
    assert code == 2 and f"{name!r} is named like a file" in told and "--format diffusers" in told
    assert not (tmp_path / name).exists()
    assert export("run", name, "--format", "diffusers")[0] == export("run", name)[0] == 0, "as it was meant"


def test_a_number_after_a_dot_is_no_kind_of_file(export) -> None:
    assert export("run", "pipeline-0.2")[0] == 0


def test_files_of_others_are_not_written_over(export, tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "a.png").write_bytes(b"mine")
    code, told = export("run", "album")
    assert code == 2 and told.count("\n") == 1 and "holds other files" in told and "--overwrite" in told
    assert [path.name for path in (tmp_path / "album").iterdir()] == ["a.png"]
    assert export("run", "album", "--overwrite")[0] == 0
    assert (tmp_path / "album" / "a.png").read_bytes() == b"mine"
    assert ColdPipeline.from_pretrained("album").scheduler.degradation == OPERATORS["blur"]
    code, told = export("run", "album/a.png")
    assert code == 2 and "is a file: give the name of a folder" in told
    (tmp_path / "graph.onnx").write_bytes(b"mine")
    code, told = export("run", "graph.onnx")
    assert code == 2 and "there is 'graph.onnx' already" in told and (tmp_path / "graph.onnx").read_bytes() == b"mine"
    assert "ONNX" not in told
    code, told = export("run", "p", "--format", "tf")
    assert code == 2 and "--format must be auto, diffusers or onnx, got" in told


def test_an_export_is_there_whole_or_not_at_all(export, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(ours, "write_text", full)
    assert export("run", "p") == (2, "colddiff: no space left\n") and sorted(tmp_path.iterdir()) == before
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert export("run", "p")[0] == 0
    monkeypatch.setattr(ours, "write_text", full)
    assert export("run", "p")[0] == 2
    assert ColdPipeline.from_pretrained("p").prior is None, "what was there before is still there"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    put = Path.replace

    def stopped(file: Path, target: Path) -> None:
        full() if target == Path("p/unet/config.json") else put(file, target)

    monkeypatch.setattr(Path, "replace", stopped)
    assert export("run", "p")[0] == 2
    assert not (tmp_path / "p" / "model_index.json").exists(), "half of it looks like a whole"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_nothing_is_written_through_a_link(export, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "unet").symlink_to(tmp_path / "elsewhere")
    code, told = export("run", "p", "--overwrite")
    assert code == 2 and "is a link" in told and [*(tmp_path / "elsewhere").iterdir()] == []


def test_without_diffusers_a_line_says_how_to_get_it(export, monkeypatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.startswith("colddiff.interop.diffusers")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    monkeypatch.delattr("colddiff.interop.diffusers")
    code, told = export("run", "p")
    assert (code, told.count("\n")) == (2, 1) and 'needs diffusers: pip install "colddiff[diffusers]"' in told
    assert not (tmp_path / "p").exists()


def test_the_parts_are_found_where_people_look() -> None:
    assert diffusers_parts.ColdUNet is ColdUNet and diffusers_scheduler.ColdScheduler is ColdScheduler
