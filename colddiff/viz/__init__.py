"""Pictures: sheets and strips of images, animations, maps of differences, and plots (which need matplotlib)."""

from ..data.image_io import to_image as to_image
from .calibration_plots import calibration as calibration
from .comparison_plots import curves as curves
from .comparison_plots import tradeoff as tradeoff
from .differences import difference as difference
from .differences import difference_map as difference_map
from .film_strips import film as film
from .film_strips import film_strip as film_strip
from .film_strips import frames as frames
from .film_strips import trajectory as trajectory
from .frequency_plots import frequencies as frequencies
from .schedule_plots import schedules as schedules
from .sheets import GAP as GAP
from .sheets import grid as grid
from .sheets import labelled_rows as labelled_rows
from .sheets import picture_format as picture_format
from .sheets import save as save
