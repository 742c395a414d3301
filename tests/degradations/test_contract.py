"""Every operator of the library, held to the published contract."""

import kornia
import pytest
import torch
from kornia import augmentation
from PIL.ImageFilter import GaussianBlur as GAUSSIAN

import colddiff
from colddiff import (
    BetaTable,
    Bridge,
    Claims,
    Compose,
    ConstantSigma,
    Cosine,
    CosineBetas,
    Desaturate,
    Exponential,
    ExponentialSigma,
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    Interpolate,
    IteratedBlur,
    Jpeg,
    JpegPillow,
    LinearBetas,
    LinearSigma,
    MotionBlur,
    OneOf,
    PiecewiseLinear,
    Pixelate,
    PixelMask,
    PixelNoise,
    Power,
    QuadraticBetas,
    Resolution,
    SaltAndPepper,
    UniformNoise,
    from_callable,
    from_kornia,
)
from colddiff.degradations.blur_schedules import AccumulatingSigma, DecreasingSigma
from colddiff.degradations.operators.animorph import Animorph
from colddiff.degradations.operators.blur_noise import BlurNoise
from colddiff.degradations.operators.colour_mask import ColourMask
from colddiff.degradations.operators.fade import Fade
from colddiff.degradations.operators.snow import Snow
from colddiff.degradations.operators.spiral import Spiral
from colddiff.degradations.operators.widening_blur import WideningBlur
from colddiff.testing import DegradationContract
from colddiff.utils.config import registered

MEAN = (1 / 3, 1 / 3, 1 / 3)
TABLE = PiecewiseLinear(values=(0.0, 0.1, 0.4, 1.0))


class TestGaussianBlur(DegradationContract):
    examples = [
        GaussianBlur(),
        GaussianBlur(sigma_max=0.4, border="circular", schedule=Exponential()),
        GaussianBlur(sigma_max=3, border="symmetric", schedule=Power(exponent=0.5)),
    ]


class TestIteratedBlur(DegradationContract):
    examples = [
        IteratedBlur(),
        IteratedBlur(num_steps=50, sigmas=LinearSigma(), border="reflect", schedule=Cosine()),
        IteratedBlur(num_steps=12, kernel_size=5, sigmas=ExponentialSigma(start=0.3, rate=0.1), border="symmetric"),
        IteratedBlur(num_steps=1, kernel_size=3, sigmas=ConstantSigma(sigma=0.5)),
    ]


class TestGaussianMask(DegradationContract):
    examples = [
        GaussianMask(),
        GaussianMask(num_steps=7, kernel_std=0.2, initial_mask=1, random_center=False, fill=(0.0,)),
        GaussianMask(num_steps=100, fill=(1.0, 0.5, 0.0), schedule=Power()),
        GaussianMask(growing=False),
        GaussianMask(num_steps=12, kernel_std=1.5, growing=False, random_center=False, fill=(0.0,)),
    ]


class TestPixelMask(DegradationContract):
    examples = [PixelMask(), PixelMask(fill=(0.0,), schedule=TABLE), PixelMask(fill=(0.2, 0.4, 0.6))]


class TestPixelate(DegradationContract):
    examples = [Pixelate(), Pixelate(schedule=Cosine()), Pixelate(largest=4)]


class TestResolution(DegradationContract):
    examples = [
        Resolution(),
        Resolution(num_steps=6, mode="area", halving=False, schedule=Cosine()),
        Resolution(num_steps=12, halving=False),
        Resolution(num_steps=5, mode="bilinear", schedule=Power()),
    ]


class TestGaussianNoise(DegradationContract):
    examples = [
        GaussianNoise(),
        GaussianNoise(betas=CosineBetas(num_steps=200), schedule=Power(exponent=0.5)),
        GaussianNoise(betas=QuadraticBetas(num_steps=100), schedule=TABLE),
        GaussianNoise(betas=LinearBetas(num_steps=1, beta_start=0.5, beta_end=0.5)),
        GaussianNoise(betas=BetaTable(values=(0.1, 0.3, 0.9))),
    ]


class TestUniformNoise(DegradationContract):
    examples = [UniformNoise(), UniformNoise(wrap=False, schedule=Cosine())]


class TestPixelNoise(DegradationContract):
    examples = [PixelNoise(), PixelNoise(sigma=200, schedule=Power(exponent=3))]


class TestDesaturate(DegradationContract):
    examples = [
        Desaturate(),
        Desaturate(weights=MEAN, schedule=Power()),
        Desaturate(weights=MEAN, num_steps=20),
        Desaturate(weights=MEAN, num_steps=6, keep=0.9),
        Desaturate(num_steps=6, keep=0.5, total_removal=False, schedule=Power()),
        Desaturate(lab=True),
        Desaturate(weights=MEAN, num_steps=5, keep=0.9, lab=True),
    ]


class TestMotionBlur(DegradationContract):
    examples = [
        MotionBlur(),
        MotionBlur(length=0.7, angle=30, border="symmetric", schedule=Cosine()),
        MotionBlur(length=24, border="circular"),
    ]


class TestJpeg(DegradationContract):
    examples = [Jpeg(), Jpeg(quality_max=99, quality_min=1, schedule=TABLE), Jpeg(quality_max=40, quality_min=40)]


class TestJpegPillow(DegradationContract):
    examples = [
        JpegPillow(),
        JpegPillow(quality_max=99, quality_min=1, subsampling="4:4:4", schedule=Power(exponent=0.5)),
    ]


class TestSaltAndPepper(DegradationContract):
    examples = [SaltAndPepper(), SaltAndPepper(share=1, schedule=Cosine()), SaltAndPepper(share=0.05)]


class TestInterpolate(DegradationContract):
    examples = [
        Interpolate(),
        Interpolate(schedule=Power()),
        Interpolate(schedule=Bridge()),
        Interpolate(num_steps=1),
        Interpolate(to=GaussianBlur(sigma_max=4), num_steps=5, schedule=Cosine()),
        Interpolate(to=GaussianBlur(sigma_max=4)),
        Interpolate(to=IteratedBlur(num_steps=4)),
        Interpolate(to=Pixelate()),
        Interpolate(to=GaussianMask(num_steps=20)),
        Interpolate(to=PixelMask(fill=(0.0,))),
        Interpolate(to=GaussianNoise(betas=CosineBetas(num_steps=50))),
        Interpolate(to=UniformNoise()),
        Interpolate(to=PixelNoise(), schedule=Cosine()),
        Interpolate(to=Interpolate()),
    ]


class TestCompose(DegradationContract):
    examples = [
        Compose(parts=(GaussianBlur(sigma_max=2, schedule=Power()), GaussianNoise())),
        Compose(parts=(Pixelate(), GaussianBlur(sigma_max=2, border="circular"))),
        Compose(parts=(GaussianMask(num_steps=9), Compose(parts=(PixelMask(), Pixelate()))), schedule=Cosine()),
        Compose(parts=(GaussianBlur(sigma_max=2), PixelMask())),
        Compose(parts=(Interpolate(), MotionBlur(length=5))),
    ]


class TestOneOf(DegradationContract):
    examples = [
        OneOf(options=(GaussianBlur(sigma_max=2), GaussianNoise(), PixelMask())),
        OneOf(options=(Pixelate(), Compose(parts=(Jpeg(), UniformNoise()))), schedule=Power()),
        OneOf(options=(Interpolate(),)),
    ]


class TestBlackBoxes(DegradationContract):
    examples = [
        from_callable(lambda im, r: im.filter(GAUSSIAN(r)), severity=(0, 4), images="pillow", name="pillow blur"),
        from_callable(lambda im, a: (im * (1 - a)).astype("uint8"), images="uint8", name="darker"),
        from_callable(lambda im, a: im ** (1 + a), images="numpy", severity=lambda s: 3 * s**2, name="gamma"),
        from_callable(
            lambda im, a, light: im + a * (light - im),
            draw=lambda g: {"light": torch.rand((), generator=g)},
            claims=Claims.MONOTONE | Claims.DIFFERENTIABLE,
            name="fog",
        ),
        from_callable(
            lambda im, a, z: im + a * z.mean(), draw=lambda g: {"z": torch.randn(3, 2, generator=g)}, name="offset"
        ),
        from_kornia(kornia.enhance.adjust_gamma, severity=lambda s: {"gamma": 1 + 4 * s}, name="kornia gamma"),
        from_kornia(torch.sigmoid, name="faded"),
        from_kornia(augmentation.RandomMotionBlur(3, 35.0, 0.5, p=1.0), name="kornia motion"),
        from_kornia(augmentation.RandomPlasmaShadow(p=1.0), name="shadow"),
        from_kornia(
            augmentation.RandomGamma((0.2, 4.0), p=1.0),
            severity=lambda s, drawn: drawn | {"gamma_factor": 1 + s * (drawn["gamma_factor"] - 1)},
            name="random gamma",
        ),
    ]


class TestBlurNoise(DegradationContract):
    examples = [BlurNoise(), BlurNoise(sigma_max=3.0, min_gain=0.1), BlurNoise(sigma_max=0.0, log_snr=6.0)]


class TestColourMask(DegradationContract):
    examples = [
        ColourMask(),
        ColourMask(num_steps=9, kernel_std=0.5, schedule=Power(exponent=2.0)),
        ColourMask(num_steps=20, kernel_std=0.2, initial_mask=3, reverse=False, low=0.5, high=0.5),
    ]


class TestSpiral(DegradationContract):
    examples = [
        Spiral(),
        Spiral(num_steps=48, fill=(0.0,)),
        Spiral(num_steps=10, fill=(1.0, 0.5, 0.0), schedule=Power()),
        Spiral(num_steps=31, fill=(0.0,), random_fill=True),
    ]


class TestFade(DegradationContract):
    examples = [
        Fade(),
        Fade(num_steps=7, rate=0.3, growing=False, fill=(0.0,)),
        Fade(num_steps=30, rate=0.2, fill=(1.0, 0.5, 0.0), schedule=Power()),
    ]


class TestSnow(DegradationContract):
    examples = [
        Snow(),
        Snow(level=1, num_steps=5, fix_brightness=False, schedule=Cosine()),
        Snow(level=2, num_steps=30),
        Snow(level=4, num_steps=1, fix_brightness=False, schedule=Power()),
    ]


class TestAnimorph(DegradationContract):
    examples = [Animorph(), Animorph(betas=QuadraticBetas(num_steps=7), schedule=Cosine())]


class TestWideningBlur(DegradationContract):
    examples = [WideningBlur(), WideningBlur(num_steps=3, schedule=Power()), WideningBlur(num_steps=1)]


class TestBlurWithKernelsOfItsOwn(DegradationContract):
    examples = [
        IteratedBlur(num_steps=9, kernel_size=None, sigmas=AccumulatingSigma(start=0.3, target=4.0)),
        IteratedBlur(num_steps=5, kernel_size=None, sigmas=DecreasingSigma(target=2.0), border="reflect"),
    ]


class TestBlurThatEndsInTheMean(DegradationContract):
    examples = [
        IteratedBlur(num_steps=6, ends_in_mean=True),
        IteratedBlur(num_steps=6, sigmas=ConstantSigma(sigma=1.0), kernel_size=5, border="reflect", ends_in_mean=True),
        IteratedBlur(num_steps=3, sigmas=ExponentialSigma(), kernel_size=None, border="symmetric", ends_in_mean=True),
    ]


class TestResolutionWithBlur(DegradationContract):
    examples = [
        Resolution(blur=True),
        Resolution(num_steps=6, mode="area", halving=False, blur=True, schedule=Cosine()),
        Resolution(num_steps=4, mode="bilinear", halving=False, blur=True),
    ]


def _examples(contract: type) -> list[object]:
    return [example for case in contract.__subclasses__() for example in case.examples]


def test_every_registered_degradation_is_under_the_contract() -> None:
    tested = {type(op) for op in _examples(DegradationContract)}
    ours = {n for n, c in registered("colddiff.degradations").items() if c.__module__.startswith("colddiff.")}
    missing = {name for name in ours if registered("colddiff.degradations")[name] not in tested}
    assert not missing, f"list examples of {missing} in tests/degradations/test_contract.py"


@pytest.mark.parametrize("group", ["schedules", "noise_schedules", "sigma_schedules"])
def test_every_registered_schedule_is_under_the_contract_of_some_degradation(group: str) -> None:
    used = {type(getattr(op, field)) for op in _examples(DegradationContract) for field in op.__dataclass_fields__}
    classes = registered(f"colddiff.{group}").values()
    assert not {c for c in classes if c.__module__.startswith("colddiff.")} - used


def test_every_exported_degradation_is_registered() -> None:
    exported = {
        value
        for value in vars(colddiff).values()
        if isinstance(value, type) and issubclass(value, colddiff.Degradation) and value is not colddiff.Degradation
    }
    assert exported == {c for c in registered("colddiff.degradations").values() if c.__module__.startswith("colddiff.")}
