"""Every operator and every sampler of the library, held to the published contract."""

import pytest

import colddiff
from colddiff import (
    SAMPLERS,
    BetaTable,
    ConstantSigma,
    Cosine,
    CosineBetas,
    ExponentialSigma,
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    Interpolate,
    IteratedBlur,
    LinearBetas,
    LinearSigma,
    Pixelate,
    PixelMask,
    PixelNoise,
    Power,
    QuadraticBetas,
    Table,
    UniformNoise,
    estimated,
)
from colddiff.registry import registered
from colddiff.testing import DegradationContract, SamplerContract

TABLE = Table(values=(0.0, 0.1, 0.4, 1.0))


class TestGaussianBlur(DegradationContract):
    examples = [
        GaussianBlur(),
        GaussianBlur(sigma_max=0.4, border="circular"),
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
    examples = [Pixelate(), Pixelate(schedule=Cosine())]


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


class TestInterpolate(DegradationContract):
    examples = [
        Interpolate(),
        Interpolate(schedule=Power()),
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


class TestSamplers(SamplerContract):
    examples = [SAMPLERS["one_shot"], SAMPLERS["naive"], SAMPLERS["estimated"], SAMPLERS["ddpm"], estimated(eta=0.5)]


class TestImproved(SamplerContract):
    examples = [SAMPLERS["improved"]]
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
