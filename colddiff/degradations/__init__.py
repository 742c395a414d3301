"""The degradations, one file each."""

from .base import BoundDegradation as BoundDegradation
from .base import Claims as Claims
from .base import Degradation as Degradation
from .base import Params as Params
from .gaussian_blur import GaussianBlur as GaussianBlur
from .gaussian_mask import GaussianMask as GaussianMask
from .gaussian_noise import GaussianNoise as GaussianNoise
from .interpolate import Interpolate as Interpolate
from .iterated_blur import IteratedBlur as IteratedBlur
from .pixel_mask import PixelMask as PixelMask
from .pixel_noise import PixelNoise as PixelNoise
from .pixelate import Pixelate as Pixelate
from .uniform_noise import UniformNoise as UniformNoise
