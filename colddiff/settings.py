"""What is trained on what: every setting of a training, and the defaults that depend on the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from .data.dataset import ImageData, beside, cut, load_data
from .data.framing import Framing
from .data.streaming.dataset import StreamedData, stream_data
from .degradations.base import Degradation
from .degradations.operators.gaussian_noise import GaussianNoise
from .degradations.operators.interpolate import Interpolate
from .evaluation.calibration import MetricName
from .models.networks.diffusers_unet import DiffusersUNetConfig
from .models.networks.paper_unet import OfficialConfig
from .models.networks.parametrization import Epsilon, Flow, NoiseParametrization, Velocity
from .models.networks.unet import RestorerConfig, UNetConfig
from .models.networks.wiener_unet import WienerUNetConfig
from .samplers.priors import Empirical, Fitted, Prior
from .utils.config import Configurable, register

Size = Literal["0.3M", "1M", "5M", "15M", "35M", "60M"]
FITTED_TO = 10_000  # images, at most
MEASURED_ON = 2048  # of streamed images
CHECKED_ON = 1024  # of streamed images that are held out
KEPT_IMAGES = 256  # of an empirical prior that nobody asked for
Network = TypeVar("Network", bound=UNetConfig | DiffusersUNetConfig | OfficialConfig)
FLAT = 0.02  # standard deviation within a picture below which it is one colour


@register("train")
@dataclass(frozen=True, kw_only=True)
class TrainConfig(Configurable):
    """Everything that decides what comes out of a training.

    Args:
        data: what `load_data` takes; a mere label where `train` is given images.
        degradation: what to undo.
        out: the run's directory.
        steps: optimizer steps; or `minutes`, which are turned into steps by timing a few. Neither means 10 minutes.
        minutes: wall-clock budget.
        split: of the data to train on.
        damaged: the other halves of pairs, matched by name: what the images of `data` look like damaged, for
            `interpolate`; a label too where `train` is given pairs.
        others: other images, any of them, for a degradation that turns images into images (animorph).
        image_size: side of the images in pixels; None keeps them.
        fit: how pictures come to that size: resize (short side, then the centre), crop (the centre at its own scale)
            or tiles (as many squares as a picture has, at its own scale).
        colour: grey, rgb, or auto for grey where every picture is.
        background: what transparent pictures are laid over, in [0, 1]: one number, or three; on the command line
            [0.5] or [1,0,0].
        bad_share: of pictures that cannot be read, above which training does not begin.
        stream: leave the images where they are, and read those of a step when it comes: for more than memory holds.
        workers: threads per process that read streamed images ahead.
        size: of the U-Net that is taken where no restorer is named, in parameters for images of 32 pixels and more.
        restorer: the network; None takes a U-Net of that size.
        predict: what the network predicts: x0; for Gaussian noise the noise (epsilon) or velocity; for a straight line
            to an endpoint (interpolate) its direction (flow).
        batch_size: images per step, split over the processes, `accumulate` times.
        accumulate: batches per optimizer step.
        lr: peak learning rate, reached after warmup_steps.
        warmup_steps: of the learning rate; at most a tenth of all.
        decay: bring the learning rate down to nothing by a cosine; else it stays.
        loss: mean absolute ("l1", the paper's) or squared ("l2") difference from x0.
        ema_decay: of the averaged weights, which is what is saved; shorter at first.
        clip: largest norm of the gradient.
        precision: of the network: bf16 where the hardware has it ("auto"), fp32 or bf16.
        compile: the network through torch.compile: minutes at first, which no budget counts, for faster steps after.
        eight_bit: round what the network sees to 8-bit levels, as pictures come.
        input_noise: standard deviation in [0, 1] of Gaussian noise added to what the network sees; 0.01 is that of
            inverse heat dissipation, a small one keeps it from living on the last digits of float32.
        condition: a degradation whose D(x0, 1) the network sees beside x, as a condition: the damaged picture, where
            `degradation` is the noise that a conditional diffusion model walks.
        rollout: let every other image come to its time by a step of the network's own from an earlier one, as it does
            in a walk, instead of by the degradation; a fifth more time per step.
        calibrate: give the degradation the schedule in which time is linear in psnr, ssim or rmse on these images.
        blind: train beside it a small network that tells how damaged a picture is, for restores that are not told.
        flip: mirror images at random.
        shift: move images at random by up to so many pixels, edges repeated.
        prior: where generation starts; None takes what suits the degradation.
        seed: of everything random.
        validate_every, checkpoint_every, sample_every, log_every: in steps.
        keep: how many of the last checkpoints are kept; the one of the lowest validation loss is kept beside them.
        tensorboard: write the log for TensorBoard too, into the run's folder.
        device: "auto", "cpu", "cuda".
    """

    group: ClassVar[str] = "colddiff.configs"

    data: str
    degradation: Degradation
    out: str
    steps: int | None = None
    minutes: float | None = None
    split: str = "train"
    damaged: str | None = None
    others: str | None = None
    image_size: int | None = None
    fit: Literal["resize", "crop", "tiles"] = "resize"
    colour: Literal["auto", "grey", "rgb"] = "auto"
    background: tuple[float, ...] = (1.0,)
    bad_share: float = 0.1
    stream: bool = False
    workers: int = 2
    size: Size = "5M"
    restorer: RestorerConfig | None = None
    predict: Literal["x0", "epsilon", "velocity", "flow"] = "x0"
    batch_size: int = 64
    accumulate: int = 1
    lr: float = 1e-3
    warmup_steps: int = 100
    decay: bool = True
    loss: Literal["l1", "l2"] = "l1"
    ema_decay: float = 0.999
    clip: float = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    eight_bit: bool = True
    input_noise: float = 0.0
    condition: Degradation | None = None
    rollout: bool = False
    blind: bool = True
    calibrate: MetricName | None = None
    flip: bool = False
    shift: int = 0
    prior: Prior | None = None
    seed: int = 0
    validate_every: int = 500
    checkpoint_every: int = 1000
    sample_every: int = 1000
    log_every: int = 10
    keep: int = 2
    tensorboard: bool = False
    device: str = "auto"

    def check(self) -> None:
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give steps or minutes, not both")
        for name in ("steps", "minutes", "batch_size", "accumulate", "lr", "clip", "image_size"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be > 0, got {value}")
        for name in ("validate_every", "checkpoint_every", "sample_every", "log_every", "keep", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if not 0 <= self.bad_share <= 1:
            raise ValueError(f"bad_share must be in [0, 1], got {self.bad_share}")
        if not 0 <= self.ema_decay < 1 or min(self.warmup_steps, self.shift, self.input_noise) < 0:
            raise ValueError("ema_decay must be in [0, 1), warmup_steps, shift and input_noise >= 0")
        if self.condition is not None and self.condition.required_params:
            raise ValueError(f"condition must make its own params, {self.condition.registered_name} has some from data")
        line = isinstance(self.degradation, Interpolate)
        if not {"x0": True, "flow": line}.get(self.predict, isinstance(self.degradation, GaussianNoise)):
            needs = "interpolate" if self.predict == "flow" else "gaussian_noise"
            raise ValueError(f"predict={self.predict!r} is for {needs} only: other degradations have no such target")
        if self.predict != "x0" and not isinstance(self.restorer, UNetConfig | None):
            raise ValueError(f"predict={self.predict!r} goes with a unet, got {self.restorer}")
        self._check_companions()

    def _check_companions(self) -> None:
        """What images have to bring with them, and what they bring."""
        needed, name = self.degradation.required_params, self.degradation.registered_name
        if needed and needed not in (("endpoint",), ("target",)):
            raise ValueError(
                f"{name} needs {', '.join(needed)} from the data, which bring no more than the endpoint of interpolate "
                "or the target of animorph"
            )
        paired, turned = needed == ("endpoint",), needed == ("target",)
        if paired and self.damaged is None:
            raise ValueError(
                f"{name} has no endpoint of its own: name the damaged images with damaged (--damaged FOLDER), or the "
                "degradation to go to (--degradation.to NAME)"
            )
        if turned and self.others is None:
            raise ValueError(f"{name} turns images into others: name those with others (--others DATA)")
        if paired and self.prior is not None:
            raise ValueError("what is trained on pairs restores, and does not generate: leave prior out")
        if self.damaged is not None and not paired:
            raise ValueError(
                f"{name} has no use for damaged images: leave them out, or train through interpolate "
                "(--degradation interpolate)"
            )
        if self.others is not None and not turned:
            raise ValueError(f"{name} has no use for other images: leave others out")
        if self.stream and needed:
            raise ValueError(
                f"streamed images bring nothing with them, {name} needs {', '.join(needed)}: leave stream out"
            )


# What may differ between a run and its continuation: where and how often, not what.
FREE_TO_CHANGE = {
    "out", "device", "compile", "validate_every", "checkpoint_every", "sample_every", "log_every", "keep", "workers",
    "tensorboard", "blind",
}  # fmt: skip


def data_for(config: TrainConfig) -> ImageData | StreamedData:
    """The images that a training is about."""
    if config.stream:
        return _streamed(config, config.split, config.colour)
    return _images(config, config.split, config.colour, config.bad_share)


def held_out_for(config: TrainConfig, framing: Framing, data: StreamedData | None = None) -> ImageData:
    """The images that it is checked on, as grey or coloured as the others; of streamed ones no more than are looked at.

    Any share of them may be unreadable: few are held out, and one broken picture among them would be a large share.
    """
    split = held_out_split(config)
    if not config.stream and data is None:
        return _images(config, split, framing.colour, bad_share=1.0)
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
                "data.beside(images, others)"
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
    shape = config.restorer or UNetConfig.of_size(config.size, channels=channels, **small)
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
        shape = shape.fitted_for(config.degradation, channels, (height, width), config.eight_bit, config.input_noise)
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


# --- helpers ---------------------------------------------------------------------------------------------------------


def _images(config: TrainConfig, split: str, colour: Literal["auto", "grey", "rgb"], bad_share: float) -> ImageData:
    found = load_data(
        config.data, split=split, size=config.image_size, fit=config.fit, colour=colour,
        background=config.background, damaged=config.damaged, bad_share=bad_share,
    )  # fmt: skip
    if config.others is None:
        return found
    framing = replace(found.framing, size=config.image_size or min(found.shape[1:]))
    return beside(found, load_data(
        config.others, split=split, size=framing.size, fit=framing.fit, colour=framing.colour,
        background=framing.background, bad_share=bad_share,
    ))  # fmt: skip


def _streamed(config: TrainConfig, split: str, colour: Literal["auto", "grey", "rgb"]) -> StreamedData:
    return stream_data(
        config.data, split=split, size=config.image_size, fit=config.fit, colour=colour,
        background=config.background, bad_share=config.bad_share,
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
