"""Degradations and runs as physics and reconstructors of deepinv."""

from importlib import import_module

try:
    import_module("deepinv.models")
except ImportError:
    raise ModuleNotFoundError('colddiff.interop.deepinv needs deepinv: pip install "colddiff[deepinv]"') from None

from .physics import as_generator as as_generator
from .physics import as_physics as as_physics
from .physics import from_physics as from_physics
from .reconstructor import as_denoiser as as_denoiser
from .reconstructor import as_reconstructor as as_reconstructor
