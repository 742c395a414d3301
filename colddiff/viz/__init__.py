"""Pictures: sheets and strips of images, animations, maps of differences, and plots (which need matplotlib)."""

from ..data.image_io import to_image as to_image
from .differences import difference as difference
from .differences import difference_map as difference_map
from .films import film as film
from .films import film_strip as film_strip
from .films import frames as frames
from .films import trajectory as trajectory
from .methods import curves as curves
from .methods import tradeoff as tradeoff
from .sheets import GAP as GAP
from .sheets import grid as grid
from .sheets import labelled_rows as labelled_rows
from .sheets import picture_format as picture_format
from .sheets import save as save
from .spectra import frequencies as frequencies
from .straight import calibration as calibration
from .warps import schedules as schedules
