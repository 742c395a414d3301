"""A run inside diffusers is the run itself: the same images, from files that diffusers reads."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import colddiff as cd
from colddiff.degradations import GaussianBlur, GaussianMask, Snow
from colddiff.models.networks.parametrization import Epsilon, Flow, Velocity
from colddiff.models.networks.wiener_unet import WienerUNetConfig
from colddiff.models.run import Run
from colddiff.models.serialization import load
from colddiff.samplers.priors import Constant, StandardNormal

diffusers = pytest.importorskip("diffusers")

from support.diffusers_pipelines import NET, NOISE, OPERATORS, damaged, quiet, run_of, seeds  # noqa: E402

from colddiff.interop.diffusers import ColdPipeline, ColdScheduler, ColdUNet, from_diffusers, to_diffusers  # noqa: E402
from colddiff.interop.diffusers import pipeline as ours  # noqa: E402
from colddiff.interop.diffusers.components import ColdPrior  # noqa: E402

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
    assert torch.equal(restored, digits.restore(x, start=1.0, steps=20)), "not to the last bit"
    assert float((restored - x).abs().mean()) > 0.05, "nothing was restored"
    made = pipeline(batch_size=16, num_inference_steps=5, output_type="pt", generator=seeds(16)).images
    assert torch.allclose(made, digits.sample(16, steps=5), atol=1e-5)


def test_a_run_comes_back_as_it_was(digits: Run, exported: Path, tmp_path: Path) -> None:
    again = from_diffusers(exported, tmp_path / "run", device="cpu")
    assert again.config == digits.config | {"version": cd.__version__} and again.prior == digits.prior
    x = torch.rand(2, 1, 16, 16)
    assert torch.equal(
        load(again.path, device="cpu", precision="fp32").restore(x, start=1.0, steps=20),
        digits.restore(x, start=1.0, steps=20),
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


# --- files -----------------------------------------------------------------------------------------------------------


def test_trap_one_the_modules_that_are_named_have_the_base_classes(exported: Path, monkeypatch) -> None:
    index = json.loads((exported / "model_index.json").read_text())
    assert {tuple(part) for name, part in index.items() if name[0] != "_"} == ours.MADE_OF
    ColdPipeline.from_pretrained(exported)
    monkeypatch.delattr("colddiff.interop.diffusers.scheduler.SchedulerMixin")
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
    assert torch.allclose(restored, digits.restore(x, start=1.0, steps=20), atol=1e-5)


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
