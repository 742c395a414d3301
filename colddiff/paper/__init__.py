"""The paper: its operators, presets, published numbers and tables."""

from .operators import animorph as animorph
from .operators import blur as blur
from .operators import colour_mask as colour_mask
from .operators import decolor as decolor
from .operators import mask as mask
from .operators import noise as noise
from .operators import resolution as resolution
from .operators import snow as snow
