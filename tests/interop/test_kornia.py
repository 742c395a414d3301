"""Augmentations of Kornia as degradations, and degradations as its augmentations: with params that are drawn once."""

import pytest
import torch
from kornia import augmentation
from kornia.augmentation import AugmentationSequential
from support.comparing import seeded

import colddiff as cd
from colddiff.interop.kornia import AsAugmentation

# --- theirs here -----------------------------------------------------------------------------------------------------

INTENSITY = {
    "brightness": augmentation.RandomBrightness((0.5, 1.5), p=1.0),
    "contrast": augmentation.RandomContrast((0.5, 1.5), p=1.0),
    "hue": augmentation.RandomHue((-0.3, 0.3), p=1.0),
    "saturation": augmentation.RandomSaturation((0.2, 2.0), p=1.0),
    "jpeg": augmentation.RandomJPEG((5.0, 50.0), p=1.0),
    "gaussian blur": augmentation.RandomGaussianBlur((3, 3), (0.5, 2.0), p=1.0),
    "illumination": augmentation.RandomGaussianIllumination(p=1.0),
    "linear illumination": augmentation.RandomLinearIllumination(p=1.0),
    "plasma": augmentation.RandomPlasmaContrast(p=1.0),
    "posterize": augmentation.RandomPosterize((1, 6), p=1.0),
    "solarize": augmentation.RandomSolarize(p=1.0),
    "sharpness": augmentation.RandomSharpness((1.0, 5.0), p=1.0),
    "rgb shift": augmentation.RandomRGBShift(p=1.0),
    "channel shuffle": augmentation.RandomChannelShuffle(p=1.0),
    "snow": augmentation.RandomSnow(snow_coefficient=(0.2, 0.8), brightness=(1.0, 3.0), p=1.0),
    "rain": augmentation.RandomRain(number_of_drops=(9, 9), drop_height=(1, 3), drop_width=(1, 2), p=1.0),
}


ROUNDING = 8 * torch.finfo(torch.float32).eps  # of a few operations on values in [0, 1], vectorized or not


@pytest.mark.parametrize("name", INTENSITY)
def test_an_augmentation_gives_what_kornia_gives_for_the_same_draws(name: str, images) -> None:
    x, aug = images(4, 3, 16, 16, dtype=torch.float32), INTENSITY[name]
    op, generator = cd.from_kornia(aug), seeded(1)
    params = op.draw(x, seeded(1))
    for i, image in enumerate(x):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            expected = aug(image[None])
        assert torch.allclose(op(x, 1.0, params)[i], expected[0], rtol=0, atol=ROUNDING)
    assert not torch.equal(op(x, 1.0, params), op(x, 1.0, op.draw(x, seeded(2))))
    t = torch.tensor([0.0, 0.3, 0.7, 1.0])
    apart = [op(x[i : i + 1], t[i : i + 1], {k: v[i : i + 1] for k, v in params.items()}) for i in range(4)]
    assert torch.allclose(op(x, t, params), torch.cat(apart), rtol=0, atol=ROUNDING) and torch.equal(apart[0][0], x[0])


# --- ours there ------------------------------------------------------------------------------------------------------

OURS = {
    "blur": cd.GaussianBlur(sigma_max=2.0),
    "motion": cd.MotionBlur(),
    "noise": cd.GaussianNoise(),
    "hole": cd.GaussianMask(),
    "snow": cd.Snow(),
    "composition": cd.Compose(parts=(cd.MotionBlur(), cd.GaussianNoise())),
}


@pytest.mark.parametrize("name", OURS)
def test_a_degradation_is_an_augmentation_whose_params_replay(name: str, images) -> None:
    op, x = OURS[name], images(3, 3, 12, 12, dtype=torch.float32)
    aug = AsAugmentation(op, t=(0.3, 1.0), generator=seeded(0))
    y = aug(x)
    own = {k.removeprefix("param."): v for k, v in aug._params.items() if k.startswith("param.")}
    assert torch.equal(y, op(x, aug._params["t"], own)) and not torch.equal(y, x)
    assert torch.equal(aug(x, params=aug._params), y) and not torch.equal(aug(x), y)
    assert torch.equal(AsAugmentation(op, t=(0.3, 1.0), generator=seeded(0))(x), y)


def test_torchs_generator_is_left_alone_where_there_is_another(images) -> None:
    before = torch.get_rng_state()
    AsAugmentation(cd.GaussianNoise(), generator=seeded(0))(images(2, 3, 8, 8))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_a_seed_of_torch_decides(images) -> None:
    x, aug, found = images(2, 3, 8, 8), AsAugmentation(cd.GaussianNoise()), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(aug(x))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_it_goes_into_a_sequence_with_masks_and_boxes(images) -> None:
    x, mask = images(2, 3, 12, 12, dtype=torch.float32), images(2, 1, 12, 12, dtype=torch.float32, seed=1)
    box = torch.tensor([[[1.0, 1.0, 5.0, 6.0]]]).repeat(2, 1, 1)
    both = AugmentationSequential(
        AsAugmentation(cd.MotionBlur(), t=1.0, generator=seeded(0)), augmentation.RandomHorizontalFlip(p=1.0),
        data_keys=["input", "mask", "bbox_xyxy"],
    )  # fmt: skip
    y, mask_after, box_after = both(x, mask, box)
    assert torch.equal(mask_after, mask.flip(-1)) and box_after.shape == box.shape
    op = cd.MotionBlur()
    assert torch.allclose(y, op(x, 1.0, _drawn_after_times(op, x)).flip(-1), atol=1e-6)
    again = both(x, mask, box, params=both._params)
    assert torch.equal(again[0], y)


def _drawn_after_times(op: cd.Degradation, x: torch.Tensor) -> cd.Params:
    generator = seeded(0)
    torch.rand(len(x), generator=generator)
    return op.draw(x, generator)


def test_an_image_that_the_lot_spares_is_as_it_was(images) -> None:
    x = images(8, 1, 8, 8, dtype=torch.float32)
    torch.manual_seed(0)
    aug = AsAugmentation(cd.GaussianNoise(), t=0.8, p=0.5)
    spared = (aug(x) == x).flatten(1).all(dim=1)
    assert torch.equal(spared, aug._params["batch_prob"] < 0.5) and 0 < int(spared.sum()) < 8


def test_a_batch_may_share_one_draw_and_one_image_stays_one(images) -> None:
    x = images(1, 1, 8, 8, dtype=torch.float32).expand(3, 1, 8, 8)
    y = AsAugmentation(cd.GaussianNoise(), same_on_batch=True)(x)
    assert torch.equal(y[0], y[1]) and torch.equal(y[0], y[2]) and not torch.equal(y, x)
    assert AsAugmentation(cd.GaussianNoise(), keepdim=True)(x[0]).shape == (1, 8, 8)


def test_gradients_flow_through_it(images) -> None:
    x = images(1, 1, 8, 8).requires_grad_()
    AsAugmentation(cd.GaussianBlur(sigma_max=1.0), t=1.0)(x).sum().backward()
    assert x.grad is not None and bool((x.grad != 0).all())


@pytest.mark.parametrize("t", [-0.1, 1.5, (0.5, 0.2), (0.0, 0.5, 1.0), "half"])
def test_times_that_are_none_are_refused(t: object) -> None:
    with pytest.raises(ValueError, match=r"t must be a time in \[0, 1\], or two, low and high"):
        AsAugmentation(cd.GaussianBlur(), t=t)


def test_params_that_come_with_the_data_are_refused() -> None:
    with pytest.raises(ValueError, match="needs the endpoint of each image"):
        AsAugmentation(cd.Interpolate())
