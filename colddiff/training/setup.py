"""What a TrainConfig stands for: its images, network and prior."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeVar

import torch
from torch import Tensor

from ..data.dataset import ImageData, cut, load_data, with_targets
from ..data.framing import Framing
from ..data.streaming.dataset import StreamedData, stream_data
from ..degradations.base import Degradation
from ..degradations.operators.gaussian_noise import GaussianNoise
from ..degradations.operators.interpolate import Interpolate
from ..models.networks.diffusers_unet import DiffusersUNetConfig
from ..models.networks.paper_unet import OfficialConfig
from ..models.networks.parametrization import Epsilon, Flow, NoiseParametrization, Velocity
from ..models.networks.unet import RestorerConfig, UNetConfig
from ..models.networks.wiener_unet import WienerUNetConfig
from ..samplers.priors import Empirical, Fitted, Prior
from .config import TrainConfig

FITTED_TO = 10_000  # images, at most
MEASURED_ON = 2048  # of streamed images
CHECKED_ON = 1024  # of streamed images that are held out
KEPT_IMAGES = 256  # of an empirical prior that nobody asked for
Network = TypeVar("Network", bound=UNetConfig | DiffusersUNetConfig | OfficialConfig)
FLAT = 0.02  # standard deviation within a picture below which it is one colour


def data_for(config: TrainConfig) -> ImageData | StreamedData:
    """The images that a training is about."""
    if config.stream:
        return _streamed(config, config.split, config.colour)
    return _images(config, config.split, config.colour, config.max_unreadable)


def held_out_for(config: TrainConfig, framing: Framing, data: StreamedData | None = None) -> ImageData:
    """The images that it is checked on, as grey or coloured as the others; of streamed ones no more than are looked at.

    Any share of them may be unreadable: few are held out, and one broken picture among them would be a large share.
    """
    split = held_out_split(config)
    if not config.stream and data is None:
        return _images(config, split, framing.colour, max_unreadable=1.0)
    if split == "train":
        return _streamed(config, split, framing.colour).part(CHECKED_ON)
    return (data or _streamed(config, config.split, framing.colour)).held_out(CHECKED_ON)


def in_memory(data: ImageData | StreamedData) -> ImageData:
    """The images, or of streamed ones a part that is spread over all: for what is measured on them."""
    return data if isinstance(data, ImageData) else data.part(MEASURED_ON)


def images_for(
    config: TrainConfig, data: ImageData | StreamedData | None = None, held_out: ImageData | None = None
) -> tuple[ImageData | StreamedData, ImageData]:
    """What a training is about and what it is checked on: as given, else read, or cut from what is given.

    Raises:
        TypeError: something else. ValueError: images that do not go together, or not with the degradation.
    """
    if not isinstance(data, ImageData | StreamedData | None) or not isinstance(held_out, ImageData | None):
        name, given = ("held_out", held_out) if isinstance(data, ImageData | StreamedData | None) else ("data", data)
        kinds = "ImageData (from_images)" + (" or StreamedData (stream_data)" if name == "data" else "")
        raise TypeError(f"{name} must be {kinds}, got {type(given).__name__}")
    given = data is not None
    data = data_for(config) if data is None else data
    if isinstance(data, StreamedData):
        held_out = held_out_for(config, data.framing, data) if held_out is None else held_out
    elif not given:
        held_out = held_out_for(config, data.framing) if held_out is None else held_out
    else:
        channels, *size = data.shape
        told = {"data": config.data, "split": config.split, "size": size, "channels": channels, "images": len(data)}
        data = replace(data, protocol=told | data.protocol)
        data, held_out = cut(data) if held_out is None else (data, held_out)
    needed = set(config.degradation.required_params)
    for name, images in (("data", data), ("held_out", held_out)):
        if not len(images):
            raise ValueError(f"{name} holds no images")
        brought = images.params_at(slice(0, 0)).keys()
        if brought != needed:
            raise ValueError(
                f"{config.degradation.registered_name} needs {', '.join(needed) or 'no params'} from {name}, which "
                f"brings {', '.join(brought) or 'none'}: pairs are from_images(clean, damaged), other images "
                "data.with_targets(images, others)"
            )
    if data.shape[0] != held_out.shape[0]:
        raise ValueError(f"data has {data.shape[0]} channels, held_out {held_out.shape[0]}")
    return data, held_out


def restorer_for(config: TrainConfig, data: ImageData) -> RestorerConfig:
    """The network asked for, else a U-Net of the size asked for, smaller below 32 pixels; with its prediction.

    Raises:
        ValueError: it was asked to take another number of channels, or made for another noise, than the training has.
    """
    channels, side = data.shape[0], min(data.shape[1:])
    small = {} if side >= 32 else {"patch": 1, "multipliers": (1, 2)}
    shape = config.restorer or UNetConfig.of_size(config.unet_size, channels=channels, **small)
    if isinstance(shape, UNetConfig | DiffusersUNetConfig | OfficialConfig):
        shape = _with_channels(shape, channels)
    if isinstance(shape, OfficialConfig) and shape.num_steps is None:
        shape = replace(shape, num_steps=config.degradation.levels)
    elif isinstance(shape, NoiseParametrization | Flow):
        if shape.degradation != config.degradation:
            raise ValueError(
                f"the restorer is made for {shape.degradation}, the training for {config.degradation}: "
                "use --predict epsilon or velocity, which takes the degradation of the training"
            )
        shape = replace(shape, net=_with_channels(shape.net, channels))
    elif isinstance(shape, WienerUNetConfig):
        _, height, width = data.shape
        _with_channels(shape.net, channels)
        shape = shape.fitted_for(
            config.degradation, channels, (height, width), config.quantize_inputs, config.input_noise
        )
    if config.condition is not None:
        if not isinstance(shape, UNetConfig):
            raise ValueError(f"condition goes with a unet, got {shape.registered_name}")
        shape = replace(shape, cond_channels=channels)
    if config.predict == "x0":
        return shape
    assert isinstance(shape, UNetConfig)
    net = replace(shape, residual=False)
    if isinstance(config.degradation, Interpolate):
        return Flow(net=net, degradation=config.degradation)
    assert isinstance(config.degradation, GaussianNoise)
    kind = Epsilon if config.predict == "epsilon" else Velocity
    return kind(net=net, degradation=config.degradation)


def prior_for(config: TrainConfig, data: ImageData) -> Prior | None:
    """The prior asked for, else the one that suits the degradation; fitted to the data where that is still to be done.

    None where the degradation needs what only the data have: it restores, and does not generate.

    The operator's own prior suits it. Without one, images that end in one colour start from the colours of the
    training set, and images that end in anything else start where some training images end.
    """
    needed = config.degradation.required_params
    if needed == ("target",):
        return _fitted(config.prior or Empirical(), ImageData(data.params["target"]), KEPT_IMAGES)
    if needed:
        return None
    if config.prior is not None:
        return _fitted(config.prior, data, FITTED_TO)
    own = config.degradation.prior
    if own is None and not _ends_flat(config.degradation, data):
        return _fitted(Empirical(), data, KEPT_IMAGES)
    return _fitted(Prior.from_config(own or "channel_gaussian"), data, FITTED_TO)


def held_out_split(config: TrainConfig) -> str:
    """The split that a training is checked on; where there is a validation split, test images never steer it."""
    return "held_out" if config.split in ("train", "all") else "train"


def _images(
    config: TrainConfig, split: str, colour: Literal["auto", "grey", "rgb"], max_unreadable: float
) -> ImageData:
    found = load_data(
        config.data, split=split, size=config.image_size, resize_mode=config.resize_mode, colour=colour,
        background=config.background, paired_data=config.paired_data, max_unreadable=max_unreadable,
    )  # fmt: skip
    if config.target_data is None:
        return found
    framing = replace(found.framing, size=config.image_size or min(found.shape[1:]))
    return with_targets(found, load_data(
        config.target_data, split=split, size=framing.size, resize_mode=framing.fit, colour=framing.colour,
        background=framing.background, max_unreadable=max_unreadable,
    ))  # fmt: skip


def _streamed(config: TrainConfig, split: str, colour: Literal["auto", "grey", "rgb"]) -> StreamedData:
    return stream_data(
        config.data, split=split, size=config.image_size, resize_mode=config.resize_mode, colour=colour,
        background=config.background, max_unreadable=config.max_unreadable,
    )  # fmt: skip


def _with_channels(shape: Network, channels: int) -> Network:
    if shape.channels not in (None, channels):
        raise ValueError(
            f"the restorer takes {shape.channels} channels, the images have {channels}: leave channels out"
        )
    return replace(shape, channels=channels)


def _ends_flat(degradation: Degradation, data: ImageData) -> bool:
    """Whether fully degraded images are one colour each."""
    x = _spread(data, 64)
    end = degradation(x, 1.0, degradation.draw(x, torch.Generator().manual_seed(0)))
    return float(end.std(dim=(2, 3), correction=0).mean()) < FLAT


def _fitted(prior: Prior, data: ImageData, limit: int) -> Prior:
    if not isinstance(prior, Fitted) or prior.fitted is not None:
        return prior
    return prior.fitted_to(_spread(data, limit))


def _spread(data: ImageData, limit: int) -> Tensor:
    """Images spread evenly over the data: the first ones of a folder may be all of one class."""
    n = min(len(data), limit)
    return data[torch.arange(n) * len(data) // n]
