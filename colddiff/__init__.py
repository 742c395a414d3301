"""Any image degradation in, a restorer and a generator out: cold diffusion in PyTorch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import paper as paper
    from . import testing as testing
    from . import viz as viz
    from .data.dataset import ImageData as ImageData
    from .data.dataset import from_images as from_images
    from .data.dataset import load_data as load_data
    from .data.image_io import read_images as read_images
    from .data.streaming.dataset import stream_data as stream_data
    from .degradations import Animorph as Animorph
    from .degradations import BlurNoise as BlurNoise
    from .degradations import BoundDegradation as BoundDegradation
    from .degradations import Claims as Claims
    from .degradations import ColourMask as ColourMask
    from .degradations import Compose as Compose
    from .degradations import Degradation as Degradation
    from .degradations import Desaturate as Desaturate
    from .degradations import Fade as Fade
    from .degradations import GaussianBlur as GaussianBlur
    from .degradations import GaussianMask as GaussianMask
    from .degradations import GaussianNoise as GaussianNoise
    from .degradations import Interpolate as Interpolate
    from .degradations import IteratedBlur as IteratedBlur
    from .degradations import Jpeg as Jpeg
    from .degradations import JpegPillow as JpegPillow
    from .degradations import MotionBlur as MotionBlur
    from .degradations import OneOf as OneOf
    from .degradations import Params as Params
    from .degradations import Pixelate as Pixelate
    from .degradations import PixelMask as PixelMask
    from .degradations import PixelNoise as PixelNoise
    from .degradations import Resolution as Resolution
    from .degradations import SaltAndPepper as SaltAndPepper
    from .degradations import Snow as Snow
    from .degradations import Spiral as Spiral
    from .degradations import UniformNoise as UniformNoise
    from .degradations import WideningBlur as WideningBlur
    from .degradations import from_callable as from_callable
    from .degradations import from_kornia as from_kornia
    from .degradations import schedules as schedules
    from .degradations.blur_schedules import AccumulatingSigma as AccumulatingSigma
    from .degradations.blur_schedules import ConstantSigma as ConstantSigma
    from .degradations.blur_schedules import DecreasingSigma as DecreasingSigma
    from .degradations.blur_schedules import ExponentialSigma as ExponentialSigma
    from .degradations.blur_schedules import LinearSigma as LinearSigma
    from .degradations.blur_schedules import SigmaSchedule as SigmaSchedule
    from .degradations.noise_schedules import BetaTable as BetaTable
    from .degradations.noise_schedules import CosineBetas as CosineBetas
    from .degradations.noise_schedules import LinearBetas as LinearBetas
    from .degradations.noise_schedules import NoiseSchedule as NoiseSchedule
    from .degradations.noise_schedules import QuadraticBetas as QuadraticBetas
    from .degradations.schedules import Bridge as Bridge
    from .degradations.schedules import Cosine as Cosine
    from .degradations.schedules import Exponential as Exponential
    from .degradations.schedules import Linear as Linear
    from .degradations.schedules import PiecewiseLinear as PiecewiseLinear
    from .degradations.schedules import Power as Power
    from .degradations.schedules import Schedule as Schedule
    from .evaluation import metrics as metrics
    from .evaluation.calibration import calibrate as calibrate
    from .evaluation.report import evaluate as evaluate
    from .evaluation.wasserstein import wasserstein_times as wasserstein_times
    from .interop.huggingface import push as push
    from .models.networks.diffusers_unet import DiffusersRestorer as DiffusersRestorer
    from .models.networks.diffusers_unet import DiffusersUNetConfig as DiffusersUNetConfig
    from .models.networks.unet import UNet as UNet
    from .models.networks.unet import UNetConfig as UNetConfig
    from .models.networks.wiener_unet import WienerUNetConfig as WienerUNetConfig
    from .models.run import Run as Run
    from .models.serialization import load as load
    from .paper import presets as presets
    from .samplers import priors as priors
    from .samplers.algorithms import SAMPLERS as SAMPLERS
    from .samplers.algorithms import estimated as estimated
    from .samplers.algorithms import heun as heun
    from .samplers.algorithms import improved as improved
    from .samplers.algorithms import momentum as momentum
    from .samplers.algorithms import multistep as multistep
    from .samplers.algorithms import naive as naive
    from .samplers.algorithms import one_shot as one_shot
    from .samplers.algorithms import perturbed as perturbed
    from .samplers.base import Restorer as Restorer
    from .samplers.base import Sampler as Sampler
    from .samplers.base import State as State
    from .samplers.consistency import consistent as consistent
    from .samplers.generation import generate as generate
    from .samplers.priors import ChannelGaussian as ChannelGaussian
    from .samplers.priors import ChannelGMM as ChannelGMM
    from .samplers.priors import Constant as Constant
    from .samplers.priors import Empirical as Empirical
    from .samplers.priors import LowresGMM as LowresGMM
    from .samplers.priors import Prior as Prior
    from .samplers.priors import StandardNormal as StandardNormal
    from .samplers.priors import Uniform as Uniform
    from .samplers.sample import sample as sample
    from .samplers.sample import walk as walk
    from .samplers.time_grid import time_grid as time_grid
    from .samplers.unknown_params import bind_observed as bind_observed
    from .training.config import TrainConfig as TrainConfig
    from .training.train import train as train
    from .utils.config import register as register

__version__ = "0.1.0"

# Where each public name is. All are loaded when first asked for, so that the command line starts without torch.
_NAMES = {
    "data.dataset": "ImageData from_images load_data",
    "data.image_io": "read_images",
    "data.streaming.dataset": "stream_data",
    "degradations": (
        "Animorph BlurNoise BoundDegradation Claims ColourMask Compose Degradation Desaturate Fade GaussianBlur "
        "GaussianMask GaussianNoise Interpolate IteratedBlur Jpeg JpegPillow MotionBlur OneOf Params PixelMask "
        "PixelNoise Pixelate Resolution SaltAndPepper Snow Spiral UniformNoise WideningBlur from_callable "
        "from_kornia"
    ),
    "degradations.blur_schedules": (
        "AccumulatingSigma ConstantSigma DecreasingSigma ExponentialSigma LinearSigma SigmaSchedule"
    ),
    "degradations.noise_schedules": "BetaTable CosineBetas LinearBetas NoiseSchedule QuadraticBetas",
    "degradations.schedules": "Bridge Cosine Exponential Linear Power Schedule PiecewiseLinear",
    "evaluation.calibration": "calibrate",
    "evaluation.report": "evaluate",
    "evaluation.wasserstein": "wasserstein_times",
    "interop.huggingface": "push",
    "models.networks.diffusers_unet": "DiffusersRestorer DiffusersUNetConfig",
    "models.networks.unet": "UNet UNetConfig",
    "models.networks.wiener_unet": "WienerUNetConfig",
    "models.run": "Run",
    "models.serialization": "load",
    "samplers.algorithms": "SAMPLERS estimated heun improved momentum multistep naive one_shot perturbed",
    "samplers.base": "Restorer Sampler State",
    "samplers.consistency": "consistent",
    "samplers.generation": "generate",
    "samplers.priors": "ChannelGMM ChannelGaussian Constant Empirical LowresGMM Prior StandardNormal Uniform",
    "samplers.sample": "sample walk",
    "samplers.time_grid": "time_grid",
    "samplers.unknown_params": "bind_observed",
    "training.config": "TrainConfig",
    "training.train": "train",
    "utils.config": "register",
}
_LAZY = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = ["degradation", *_LAZY]
_MODULES = {
    "metrics": "evaluation.metrics",
    "paper": "paper",
    "presets": "paper.presets",
    "priors": "samplers.priors",
    "schedules": "degradations.schedules",
    "testing": "testing",
    "viz": "viz",
}


def degradation(name: str, **fields: Any) -> "Degradation":
    """The degradation registered (or installed as a plug-in) under that name, with those fields.

    Raises:
        LookupError: no such name. TypeError: unknown field or wrong type. ValueError: a value out of range.
    """
    from .degradations import Degradation

    return Degradation.from_config({"type": name, **fields})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name in _LAZY:
        value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value  # asked once
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    hidden = {"TYPE_CHECKING", "Any", "import_module"}
    return sorted({*(n for n in globals() if not n.startswith("_")), *_LAZY, *_MODULES} - hidden)
