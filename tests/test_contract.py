"""Every operator and every sampler of the library, held to the published contract."""

import kornia
import pytest
import test_noisy_methods  # noqa: F401  # examples under the contract, too
import test_paper_masks  # noqa: F401
import test_paper_operators  # noqa: F401
import torch
from kornia import augmentation
from PIL.ImageFilter import GaussianBlur as GAUSSIAN

import colddiff
from colddiff import (
    SAMPLERS,
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
    Pixelate,
    PixelMask,
    PixelNoise,
    Power,
    QuadraticBetas,
    Resolution,
    SaltAndPepper,
    Table,
    UniformNoise,
    estimated,
    from_callable,
    from_kornia,
)
from colddiff.testing import DegradationContract, SamplerContract
from colddiff.utils.config import registered

TABLE = Table(values=(0.0, 0.1, 0.4, 1.0))


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
    examples = [Desaturate(), Desaturate(weights=(1 / 3, 1 / 3, 1 / 3), schedule=Power())]


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


class TestSamplers(SamplerContract):
    examples = [SAMPLERS["one_shot"], SAMPLERS["naive"], SAMPLERS["estimated"], SAMPLERS["ddpm"], estimated(eta=0.5)]


class TestImproved(SamplerContract):
    examples = [SAMPLERS["improved"]]
    forgiving = True


class TestHeun(SamplerContract):
    examples = [SAMPLERS["heun"]]
    calls_per_step = 2
    forgiving = True


class TestMultistep(SamplerContract):
    examples = [SAMPLERS["multistep"]]
    forgiving = True


def _examples(contract: type) -> list[object]:
    return [example for case in contract.__subclasses__() for example in case.examples]


def test_every_registered_degradation_is_under_the_contract() -> None:
    tested = {type(op) for op in _examples(DegradationContract)}
    ours = {n for n, c in registered("colddiff.degradations").items() if c.__module__.startswith("colddiff.")}
    missing = {name for name in ours if registered("colddiff.degradations")[name] not in tested}
    assert not missing, f"list examples of {missing} in tests/test_contract.py"


@pytest.mark.parametrize("group", ["schedules", "noise_schedules", "sigma_schedules"])
def test_every_registered_schedule_is_under_the_contract_of_some_degradation(group: str) -> None:
    used = {type(getattr(op, field)) for op in _examples(DegradationContract) for field in op.__dataclass_fields__}
    classes = registered(f"colddiff.{group}").values()
    assert not {c for c in classes if c.__module__.startswith("colddiff.")} - used


def test_every_sampler_is_under_the_contract() -> None:
    missing = [name for name, sampler in SAMPLERS.items() if sampler not in _examples(SamplerContract)]
    assert not missing, f"list {missing} in tests/test_contract.py"


def test_every_exported_degradation_is_registered() -> None:
    exported = {
        value
        for value in vars(colddiff).values()
        if isinstance(value, type) and issubclass(value, colddiff.Degradation) and value is not colddiff.Degradation
    }
    assert exported == {c for c in registered("colddiff.degradations").values() if c.__module__.startswith("colddiff.")}
