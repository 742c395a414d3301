"""A weight file of the official implementation becomes a run, or is refused in one sentence and leaves nothing."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.official_files import (
    BLUR,
    CONVNEXT,
    RESNET,
    STEPS,
    Shapes,
    blurred,
    checkpoint,
    convnext_shapes,
    drawn,
    kernels,
    preset,
    resnet_shapes,
    saved,
)
from support.slow_paper_unets import slow_convnext, slow_resnet
from torch import Tensor

import colddiff as cd
from colddiff.apps.cli.commands import inspect
from colddiff.data import from_images
from colddiff.data.framing import Framing
from colddiff.degradations import GaussianBlur, GaussianMask
from colddiff.degradations.blur_schedules import ConstantSigma
from colddiff.evaluation.report import evaluate
from colddiff.models.networks.unet import UNetConfig
from colddiff.models.serialization import load
from colddiff.paper.official_weights import import_official
from colddiff.samplers.priors import ChannelGaussian, Constant
from colddiff.training.config import TrainConfig

# --- files as upstream's trainer writes them, its names spelled out --------------------------------------------------


def ours(shapes: Shapes, seed: int = 2) -> dict[str, Tensor]:
    """The averaged weights by the names that the slow twins know."""
    names = {"fn.fn.": "", "fn.norm": "norm", "downsample": "resize", "upsample": "resize"}
    found = {}
    for name, value in drawn(shapes, seed).items():
        for theirs, here in names.items():
            name = name.replace(theirs, here)
        found[name] = value.double()
    return found


def refusal(file: Path, told: TrainConfig, out: Path) -> str:
    """The one sentence with which a file is refused; nothing is left."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        import_official(file, told, out)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    assert not out.exists()
    return message


# --- what comes out --------------------------------------------------------------------------------------------------


def test_a_run_of_the_convnext_answers_as_upstream_would(tmp_path: Path) -> None:
    run = import_official(saved(blurred(), tmp_path), preset(), tmp_path / "run")
    x, k = torch.rand(3, 3, 8, 12), torch.tensor([1.0, 2.0, 4.0])
    out = slow_convnext(2 * x.double() - 1, k - 1, ours(convnext_shapes()), CONVNEXT)
    assert out.std() > 0.1 and run.R.used == "eager float32"
    assert torch.allclose(run.R(x, k / STEPS).double(), (out + 1) / 2, atol=1e-4)


def test_a_run_of_the_resnet_answers_as_upstream_would(tmp_path: Path) -> None:
    content = checkpoint(resnet_shapes(), {"alphas_cumprod": torch.ones(STEPS)}, prefix="")
    told = preset(RESNET, GaussianMask(num_steps=STEPS))
    run = import_official(saved(content, tmp_path), told, tmp_path / "run")
    x, k = torch.rand(3, 3, 8, 4), torch.tensor([1.0, 2.0, 4.0])
    out = slow_resnet(2 * x.double() - 1, k - 1, ours(resnet_shapes()), RESNET)
    assert out.std() > 0.1
    assert torch.allclose(run.R(x, k / STEPS).double(), (out + 1) / 2, atol=1e-4)


def test_the_run_is_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = import_official(str(saved(blurred(), tmp_path)), preset(), str(tmp_path / "run"))
    run = cd.load(tmp_path / "run", device="cpu")
    assert made.path == run.path and run.degradation == BLUR and run.prior == Constant() and not run.net.training
    assert run.shape == (3, 16, 16) and run.framing == Framing(size=16, colour="rgb") and run.precision == "fp32"
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(run.restore(x, steps=2), made.restore(x, steps=2))
    assert run.sample(2, steps=2).shape == (2, 3, 16, 16)
    report = evaluate(run, from_images(x), start_times=[1.0], steps=[2], progress=False)
    assert "averaged, step 12000" in report.to_markdown()
    inspect.run(str(tmp_path / "run"))
    told = capsys.readouterr().out
    assert "imported from model.pt; upstream's step 12000, averaged weights" in told
    assert "not taken over: gaussian_kernels (4), betas" in told and "step 12000 of 12000" in told


def test_what_upstream_averaged_is_taken(tmp_path: Path) -> None:
    run = import_official(saved(blurred(), tmp_path), preset(), tmp_path / "run")
    weights = run.net.state_dict()
    expected, raw = ours(convnext_shapes(), seed=2), ours(convnext_shapes(), seed=1)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(value.double(), expected[name]) for name, value in weights.items())
    assert not torch.equal(weights["final_conv.1.weight"].double(), raw["final_conv.1.weight"])


def test_a_file_without_kernels_is_taken_at_the_presets_word(tmp_path: Path) -> None:
    file = saved(checkpoint(convnext_shapes()), tmp_path)
    told = preset(degradation=GaussianBlur(sigma_max=3.0))
    assert import_official(file, told, tmp_path / "run").degradation == GaussianBlur(sigma_max=3.0)
    assert "not taken over: nothing" in load(tmp_path / "run").config["data"]["origin"]


def test_a_prior_that_was_not_fitted_is_left_out(tmp_path: Path) -> None:
    file = saved(blurred(), tmp_path)
    with pytest.warns(UserWarning, match="a prior channel_gaussian that was not fitted: the run restores"):
        run = import_official(file, preset(prior=ChannelGaussian()), tmp_path / "run")
    assert run.prior is None and run.restore(torch.rand(1, 3, 16, 16), steps=1).shape == (1, 3, 16, 16)
    with pytest.warns(UserWarning, match="the preset has no prior"):
        assert import_official(file, preset(prior=None), tmp_path / "none").prior is None


def test_a_prior_that_was_fitted_is_kept(tmp_path: Path) -> None:
    prior = ChannelGaussian.fit(torch.rand(8, 3, 4, 4))
    import_official(saved(blurred(), tmp_path), preset(prior=prior), tmp_path / "run")
    run = load(tmp_path / "run", device="cpu")
    assert run.prior == prior and run.sample(1, steps=1).shape == (1, 3, 16, 16)


# --- what is refused -------------------------------------------------------------------------------------------------


class Trap:
    """Pickled, it runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_file_is_executed(tmp_path: Path, zipped: bool) -> None:
    trap, sprung = blurred() | {"extra": Trap(f"touch {tmp_path / 'sprung'}")}, tmp_path / "sprung"
    file = tmp_path / "model.pt"
    torch.save(trap, file, _use_new_zipfile_serialization=zipped)
    assert "could execute code" in refusal(file, preset(), tmp_path / "run")
    assert not sprung.exists()
    torch.load(file, weights_only=False)
    assert sprung.exists(), "the trap is none"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    whole = saved(blurred(), tmp_path).read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: int(share * len(whole))])
    assert "cut.pt' is not" in refusal(tmp_path / "cut.pt", preset(), tmp_path / "run")


def test_a_file_that_is_missing_or_no_checkpoint_is_refused(tmp_path: Path) -> None:
    assert "is not there" in refusal(tmp_path / "none.pt", preset(), tmp_path / "run")
    assert "is a folder" in refusal(tmp_path, preset(), tmp_path / "run")
    (tmp_path / "text.pt").write_text("weights\n")
    assert "is no PyTorch checkpoint" in refusal(tmp_path / "text.pt", preset(), tmp_path / "run")


EMA = "module.denoise_fn."


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda c: [c], "expected step, model, ema, got list"),
        (lambda c: c["ema"], "expected step, model, ema, got module.betas, module.denoise_fn.downs"),
        (lambda c: c | {"step": "late"}, "its step is no number"),
        (lambda c: c | {"ema": [1]}, "its ema no plain tensors"),
        (lambda c: c | {"ema": {"weight": 1}}, "its ema no plain tensors"),
        (
            lambda c: c | {"ema": kernels()},
            r"holds no network: expected tensors denoise_fn.\*, got gaussian_kernels.0.weight, ",
        ),
        (lambda c: c["ema"].pop(EMA + "mid_block1.net.3.bias"), "mid_block1.net.3.bias is missing$"),
        (lambda c: c["ema"].update({EMA + "init.weight": torch.ones(1)}), "init.weight is unexpected$"),
        (
            lambda c: c["ema"].update({EMA + "downs.0.3.weight": torch.ones(8, 8, 3, 3)}),
            r"downs.0.3.weight is \(8, 8, 3, 3\), expected \(8, 8, 4, 4\)$",
        ),
        (lambda c: c["ema"][EMA + "ups.0.3.bias"].fill_(torch.nan), "not all finite"),
        (lambda c: c["ema"].update({"module.betas": torch.zeros(5)}), "is of 5 steps, the preset of 4"),
        (lambda c: c["ema"].pop("module.gaussian_kernels.3.weight"), "3 blur kernels, the preset has 4 steps"),
        (
            lambda c: c["ema"].update({"module.gaussian_kernels.4.weight": torch.ones(3, 1, 3, 3)}),
            "5 blur kernels, the preset has 4 steps",
        ),
        (
            lambda c: c["ema"].update({"module.gaussian_kernels.1.weight": torch.ones(3, 1, 5, 5)}),
            r"blur kernel 1 .* is \(3, 1, 5, 5\), expected \(3, 1, 3, 3\)",
        ),
        (
            lambda c: c["ema"].update({"module.gaussian_kernels.2.weight": torch.full((3, 1, 3, 3), 1 / 9)}),
            "blur kernel 2 .* off the preset's",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, spoil: Callable[[Any], Any], told: str) -> None:
    content = blurred()
    changed = spoil(content)
    whole = isinstance(changed, list | dict)
    message = refusal(saved(changed if whole else content, tmp_path), preset(), tmp_path / "run")
    assert re.search(told, message), message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"restorer": replace(CONVNEXT, channels=1)},
            r"downs.0.0.mlp.1.bias is \(3,\), expected \(1,\), .* and 5 more$",
        ),
        ({"restorer": replace(CONVNEXT, channels=None)}, "needs an image_size and a restorer"),
        ({"restorer": UNetConfig(channels=3)}, "needs an image_size and a restorer"),
        ({"restorer": None}, "needs an image_size and a restorer"),
        ({"restorer": RESNET}, "not those of the preset's resnet_unet"),
        ({"image_size": None}, "needs an image_size and a restorer"),
        ({"restorer": replace(CONVNEXT, num_steps=5)}, "degradation has 4 steps, its restorer 5"),
        (
            {"restorer": replace(CONVNEXT, num_steps=5), "degradation": replace(BLUR, num_steps=5)},
            "of 4 steps, the preset of 5",
        ),
        ({"degradation": replace(BLUR, kernel_size=5)}, r"expected \(3, 1, 5, 5\)"),
        ({"degradation": replace(BLUR, sigmas=ConstantSigma(sigma=0.71))}, "it is another blur"),
        ({"degradation": GaussianMask(num_steps=4)}, "4 blur kernels, the preset undoes gaussian_mask"),
    ],
)
def test_a_preset_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    message = refusal(saved(blurred(), tmp_path), preset(**changes), tmp_path / "run")
    assert re.search(told, message), message


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    file, out = saved(blurred(), tmp_path), tmp_path / "run"
    import_official(file, preset(), out)
    before = {f.name: f.read_bytes() for f in out.iterdir()}
    for used in (out, file):
        with pytest.raises(ValueError, match="is there already"):
            import_official(file, preset(), used)
    assert {f.name: f.read_bytes() for f in out.iterdir()} == before
