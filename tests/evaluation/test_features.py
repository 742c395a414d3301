"""Perception is measured by features that see what people see, or left out with a word on why."""

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from kornia.filters import gaussian_blur2d
from safetensors.torch import save_file
from support import tiny
from torch import nn

from colddiff.data import ImageData, load_data
from colddiff.degradations import GaussianBlur
from colddiff.evaluation import features as features_module
from colddiff.evaluation.features import FILE, choose_features, features_of, fid, kid, wants_training, with_error
from colddiff.models.serialization import load

CPU = torch.device("cpu")


TRAIN = load_data("digits", split="train")


@pytest.fixture
def run():
    return tiny.run_of(tiny.NET.build(), GaussianBlur())


class Mean(nn.Module):
    """A feature network of one's own."""

    num_features = 1

    def forward(self, x):
        return x.mean(dim=(2, 3))


def damages(x):
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    yield "blur", [gaussian_blur2d(x, (5, 5), (s, s)) for s in (0.5, 0.8, 2.0)]
    yield "noise", [(x + s * noise).clamp(0, 1) for s in (0.1, 0.2, 0.4)]


def test_fid_is_small_between_halves_of_real_data_and_grows_with_blur_and_noise(net):
    pytest.importorskip("torchmetrics")
    x, y = TRAIN[:500], TRAIN[500:1000]
    real = features_of(net, x)
    halves = fid(real, features_of(net, y))
    assert fid(real, real) == pytest.approx(0, abs=1e-6)
    for name, images in damages(y):
        values = [halves, *(fid(real, features_of(net, z)) for z in images)]
        assert values == sorted(values) and values[-1] > 5 * halves, (name, values)


def test_kid_is_unbiased_near_0_between_halves_of_real_data_and_grows_with_blur_and_noise(net):
    pytest.importorskip("torchmetrics")
    features = features_of(net, TRAIN[:1600])
    order = [torch.randperm(1600, generator=torch.Generator().manual_seed(k)) for k in range(20)]
    halves = torch.stack([kid(features[o[:100]], features[o[100:200]]).mean() for o in order])
    assert abs(float(halves.mean())) < 2.5 * float(halves.std()) / 20**0.5
    for name, images in damages(TRAIN[:200]):
        values = [0.0, *(float(kid(features[:200], features_of(net, z)).mean()) for z in images)]
        assert values == sorted(values) and values[-1] > 5 * float(halves.std()), (name, values)


def test_kid_of_a_set_and_itself_is_0_and_not_less():
    pytest.importorskip("torchmetrics")
    features = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    # Every number is three sums of n rows of four kernels, each a cube of a dot product of F terms: 3 (F + 2) eps
    n, F = features.shape
    largest = ((features.abs() @ features.abs().mT).max() / F + 1) ** 3
    assert kid(features, features).abs().max() <= 3 * n * 4 * 3 * (F + 2) * torch.finfo(torch.float64).eps * largest


def test_the_mean_of_kid_over_all_pairings_is_that_of_torchmetrics():
    module = pytest.importorskip("torchmetrics.image.kid")
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(12, 5, dtype=torch.float64, generator=g) + shift for shift in (0, 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = module.KernelInceptionDistance(feature=nn.Identity(), subsets=1, subset_size=12)
    metric.update(a, real=True)
    metric.update(b, real=False)
    ours = torch.stack([kid(a, b.roll(k, 0)).mean() for k in range(12)]).mean()
    assert float(ours) == pytest.approx(float(metric.compute()[0]), rel=1e-9)


def test_the_numbers_of_kid_are_those_of_a_jackknife():
    pytest.importorskip("torchmetrics")
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 9, 3, dtype=torch.float64, generator=g)
    values = kid(a, b)
    without = torch.stack([kid(a[keep], b[keep]).mean() for keep in ~torch.eye(9, dtype=torch.bool)])
    assert torch.allclose(values, 9 * values.mean() - 8 * without)
    error = ((without - without.mean()).square().sum() * 8 / 9).sqrt()
    assert with_error(values) == {"mean": float(values.mean()), "std": pytest.approx(float(error))}


def test_the_classifier_is_saved_with_the_run_and_used_again(tmp_path, quick, monkeypatch):
    pytest.importorskip("torchmetrics")
    from colddiff.training.train import train

    run = train(tiny.config(tmp_path / "run", steps=1), progress=False)
    for asked in ("auto", "classifier"):
        assert wants_training(run, asked)
    first = choose_features(run, "auto", training=TRAIN, images=9, progress=False)
    assert "accuracy" in first.description and "trained on this data set" in first.features and first.measure == "KID"
    assert (tmp_path / "run" / FILE).is_file() and not wants_training(run, "auto")
    monkeypatch.setattr(features_module, "train_classifier", None)
    for asked in ("auto", "classifier"):
        again = choose_features(load(tmp_path / "run"), asked, images=9)
        assert torch.equal(features_of(again.net, TRAIN[:4]), features_of(first.net, TRAIN[:4]))
        assert f"accuracy {float(first.net.accuracy):.0%}" in again.description


def test_it_is_told_where_kid_sees_fewer_images_than_fid(run):
    pytest.importorskip("torchmetrics")
    assert "KID (unbiased" in choose_features(run, Mean(), images=3000).description
    assert "KID of the first 3000 images (unbiased" in choose_features(run, Mean(), images=3001).description


def test_a_run_that_is_not_on_disk_is_left_there(tmp_path, quick, run, monkeypatch):
    pytest.importorskip("torchmetrics")
    monkeypatch.chdir(tmp_path)
    assert "not saved" in choose_features(run, "classifier", training=TRAIN, images=9, progress=False).description
    assert not [*tmp_path.iterdir()]


def test_nothing_is_written_into_the_library(tmp_path, quick, run, monkeypatch):
    pytest.importorskip("torchmetrics")
    (tmp_path / "config.json").touch()
    monkeypatch.setattr(features_module, "SHIPPED", tmp_path.parent)
    monkeypatch.chdir(tmp_path.parent)
    for path in (tmp_path, Path(tmp_path.name)):
        chosen = choose_features(replace(run, path=path), "classifier", training=TRAIN, images=9, progress=False)
        assert "not saved, as the run comes with the library" in chosen.description and not (tmp_path / FILE).exists()


def test_auto_says_why_perception_is_left_out_and_a_name_insists(run, quick, monkeypatch):
    few = ImageData(TRAIN.images[:5])
    cases = [(None, 9, "no training images"), (few, 9, "at least 20 training images, got 5"), (TRAIN, 3, "at least 4")]
    if features_module.find_spec("torchmetrics"):
        for training, images, why in cases:
            left = choose_features(run, "auto", training=training, images=images, progress=False)
            assert left.description.startswith("left out: ") and why in left.description and left.measure is None
            with pytest.raises(ValueError, match=why):
                choose_features(run, "classifier", training=training, images=images, progress=False)
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    left = choose_features(run, "auto", training=TRAIN, images=9)
    assert (
        left.description == f"left out: {features_module.INSTALL_METRICS}"
        and 'pip install "colddiff[metrics]"' in left.description
    )
    assert not wants_training(run, "auto")
    for asked in ("classifier", "inception", Mean()):
        with pytest.raises(ModuleNotFoundError, match="torchmetrics, which is not installed: pip install"):
            choose_features(run, asked, training=TRAIN, images=9)


def test_a_file_that_is_no_classifier_is_refused(tmp_path, run):
    pytest.importorskip("torchmetrics")
    save_file({"mean": torch.zeros(2)}, tmp_path / FILE)
    with pytest.raises(ValueError, match="do not fit the network"):
        choose_features(replace(run, path=tmp_path), "auto", images=9)


def test_a_network_of_ones_own_is_used_and_not_touched(run):
    pytest.importorskip("torchmetrics")
    own = Mean().train()
    chosen = choose_features(run, own, images=9)
    assert "your own Mean" in chosen.description and own.training and not chosen.net.training
    with pytest.raises(TypeError, match="says its num_features, Flatten does not"):
        choose_features(run, nn.Flatten(), images=9)


def test_a_name_that_is_not_known_gets_a_suggestion(run):
    with pytest.raises(LookupError, match=r"did you mean 'inception'.*known: auto, classifier"):
        choose_features(run, "incepton", images=9)


def test_inception_gets_8_bit_colour_images(run, monkeypatch):
    module = pytest.importorskip("torchmetrics.image.fid")
    seen = []

    class Stub(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x.float().mean(dim=(2, 3))

    monkeypatch.setattr(module, "FrechetInceptionDistance", lambda feature: SimpleNamespace(inception=Stub()))
    chosen = choose_features(run, "inception", images=9)
    features_of(chosen.net, torch.full((2, 1, 8, 8), 0.5))
    assert seen[0].dtype == torch.uint8 and seen[0].shape == (2, 3, 8, 8) and int(seen[0].max()) == 128
    assert "Inception" in chosen.features


@pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("checksum")])
def test_weights_that_cannot_be_had_are_one_line(run, monkeypatch, error):
    module = pytest.importorskip("torchmetrics.image.fid")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(module, "FrechetInceptionDistance", fail)
    with pytest.raises(OSError, match=f'needs its weights, .*: {error}; connect, or take "classifier"'):
        choose_features(run, "inception", images=9)
    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=fail))
    with pytest.raises(OSError, match=f'needs AlexNet, .*: {error}; connect, or take "classifier"'):
        choose_features(run, "lpips", images=9)


def test_what_is_not_installed_is_one_line(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs lpips, .* pip install "colddiff\[perceptual\]"'):
        choose_features(run, "lpips", images=9)
    pytest.importorskip("torchmetrics")
    if not features_module.find_spec("torch_fidelity"):
        with pytest.raises(ModuleNotFoundError, match=r'needs torch-fidelity, .* pip install "colddiff\[perceptual\]"'):
            choose_features(run, "inception", images=9)


class StubLpips(nn.Module):
    """As the package's: images (B, 3, H, W) of at least 32 pixels to (B, 1, 1, 1)."""

    def __init__(self, net, verbose):
        super().__init__()
        warnings.warn("the weights argument has changed", stacklevel=1)

    def forward(self, a, b, normalize):
        assert normalize and a.shape[1] == 3 and min(a.shape[2:]) >= 32
        return (a - b).abs().mean(dim=(1, 2, 3), keepdim=True)


def test_lpips_is_measured_per_image(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=StubLpips))
    chosen = choose_features(run, "lpips", images=1)
    a, b = torch.zeros(2, 1, 8, 9), torch.stack([torch.full((1, 8, 9), v) for v in (0.25, 0.5)])
    assert chosen.lpips(a, b).tolist() == [0.25, 0.5] and chosen.measure == "LPIPS" and chosen.net is None


def test_what_sees_colour_refuses_other_channels():
    run = tiny.run_of(nn.Linear(1, 1), GaussianBlur(), (2, 8, 8))
    for name in ("inception", "lpips") if features_module.find_spec("torchmetrics") else ("lpips",):
        with pytest.raises(ValueError, match="takes 1 or 3 channels, got 2"):
            choose_features(run, name, images=9)
