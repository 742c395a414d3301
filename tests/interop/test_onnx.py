"""Graphs of a run for other programs: what torch.export captures, and what onnxruntime makes of a file."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny import run_of
from torch import Tensor, nn

import colddiff as cd
from colddiff.interop import onnx as interop
from colddiff.interop.onnx import export_onnx, export_program
from colddiff.models.networks.unet import UNetConfig
from colddiff.models.run import Run

ort = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

GREY = UNetConfig(channels=1, width=8, multipliers=(1, 2), blocks=1, patch=1)


class Layer(nn.Module):
    """A restorer of one layer."""

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.size = nn.Conv2d(1, 1, 3, padding=1), size

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        if self.size is not None and tuple(x.shape[2:]) != self.size:
            raise ValueError(f"only images of {self.size}")
        answer: Tensor = x + t[:, None, None, None] * self.layer(x)
        return answer


def alive(run: Run) -> Run:
    """The same with what a fresh network begins with at zero filled in: else its answer is x whatever is traced."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in run.net.parameters():
            if not weight.any():
                weight.copy_(0.05 * torch.randn(weight.shape, generator=generator))
    return run


def answer(file: Path, *given: Tensor) -> Tensor:
    session = ort.InferenceSession(file)
    names = [value.name for value in session.get_inputs()]
    return torch.from_numpy(session.run(None, {n: g.numpy() for n, g in zip(names, given, strict=True)})[0])


def restored(file: Path, x: Tensor, steps: int) -> Tensor:
    """A whole restore without torch, by a file that holds a step."""
    session, y = ort.InferenceSession(file), x.numpy()
    for t, s in pairwise(np.linspace(1, 0, steps + 1, dtype=np.float32)):
        (y,) = session.run(None, {"x": y, "t": np.full(len(y), t), "s": np.full(len(y), s)})
    return torch.from_numpy(y.clip(0, 1))


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of(Layer(), cd.GaussianBlur(sigma_max=1.0))


@pytest.fixture(scope="module")
def file(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(run, tmp_path_factory.mktemp("onnx") / "restorer.onnx")


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (5, 1, 8, 8), (2, 1, 31, 7)])
def test_a_file_answers_as_the_network_for_any_number_and_size(
    shape: tuple[int, ...], run: Run, file: Path, images
) -> None:
    x, t = images(*shape, dtype=torch.float32), torch.linspace(0, 1, shape[0])
    torch.testing.assert_close(answer(file, x, t), run.net(x, t), atol=1e-5, rtol=0)


def test_a_file_says_what_it_is_and_nothing_of_the_machine(run: Run, file: Path) -> None:
    session = ort.InferenceSession(file)
    told = session.get_modelmeta().custom_metadata_map
    assert (told["library"], told["version"], told["range"]) == ("colddiff", cd.__version__, "[0, 1]")
    assert json.loads(told["image"]) == run.config["image"]
    assert [(v.name, v.shape) for v in session.get_inputs()] == [
        ("x", ["batch", 1, "height", "width"]), ("t", ["batch"])
    ]  # fmt: skip
    assert str(Path(__file__).parent).encode() not in file.read_bytes()


def test_a_file_that_answers_otherwise_is_not_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interop, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match=r"onnxruntime is .* off the network .* nothing was written"):
        export_onnx(run, tmp_path / "restorer.onnx")
    assert not [*tmp_path.iterdir()]


def test_a_network_of_one_size_gives_a_file_of_that_size_and_says_so(tmp_path: Path) -> None:
    one = run_of(Layer(size=(8, 8)), cd.GaussianBlur(sigma_max=1.0))
    with pytest.warns(UserWarning, match="takes images of 8 x 8 pixels only"):
        made = export_onnx(one, tmp_path / "restorer.onnx")
    assert ort.InferenceSession(made).get_inputs()[0].shape == ["batch", 1, 8, 8]


def test_a_size_that_is_asked_for_is_the_only_one(run: Run, images) -> None:
    captured = export_program(run, size=(6, 10)).module()
    x, t = images(5, 1, 6, 10, dtype=torch.float32), torch.linspace(0, 1, 5)
    assert torch.equal(captured(x, t), run.net(x, t))
    with pytest.raises(AssertionError, match="Guard failed"):
        captured(x.mT, t)


def test_a_network_that_cannot_be_traced_is_told_by_its_name() -> None:
    class Looking(Layer):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return x if x.mean() > 0.5 else 1 - x

    run = run_of(Looking(), cd.GaussianBlur(sigma_max=1.0))
    with pytest.raises(ValueError, match="Looking cannot be traced"):
        export_program(run, size=(8, 8))


def test_a_program_takes_sizes_that_need_padding_and_sizes_that_do_not(images) -> None:
    net = UNetConfig(channels=1, width=8, multipliers=(1,), blocks=1, patch=2, attention_levels=0).build()
    run = alive(run_of(net, cd.GaussianBlur(sigma_max=1.0)))
    captured = export_program(run).module()
    for shape in [(1, 1, 8, 8), (4, 1, 9, 13), (2, 1, 16, 5)]:
        x, t = images(*shape, dtype=torch.float32), torch.linspace(0.1, 1, shape[0])
        assert torch.equal(captured(x, t), run.net(x, t))


@pytest.mark.parametrize("sampler", [pytest.param("naive", marks=pytest.mark.slow), "improved"])
def test_a_file_of_a_step_restores_as_the_run_does(sampler: str, run: Run, tmp_path: Path, images) -> None:
    made = export_onnx(run, tmp_path / "step.onnx", sampler=sampler)
    x = run.degrade(images(3, 1, 8, 8, dtype=torch.float32))
    expected = run.restore(x, steps=5, sampler=sampler)
    assert (expected - x).abs().max() > 0.01
    torch.testing.assert_close(restored(made, x, 5), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("degradation", "sampler", "message"),
    [
        (cd.GaussianNoise(), "naive", "holds no params"),
        (cd.GaussianBlur(sigma_max=1.0), "momentum", "a step of naive or improved, not of 'momentum'"),
        (cd.Jpeg(), "naive", "a step of Layer with Jpeg cannot be traced"),  # as Kornia counts images in Python
    ],
)
def test_a_step_that_no_graph_can_hold_is_refused(degradation: cd.Degradation, sampler: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export_program(run_of(Layer(), degradation), sampler=sampler)


def test_a_folder_is_no_place_for_a_file(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder"):
        export_onnx(run, tmp_path)


def test_without_the_packages_the_extra_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "colddiff\[onnx\]"'):
        export_onnx(run, tmp_path / "restorer.onnx")


@pytest.mark.slow
def test_the_run_that_comes_with_the_library_restores_in_onnxruntime(tmp_path: Path) -> None:
    run = cd.load("digits", device="cpu", precision="fp32")
    x = run.degrade(run.sample(4, steps=10))
    made = export_onnx(run, tmp_path / "step.onnx", sampler="naive")
    torch.testing.assert_close(
        restored(made, x, 10), run.restore(x, start=1.0, steps=10, sampler="naive"), atol=1e-4, rtol=0
    )
    made = export_onnx(run, tmp_path / "restorer.onnx")
    wide, t = torch.rand((2, 1, 23, 30), generator=torch.Generator().manual_seed(0)), torch.tensor([1.0, 0.3])
    torch.testing.assert_close(answer(made, wide, t), run.net(wide, t), atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["epsilon", "flow", "wiener_unet", "condition"])
def test_every_kind_of_network_becomes_a_file(kind: str, tmp_path: Path) -> None:
    blur = cd.GaussianBlur(sigma_max=1.0)
    if kind == "condition":
        net = UNetConfig(channels=1, cond_channels=1, width=8, multipliers=(1,), blocks=1).build()
        run = alive(run_of(net, cd.GaussianNoise()))
        run.config["training"] = {"condition": blur.to_config()}
    elif kind == "wiener_unet":
        run = alive(run_of(cd.WienerUNetConfig(net=GREY).fitted_for(blur, 1, (8, 8), True, 0.0).build(), blur))
    else:
        from colddiff.models.networks.parametrization import Epsilon, Flow

        config = Epsilon(net=GREY) if kind == "epsilon" else Flow(net=GREY)
        run = alive(run_of(config.build(), cd.GaussianNoise()))
    made = export_onnx(run, tmp_path / "restorer.onnx", size=(8, 8) if kind == "wiener_unet" else None)
    names = [value.name for value in ort.InferenceSession(made).get_inputs()]
    assert names == ["x", "t", "condition"][: 3 if kind == "condition" else 2]
