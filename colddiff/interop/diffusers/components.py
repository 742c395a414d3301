"""A run's network and prior as components of a pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ...models.networks.unet import RestorerConfig
from ...models.redaction import strip_paths
from ...models.run import Run
from ...models.serialization import LONGEST_SIDE, MOST_CHANNELS
from ...samplers.priors import Fitted, Prior
from ...utils.safetensors_io import read_tensors, write_tensors

# By name: diffusers looks for the base classes of a component in the module that a saved pipeline names.
from .base import BaseOutput, ConfigMixin, FromAnybody, ModelMixin, SchedulerMixin, register_to_config
from .scheduler import times_of, to_centred, to_unit

WEIGHTS = "diffusion_pytorch_model.safetensors"
CHANNELS = range(1, MOST_CHANNELS + 1)
# Of a run's config: what the parts hold by themselves, and what is written anew.
OWN = ("library", "version", "format", "restorer", "degradation", "prior", "image")


@dataclass
class ColdUNetOutput(BaseOutput):  # type: ignore[misc]
    """What a network gives.

    Args:
        sample: the clean images as it sees them, (B, C, H, W) in [-1, 1].
    """

    sample: Tensor


class ColdUNet(FromAnybody, ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Any of our networks as a model of diffusers: it says x0, which is `prediction_type="sample"`.

    Args:
        restorer: a `RestorerConfig`, or its JSON, as the config keeps it: {"type": "unet", "width": 64}.
        sample_size: (H, W) in pixels of the images it was trained on, or their side; others will do as for the network.
        in_channels: of the images, in and out.
        run: what else the run's config.json tells: its data, its training.

    Raises:
        ValueError, LookupError, TypeError: no such network.
    """

    @register_to_config
    def __init__(
        self, restorer: RestorerConfig | dict[str, Any], sample_size: int | Sequence[int] = 32, in_channels: int = 3,
        run: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        sides = [sample_size] if isinstance(sample_size, int) else [*sample_size]
        if len(sides) > 2 or not all(1 <= side <= LONGEST_SIDE for side in sides) or in_channels not in CHANNELS:
            raise ValueError(
                f"expected images of 1 .. {CHANNELS[-1]} channels and of 1 .. {LONGEST_SIDE} px, got {in_channels}, "
                f"{str(sample_size)[:100]}"
            )
        made = RestorerConfig.from_config(restorer)
        self.register_to_config(restorer=made.to_config())
        self.net = made.build()

    def forward(
        self, sample: Tensor, timestep: float | Tensor, return_dict: bool = True
    ) -> ColdUNetOutput | tuple[Tensor]:
        """Clean images from a sample (B, C, H, W) in [-1, 1] at a timestep, one for all or one per image (B,).

        Step k is time t = (k + 1) / 1000: -1 is clean, 999 is fully degraded, fractions are times between.
        """
        x = to_unit(sample)
        out = to_centred(self.net(x, times_of(timestep, x)), sample.dtype)
        return ColdUNetOutput(sample=out) if return_dict else (out,)

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """A copy of a run's network.

        Raises:
            ValueError: a network of the user's own, or one that sees a picture beside x.
        """
        if run.config.get("restorer") is None:
            raise ValueError(
                f"{str(run.path)!r} was trained on a network of your own, which diffusers could not build again"
            )
        if run.condition is not None:
            raise ValueError(
                f"{str(run.path)!r} sees a damaged picture beside x, which models of diffusers do not: it works with "
                "`colddiff restore`"
            )
        channels, height, width = run.shape
        told = {key: value for key, value in strip_paths(run.config).items() if key not in OWN}
        model = cls(
            restorer=run.config["restorer"], sample_size=height if height == width else [height, width],
            in_channels=channels, run=told,
        )  # fmt: skip
        model.net.load_state_dict(run.net.state_dict())
        return model._laid_out()

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, trust_plugins: bool = False, **options: Any) -> Any:
        """The network in a folder, or that diffusers finds under that name; pickled weights are never read.

        Raises:
            ValueError: weights that do not fit the config. OSError: none in a safetensors file.
        """
        asked = options.pop("output_loading_info", False)
        options |= {"use_safetensors": True, "output_loading_info": True}
        model, info = super().from_pretrained(folder, trust_plugins=trust_plugins, **options)
        wrong = [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]
        if wrong:
            raise ValueError(f"{len(wrong)} tensors in {str(folder)!r} do not fit the network, {wrong[0]} for one")
        model._laid_out()
        return (model, info) if asked else model

    def _laid_out(self) -> Self:
        """As `load` lays a network out: convolutions are faster, and the last bits are the same."""
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self.eval()  # type: ignore[no-any-return]


class ColdPrior(FromAnybody, SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """Where generation starts, as a component: diffusers drops what has none of its base classes.

    It is no model, as models are moved and cast with the pipeline: a prior draws on the CPU in float32, so that a seed
    means the same everywhere.

    Args:
        prior: a `Prior`, or its JSON, as the config keeps it.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self, prior: Prior | dict[str, Any]) -> None:
        self.prior = Prior.from_config(prior)
        self.register_to_config(prior=self.prior.to_config())

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Its config, and what was fitted."""
        super().save_pretrained(folder, **options)
        if fitted := self.prior.tensors():
            write_tensors(Path(folder) / WEIGHTS, fitted)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, subfolder: str | None = None, trust_plugins: bool = False, **_: Any
    ) -> Self:
        """The prior in a folder.

        Raises:
            FileNotFoundError: no such file. ValueError: numbers that are not those of such a prior.
        """
        made = super().from_pretrained(folder, subfolder=subfolder, trust_plugins=trust_plugins)
        if isinstance(made.prior, Fitted):
            made.prior = made.prior.with_tensors(read_tensors(Path(folder, subfolder or "", WEIGHTS)))
        return made
