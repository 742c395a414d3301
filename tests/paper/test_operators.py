"""The paper in its own words: what each routine is, its published settings, and what they are known to come to."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d

import colddiff as cd
from colddiff import paper
from colddiff.paper import operators

X = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_paper_is_reached_through_the_library() -> None:
    assert cd.paper.blur("Constant", 20, 11, 7.0) == cd.IteratedBlur()
    assert cd.paper.mask("Random_Incremental", 50, 0.1, 11) == cd.GaussianMask()
    assert cd.paper.resolution("Incremental_factor_2", 3) == cd.Resolution()


@pytest.mark.parametrize(
    "routine, sigmas",
    [
        ("Incremental", lambda i: 0.3 * (i + 1)), ("Constant", lambda i: 0.3), ("Constant_reflect", lambda i: 0.3),
        ("Exponential", lambda i: np.exp(0.3 * i)), ("Exponential_reflect", lambda i: np.exp(0.3 * i)),
        ("Special_6_routine", lambda i: 0.35 + i / 100),
    ],
)  # fmt: skip
def test_blur_routines_have_the_papers_widths_and_borders(routine, sigmas) -> None:
    op = paper.blur(routine, 6, 11, 0.3)
    assert op.sigmas.sigmas(6).tolist() == pytest.approx([sigmas(i) for i in range(6)])
    assert op.border == ("reflect" if "reflect" in routine or routine == "Special_6_routine" else "circular")
    assert op.num_steps == 6 and op.kernel_size == 11


@pytest.mark.parametrize("routine", ["Linear_Accum_Std", "Linear_Dec_Std"])
def test_widths_of_all_steps_add_up_to_the_target(routine) -> None:
    sigmas = paper.blur(routine, 10, 3, 4.0).sigmas.sigmas(10)
    assert float(sigmas.square().sum().sqrt()) == pytest.approx(4.0)


def test_discrete_ends_in_the_mean_of_each_channel() -> None:
    op = paper.blur("Exponential", 8, 5, 0.1, discrete=True)
    assert torch.allclose(op(X, 1.0), X.mean(dim=(2, 3), keepdim=True).expand_as(X), atol=1e-12)
    assert float(op(X, 7 / 8).std(dim=(2, 3)).min()) > 1e-3


def test_routines_without_a_name_are_refused_with_those_that_have_one() -> None:
    for call in (
        lambda: paper.blur("Exponentiel", 5, 3, 1.0), lambda: paper.mask("Random", 5, 1.0),
        lambda: paper.resolution("factor_2", 3), lambda: paper.decolor("linear", 20),
    ):  # fmt: skip
        with pytest.raises(LookupError, match="the paper has no routine"):
            call()
    with pytest.raises(ValueError, match="leave discrete out"):
        paper.blur("Individual_Incremental", 5, 3, 1.0, discrete=True)


def blurred(x):
    return gaussian_blur2d(x, (3, 3), (0.5, 0.5), border_type="reflect")


@pytest.mark.parametrize("name", operators.RESOLUTIONS)
def test_every_resolution_routine_is_its_steps(name) -> None:
    op = paper.resolution(name, 3)
    assert op.halving == name.endswith("factor_2") and op.blur == name.endswith("blur")
    mode, x = next((m for m in ("bilinear", "area") if m in name), "bicubic"), X
    for i in range(3):
        side = 16 // 2 ** (i + 1) if op.halving else 16 - i
        x = blurred(x) if op.blur else x
        x = F.interpolate(F.interpolate(x, size=side, mode=mode), size=16, mode="nearest-exact")
        x = blurred(x) if op.blur else x
        assert torch.allclose(op(X, (i + 1) / 3), x, atol=1e-12)


def test_decolor_is_the_channel_mean() -> None:
    for routine, share in (("Linear", 0.5), ("Constant", 1 - 0.9**10)):
        op = paper.decolor(routine, 20)
        mean = X.mean(dim=1, keepdim=True)
        assert torch.allclose(op(X, 0.5), X + share * (mean - X), atol=1e-12)
        assert torch.allclose(op(X, 1.0), mean.expand_as(X), atol=1e-12)


def test_noise_is_the_cosine_schedule_of_the_paper() -> None:
    bars = paper.noise(200).betas.alpha_bars()
    assert float(bars[1]) == pytest.approx(0.999745, abs=1e-6) and float(bars[2]) == pytest.approx(0.999369, abs=1e-6)
    assert float(bars[-1]) == pytest.approx(6.07e-8, rel=1e-2)
    assert paper.animorph(200).betas == paper.noise(200).betas


def test_the_blur_of_generation_leaves_nothing_but_the_mean() -> None:
    """The transfer of the lowest frequency of 128 pixels at steps 50 .. 300, as the reference computes it."""
    op = paper.blur("Exponential", 300, 27, 0.01)
    _, eigenvalues = op.spectrum(128, torch.tensor([50, 100, 150, 200, 250, 300]))
    expected = [0.90, 0.68, 0.32, 0.056, 0.0035, 1.3e-4]
    assert eigenvalues[:, 1].tolist() == pytest.approx(expected, rel=0.05)


OFFICIAL = Path(os.environ.get("COLDDIFF_OFFICIAL", "nowhere"))


def centred(z, name):
    return (torch.from_numpy(z[name]).double() + 1) / 2


OPERATORS = {
    "blur_mnist": lambda z: (paper.blur("Constant", 20, 11, 7.0), {}),
    "blur_cifar10": lambda z: (paper.blur("Special_6_routine", 50, 11, 0.1), {}),
    "blur_incremental": lambda z: (paper.blur("Incremental", 12, 5, 0.3), {}),
    "mask_celeba": lambda z: (paper.mask("Incremental", 100, 0.2, 1), {}),
    "colour_mask_forward": lambda z: (
        paper.colour_mask(150, 0.2, 1, reverse=False), {"color": centred(z, "colour")[:, :, None, None]}
    ),
    "resolution_cifar10": lambda z: (paper.resolution("Incremental_factor_2", 3), {}),
    "decolor_cifar10": lambda z: (paper.decolor("Linear", 20), {}),
    "noise_cosine": lambda z: (paper.noise(200), {"noise": torch.from_numpy(z["noise"])}),
    "snow_cifar10": lambda z: (
        paper.snow(3, 200),
        {
            "layer": torch.from_numpy(z["base"]).expand(2, 1, -1, -1),
            "vertical": torch.from_numpy(z["vertical"]).reshape(1).expand(2),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_operators_agree_with_outputs_of_the_official_classes(name, dtype) -> None:
    file = OFFICIAL / f"{name}.npz"
    if not file.is_file():
        pytest.skip("set COLDDIFF_OFFICIAL to a folder of outputs of the official classes")
    with np.load(file, allow_pickle=False) as z:
        op, params = OPERATORS[name](z)
        x0 = centred(z, "x0").to(dtype)
        for k, x_t in zip(z["t"].tolist(), centred(z, "xt"), strict=True):
            off = float((op(x0, k / op.levels, params) - x_t).abs().max())
            assert off <= 1e-6 + 1e-7 * k, f"step {k}: {off:.1e}"


@pytest.mark.parametrize(
    "op, params, told",
    [
        (paper.mask("Random_Incremental", 5, 0.1), {"center": torch.zeros(2)}, r"shape \(2, 2\), got \(2,\)"),
        (paper.snow(1, 5), {"layer": torch.zeros(2, 1, 16, 15)}, r"'layer' of Snow must have shape \(2, 1, 16, 16\)"),
        (paper.colour_mask(5, 1.0), {"color": torch.zeros(2, 1, 1, 1)}, r"shape \(2, 3, 1, 1\), got \(2, 1, 1, 1\)"),
        (paper.noise(5), {"noise": torch.zeros(2, 3, 8, 8)}, r"'noise' of GaussianNoise must have shape"),
        (paper.animorph(5), {"target": torch.zeros(2, 1, 16, 16)}, r"'target' of Animorph must have shape"),
    ],
)
def test_params_of_wrong_shapes_and_names_are_named(op, params, told) -> None:
    with pytest.raises(ValueError, match=told):
        op(X, 0.5, params)
    if op.estimable:
        return  # a sampler may find them
    with pytest.raises(TypeError, match=f"needs the param '{next(iter(params))}'"):
        op(X, 0.5, {"colour": torch.zeros(2, 3, 1, 1)})
