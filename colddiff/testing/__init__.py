"""The conformance suite: the promises of degradations and samplers, checked on examples of yours.

Under pytest, `class TestFog(DegradationContract): examples = [Fog()]`; anywhere else, `check_degradation(Fog())`.
"""

from .degradations import DegradationContract as DegradationContract
from .degradations import Subject as Subject
from .degradations import check_degradation as check_degradation
from .degradations import check_degradation_promise as check_degradation_promise
from .degradations import degradation_promises as degradation_promises
from .samplers import Line as Line
from .samplers import SamplerContract as SamplerContract
from .samplers import check_sampler as check_sampler
from .samplers import check_sampler_promise as check_sampler_promise
from .samplers import sampler_promises as sampler_promises
