"""A run on disk is all there or refused in one sentence; nothing in it is executed."""

import json
import pickle
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import tiny

import colddiff as cd
from colddiff.degradations import GaussianMask, GaussianNoise
from colddiff.models.precision import pick_precision
from colddiff.models.serialization import FORMAT, load
from colddiff.training.train import train
from colddiff.utils.distributed import pick_device


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tiny.config(tmp_path_factory.mktemp("trained") / "run"), progress=False)


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the run to spoil."""
    return shutil.copytree(trained.path, tmp_path / "run")


def spoil(path, **changes):
    config = json.loads((path / "config.json").read_text())
    for key, value in changes.items():
        config[key] = value
    (path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not ...}, default=str))


def refusal(path, kind=ValueError, **options):
    """The one sentence with which loading is refused."""
    with pytest.raises(kind) as caught:
        load(path, **options)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    return message


def test_a_run_comes_back_as_it_was(trained):
    again = cd.load(trained.path, device="cpu")
    assert again.degradation == trained.degradation and again.prior == trained.prior
    assert torch.equal(tiny.weights(again.net), tiny.weights(trained.net))
    assert again.config["library"] == "colddiff" and again.config["format"] == FORMAT
    assert again.config["version"] == cd.__version__
    assert again.shape == (1, 8, 8) and not again.net.training
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(again.restore(x), trained.restore(x))
    assert torch.equal(again.sample(2), trained.sample(2))


def test_the_config_names_everything_that_made_the_run(trained):
    config = json.loads((trained.path / "config.json").read_text())
    assert config["degradation"] == trained.degradation.to_config()
    assert config["restorer"] == tiny.NET.to_config()
    assert config["prior"]["type"] == "empirical"
    assert config["image"] == {"channels": 1, "size": [8, 8]}
    assert config["training"]["total_steps"] == config["step"] == 6
    assert config["data"]["data"] == "digits" and config["data"]["split"] == "train"


def test_restored_images_are_clamped_and_keep_their_size(trained):
    for shape in ((1, 1, 8, 8), (2, 1, 13, 9), (1, 1, 3, 5)):
        restored = trained.restore(3 * torch.rand(shape) - 1, start=0.6, steps=3)
        assert restored.shape == shape and restored.min() >= 0 and restored.max() <= 1


def test_image_i_of_a_sample_depends_on_its_seed_alone(trained):
    three, last = trained.sample(3, seed=5, steps=4), trained.sample([7], steps=4)
    assert torch.allclose(three[2:], last, atol=1e-6)
    assert not torch.allclose(three[0], three[1])
    assert three.min() >= 0 and three.max() <= 1
    with pytest.raises(ValueError, match="at least one image"):
        trained.sample(0)


def test_noise_is_sampled_by_ddim_and_the_rest_by_improved(tmp_path):
    noise = train(tiny.config(tmp_path / "noise", degradation=GaussianNoise(), steps=1), progress=False)
    assert torch.equal(noise.sample(2, steps=3), noise.sample(2, steps=3, sampler="estimated"))
    assert not (noise.path / "prior.safetensors").exists()
    assert cd.load(noise.path, device="cpu").prior == cd.StandardNormal()


def test_a_mask_is_only_taken_by_what_has_holes(trained):
    x, mask = torch.rand(1, 1, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    mask[..., 2:5, 2:5] = True
    with pytest.raises(ValueError, match="leave the mask out"):
        trained.restore(x, mask=mask)
    run = tiny.run_of(tiny.NET.build(), GaussianMask(num_steps=5, kernel_std=0.2))
    assert run.restore(x, mask=mask, steps=5).isfinite().all()


def test_what_is_not_a_run_is_refused(tmp_path, copy):
    assert "not a run: it has no config.json" in refusal(tmp_path / "none", FileNotFoundError)
    (copy / "config.json").write_text("{half")
    assert "is not valid JSON" in refusal(copy)
    (copy / "config.json").write_text('{"model_type": "bert"}')
    assert "is not a colddiff run's config" in refusal(copy)


def test_another_format_asks_for_an_upgrade(copy):
    spoil(copy, format=FORMAT + 1)
    assert f"has format {FORMAT + 1}, this colddiff reads {FORMAT}: upgrade" in refusal(copy)
    spoil(copy, format=FORMAT - 1)
    assert f"has format {FORMAT - 1}, this colddiff reads {FORMAT}: train it again" in refusal(copy)


@pytest.mark.parametrize("key", ["restorer", "degradation", "prior", "image", "precision", "step"])
def test_a_config_that_lacks_a_part_names_it(key, copy):
    spoil(copy, **{key: ...})
    assert f"lacks {key}" in refusal(copy)


def test_unknown_names_and_fields_are_refused_with_a_suggestion(copy):
    spoil(copy, degradation={"type": "gausian_blur"})
    assert "did you mean 'gaussian_blur'" in refusal(copy, LookupError)
    spoil(copy, degradation={"type": "gaussian_blur", "sigma_mx": 3.0})
    assert "did you mean 'sigma_max'" in refusal(copy, TypeError)
    spoil(copy, degradation={"type": "os.system", "command": "true"})
    assert "no degradation is named 'os.system'" in refusal(copy, LookupError)


def test_weights_of_another_shape_are_counted_and_one_is_named(copy):
    spoil(copy, restorer=tiny.NET.to_config() | {"width": 16})
    message = refusal(copy)
    assert "do not fit the network" in message and "expected (" in message
    tensors = load_file(copy / "model.safetensors")
    spoil(copy, restorer=tiny.NET.to_config())
    name = next(iter(tensors))
    save_file({k: v for k, v in tensors.items() if k != name}, copy / "model.safetensors")
    assert f"{name} is missing" in refusal(copy)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


@pytest.mark.parametrize("content", [pickle.dumps(Bomb()), b"", b"\xff" * 100], ids=["pickle", "empty", "noise"])
@pytest.mark.parametrize("name", ["model.safetensors", "prior.safetensors"])
def test_a_file_that_is_no_safetensors_is_refused_unopened(content, name, copy):
    (copy / name).write_bytes(content)
    assert "is not a readable safetensors file" in refusal(copy)


def test_missing_weights_are_named(copy):
    (copy / "model.safetensors").unlink()
    assert "no file" in refusal(copy, FileNotFoundError)


def test_devices_and_precisions_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match="device 'gpu' cannot be used"):
        pick_device("gpu")
    with pytest.raises(ValueError, match='precision must be "auto", "fp32" or "bf16", got \'fp8\''):
        pick_precision("fp8", torch.device("cpu"))
    assert pick_device("cpu") == torch.device("cpu")


def test_a_run_without_a_prior_restores_but_does_not_generate():
    run = tiny.run_of(tiny.NET.build(), cd.GaussianBlur())
    with pytest.raises(ValueError, match="no prior to start from"):
        run.sample(1)


def test_a_fitted_prior_without_its_tensors_is_refused(copy):
    (copy / "prior.safetensors").unlink()
    assert "prior.safetensors" in refusal(copy, FileNotFoundError)


def test_a_fresh_process_knows_every_network_that_a_config_may_name() -> None:
    code = (
        "import colddiff; colddiff.load; from colddiff.utils.config import registered; "
        "print(*registered('colddiff.restorers'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) >= {"unet", "epsilon", "velocity", "diffusers_unet"}
