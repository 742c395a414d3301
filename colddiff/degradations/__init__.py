"""The degradations, one file each."""

from .adapters import from_callable as from_callable
from .adapters import from_kornia as from_kornia
from .base import BoundDegradation as BoundDegradation
from .base import Claims as Claims
from .base import Degradation as Degradation
from .base import Params as Params
from .compose import Compose as Compose
from .desaturate import Desaturate as Desaturate
from .gaussian_blur import GaussianBlur as GaussianBlur
from .gaussian_mask import GaussianMask as GaussianMask
from .gaussian_noise import GaussianNoise as GaussianNoise
from .interpolate import Interpolate as Interpolate
from .iterated_blur import IteratedBlur as IteratedBlur
from .jpeg import Jpeg as Jpeg
from .jpeg_pillow import JpegPillow as JpegPillow
from .motion_blur import MotionBlur as MotionBlur
from .one_of import OneOf as OneOf
from .pixel_mask import PixelMask as PixelMask
from .pixel_noise import PixelNoise as PixelNoise
from .pixelate import Pixelate as Pixelate
from .resolution import Resolution as Resolution
from .salt_and_pepper import SaltAndPepper as SaltAndPepper
from .uniform_noise import UniformNoise as UniformNoise
