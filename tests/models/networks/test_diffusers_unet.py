"""The U-Net of diffusers behaves as every restorer does."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.tiny import config
from torch import Tensor

import colddiff as cd
from colddiff import DiffusersRestorer, DiffusersUNetConfig
from colddiff.data import ImageData
from colddiff.models.networks.unet import RestorerConfig
from colddiff.models.serialization import load
from colddiff.training.setup import restorer_for
from colddiff.training.train import train

diffusers = pytest.importorskip("diffusers")

SHAPE = {"block_out_channels": (8, 16), "layers_per_block": 1, "attention_head_dim": 8, "norm_num_groups": 8}
TINY = DiffusersUNetConfig(channels=1, **SHAPE)


class Recorder(torch.nn.Module):
    """A UNet2DModel that answers with its input, and remembers it."""

    def __init__(self, **changes: object) -> None:
        super().__init__()
        model = diffusers.UNet2DModel(
            in_channels=1, out_channels=1, block_out_channels=(8, 8, 8), norm_num_groups=8,
            down_block_types=("DownBlock2D",) * 3, up_block_types=("UpBlock2D",) * 3, **changes,
        )  # fmt: skip
        self.config, self.dtype, self.class_embedding = model.config, torch.float32, model.class_embedding

    def forward(self, sample: Tensor, timestep: Tensor, return_dict: bool) -> tuple[Tensor]:
        self.seen = sample, timestep
        return (sample,)


def loud(net: torch.nn.Module) -> torch.nn.Module:
    """The network with weights where it had zeros."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


def test_it_is_known_by_name_without_diffusers() -> None:
    code = (
        "import sys, colddiff; from colddiff.models.networks.unet import RestorerConfig; "
        "print(RestorerConfig.from_config('diffusers_unet').layers_per_block, 'diffusers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


def test_a_config_survives_a_round_trip() -> None:
    again = RestorerConfig.from_config(TINY.to_config())
    assert again == TINY and again.to_config()["type"] == "diffusers_unet"


def test_a_residual_network_begins_as_the_identity() -> None:
    x = torch.rand(2, 1, 8, 8)
    assert torch.allclose(TINY.build()(x, torch.tensor([0.0, 1.0])), x, atol=1e-6)
    flat = DiffusersUNetConfig(channels=1, residual=False, **SHAPE).build()(x, torch.tensor([0.0, 1.0]))
    assert torch.equal(flat, torch.full_like(x, 0.5))


@pytest.mark.parametrize("size", [(7, 9), (1, 1), (8, 4), (5, 16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_come_back_as_they_were(channels: int, size: tuple[int, int]) -> None:
    net = loud(DiffusersUNetConfig(channels=channels, **SHAPE).build())
    x = torch.rand(2, channels, *size)
    out = net(x, torch.tensor([0.1, 0.9]))
    assert out.shape == x.shape and bool(out.isfinite().all())
    assert not torch.allclose(out, net(x, torch.tensor([0.2, 0.8])), atol=1e-6), "the time makes no difference"


def test_the_lowest_levels_attend() -> None:
    shape = DiffusersUNetConfig(**SHAPE | {"block_out_channels": (8, 8, 16)}, attention_levels=2)
    model = shape.build().net
    for blocks in (model.down_blocks, reversed(model.up_blocks)):
        assert [hasattr(block, "attentions") for block in blocks] == [False, True, True]


def test_each_image_is_restored_by_itself() -> None:
    net, x, t = loud(TINY.build()), torch.rand(3, 1, 6, 6), torch.tensor([0.1, 0.5, 1.0])
    assert torch.allclose(net(x, t)[1:2], net(x[1:2], t[1:2]), atol=1e-5)


def test_the_model_sees_what_models_of_diffusers_see() -> None:
    model = Recorder()
    out = DiffusersRestorer(model)(torch.full((3, 1, 5, 6), 0.25), torch.tensor([0.0, 0.001, 1.0]))
    sample, timestep = model.seen
    assert sample.shape == (3, 1, 8, 8), "not a multiple of 4 pixels"
    assert torch.equal(sample, torch.full_like(sample, -0.5))
    assert torch.allclose(timestep, torch.tensor([0.0, 0.0, 999.0]))
    assert torch.equal(out, torch.full((3, 1, 5, 6), 0.25))


def test_a_model_that_centres_its_images_itself_is_left_to() -> None:
    model = Recorder(center_input_sample=True)
    DiffusersRestorer(model)(torch.full((1, 1, 4, 4), 0.25), torch.ones(1))
    assert torch.equal(model.seen[0], torch.full((1, 1, 4, 4), 0.25))


def test_step_k_is_the_same_noise_as_in_diffusers() -> None:
    theirs = diffusers.DDPMScheduler().alphas_cumprod.double()
    ours = cd.LinearBetas(num_steps=1000).alpha_bars()
    model = Recorder()
    for k in (1, 10, 500, 1000):
        DiffusersRestorer(model)(torch.zeros(1, 1, 4, 4), torch.tensor([k / 1000]))
        assert float(theirs[model.seen[1].round().long()]) == pytest.approx(float(ours[k]), rel=1e-4)


@pytest.mark.parametrize(
    "changes", [{"time_embedding_type": "fourier"}, {"num_class_embeds": 10}, {"class_embed_type": "timestep"}]
)
def test_a_model_that_needs_more_than_x_and_t_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="positional time and no classes"):
        DiffusersRestorer(Recorder(**changes))


def test_a_model_that_gives_other_channels_is_refused() -> None:
    model = diffusers.UNet2DModel(
        in_channels=3, out_channels=6, block_out_channels=(32,), down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )  # fmt: skip
    with pytest.raises(ValueError, match="3 in, 6 out"):
        DiffusersRestorer(model)
    with pytest.raises(ValueError, match=r"takes 1 channels, got images \(2, 3, 8, 8\)"):
        TINY.build()(torch.rand(2, 3, 8, 8), torch.ones(2))


@pytest.mark.parametrize(
    "fields", [{"block_out_channels": (60,)}, {"block_out_channels": ()}, {"dropout": 1.0}, {"channels": 0}]
)
def test_a_shape_that_cannot_be_built_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        DiffusersUNetConfig(**fields)


def test_it_takes_the_channels_of_the_data() -> None:
    images = ImageData(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    asked = config("run", restorer=DiffusersUNetConfig(**SHAPE))
    assert restorer_for(asked, images) == TINY
    with pytest.raises(ValueError, match="takes 3 channels, the images have 1"):
        restorer_for(config("run", restorer=DiffusersUNetConfig(channels=3, **SHAPE)), images)


def test_a_run_restores_the_same_in_a_fresh_process(tmp_path: Path) -> None:
    run = train(config(tmp_path / "run", steps=2, restorer=DiffusersUNetConfig(**SHAPE)), progress=False)
    x = torch.rand(2, 1, 8, 8)
    torch.save(x, tmp_path / "x.pt")
    code = (
        f"import colddiff, torch; x = torch.load('x.pt', weights_only=True); "
        f"torch.save(colddiff.load({str(tmp_path / 'run')!r}).restore(x, steps=2), 'restored.pt')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert torch.allclose(torch.load(tmp_path / "restored.pt", weights_only=True), run.restore(x, steps=2), atol=1e-5)


def test_the_command_line_trains_one(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "colddiff", "train", "digits", "--degradation", "gaussian_blur", "--out", "run",
        "--steps", "1", "--batch-size", "4", "--device", "cpu", "--restorer", "diffusers_unet",
        "--restorer.block_out_channels", "[8, 16]", "--restorer.attention_head_dim", "8",
        "--restorer.norm_num_groups", "8", "--restorer.layers_per_block", "1",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "run").config["restorer"] == TINY.to_config()


def test_a_model_of_the_users_own_is_trained_on(tmp_path: Path) -> None:
    def mine() -> DiffusersRestorer:
        return DiffusersRestorer(TINY.build().net)

    run = train(config(tmp_path / "run", steps=2, restorer=None), net=mine(), progress=False)
    again = load(tmp_path / "run", net=mine())
    x = torch.rand(2, 1, 8, 8)
    assert torch.allclose(again.restore(x, steps=2), run.restore(x, steps=2), atol=1e-5)
    run.net.net.save_pretrained(tmp_path / "model")
    back = DiffusersRestorer(diffusers.UNet2DModel.from_pretrained(tmp_path / "model")).eval()
    assert torch.allclose(back(x, torch.ones(2)), run.net(x, torch.ones(2)), atol=1e-5)
