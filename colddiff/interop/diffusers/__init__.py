"""Runs and degradations as schedulers, models and pipelines of diffusers."""

from .components import ColdPrior as ColdPrior
from .components import ColdUNet as ColdUNet
from .pipeline import ColdPipeline as ColdPipeline
from .pipeline import from_diffusers as from_diffusers
from .pipeline import to_diffusers as to_diffusers
from .scheduler import ColdScheduler as ColdScheduler
