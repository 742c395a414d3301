"""A classifier of rotations, whose features tell pictures apart."""

import pytest
import torch
from torch import nn

from colddiff.data import ImageData, load_data
from colddiff.evaluation.features import features_of
from colddiff.evaluation.rotation_classifier import RotationClassifier, train_classifier

CPU = torch.device("cpu")


TRAIN = load_data("digits", split="train")


def test_the_classifier_learns_how_images_were_turned(net):
    assert float(net.accuracy) > 0.6


def test_the_features_are_in_standard_deviations_of_the_training_images(net):
    found = features_of(net, TRAIN[:400])
    assert found.shape == (400, net.num_features) and found.dtype == torch.float64
    assert float(found.mean(0).abs().max()) < 0.3 and 0.7 < float(found.std(0).median()) < 1.3


def test_features_are_computed_in_full_float32_on_every_device(quick):
    knob, seen = torch.backends.cudnn.conv, []
    before = knob.fp32_precision
    handle = nn.modules.module.register_module_forward_pre_hook(lambda *_: seen.append(knob.fp32_precision))
    try:
        knob.fp32_precision = "tf32"
        features_of(RotationClassifier(1).eval(), TRAIN[:2])
        train_classifier(TRAIN, CPU, progress=False)
        assert set(seen) == {"ieee"} and knob.fp32_precision == "tf32"
    finally:
        knob.fp32_precision = before
        handle.remove()


def test_the_classifier_is_the_same_every_time_and_leaves_the_global_generator_alone(quick):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = train_classifier(TRAIN, CPU, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    second = train_classifier(TRAIN, CPU, progress=False)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("shape", [(5, 9, 13), (1, 70, 66), (3, 1, 1)])
def test_the_classifier_takes_any_size_and_channels(quick, shape):
    images = torch.randint(256, (24, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    net = train_classifier(ImageData(images), CPU, progress=False)
    assert features_of(net, images[:2] / 255).isfinite().all()


def test_the_classifier_can_be_trained_where_gradients_are_off(quick):
    with torch.no_grad():
        net = train_classifier(TRAIN, CPU, progress=False)
    torch.random.manual_seed(0)
    assert not torch.equal(net.head.weight, RotationClassifier(1).head.weight)
