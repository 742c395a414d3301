"""Every sampler of the library, held to the published contract."""

from colddiff import SAMPLERS, estimated, momentum, perturbed
from colddiff.testing import SamplerContract


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


class TestMomentum(SamplerContract):
    examples = [momentum]


class TestPerturbed(SamplerContract):
    examples = [perturbed(0.0125), SAMPLERS["ihdm"]]


def test_every_sampler_is_under_the_contract() -> None:
    tested = [example for case in SamplerContract.__subclasses__() for example in case.examples]
    missing = [name for name, sampler in SAMPLERS.items() if sampler not in tested]
    assert not missing, f"list {missing} in tests/samplers/test_contract.py"
