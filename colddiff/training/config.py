"""TrainConfig: what a training run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..degradations.base import Degradation
from ..degradations.operators.gaussian_noise import GaussianNoise
from ..degradations.operators.interpolate import Interpolate
from ..evaluation.calibration import MetricName
from ..models.networks.unet import RestorerConfig, UNetConfig
from ..samplers.priors import Prior
from ..utils.config import Configurable, register

Size = Literal["0.3M", "1M", "5M", "15M", "35M", "60M"]


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
        paired_data: the other halves of pairs, matched by name: what the images of `data` look like damaged, for
            `interpolate`; a label too where `train` is given pairs.
        target_data: other images, any of them, for a degradation that turns images into images (animorph).
        image_size: side of the images in pixels; None keeps them.
        resize_mode: how pictures come to that size: resize (short side, then the centre), crop (the centre at its own
            scale) or tiles (as many squares as a picture has, at its own scale).
        colour: grey, rgb, or auto for grey where every picture is.
        background: what transparent pictures are laid over, in [0, 1]: one number, or three; on the command line
            [0.5] or [1,0,0].
        max_unreadable: of pictures that cannot be read, above which training does not begin.
        stream: leave the images where they are, and read those of a step when it comes: for more than memory holds.
        workers: threads per process that read streamed images ahead.
        unet_size: of the U-Net that is taken where no restorer is named, in parameters for images of 32 pixels and
            more.
        restorer: the network; None takes a U-Net of that size.
        predict: what the network predicts: x0; for Gaussian noise the noise (epsilon) or velocity; for a straight line
            to an endpoint (interpolate) its direction (flow).
        batch_size: images per step, split over the processes, `grad_accumulation` times.
        grad_accumulation: batches per optimizer step.
        lr: peak learning rate, reached after warmup_steps.
        warmup_steps: of the learning rate; at most a tenth of all.
        cosine_decay: bring the learning rate down to nothing by a cosine; else it stays.
        loss: mean absolute ("l1", the paper's) or squared ("l2") difference from x0.
        ema_decay: of the averaged weights, which is what is saved; shorter at first.
        grad_clip: largest norm of the gradient.
        precision: of the network: bf16 where the hardware has it ("auto"), fp32 or bf16.
        compile: the network through torch.compile: minutes at first, which no budget counts, for faster steps after.
        quantize_inputs: round what the network sees to 8-bit levels, as pictures come.
        input_noise: standard deviation in [0, 1] of Gaussian noise added to what the network sees; 0.01 is that of
            inverse heat dissipation, a small one keeps it from living on the last digits of float32.
        condition: a degradation whose D(x0, 1) the network sees beside x, as a condition: the damaged picture, where
            `degradation` is the noise that a conditional diffusion model walks.
        rollout: let every other image come to its time by a step of the network's own from an earlier one, as it does
            in a walk, instead of by the degradation; a fifth more time per step.
        calibrate: give the degradation the schedule in which time is linear in psnr, ssim or rmse on these images.
        estimate_time: train beside it a small network that tells how damaged a picture is, for restores that are not
            told.
        flip: mirror images at random.
        max_shift: move images at random by up to so many pixels, edges repeated.
        prior: where generation starts; None takes what suits the degradation.
        seed: of everything random.
        validate_every, checkpoint_every, sample_every, log_every: in steps.
        keep_checkpoints: how many of the last checkpoints are kept; the one of the lowest validation loss is kept
            beside them.
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
    paired_data: str | None = None
    target_data: str | None = None
    image_size: int | None = None
    resize_mode: Literal["resize", "crop", "tiles"] = "resize"
    colour: Literal["auto", "grey", "rgb"] = "auto"
    background: tuple[float, ...] = (1.0,)
    max_unreadable: float = 0.1
    stream: bool = False
    workers: int = 2
    unet_size: Size = "5M"
    restorer: RestorerConfig | None = None
    predict: Literal["x0", "epsilon", "velocity", "flow"] = "x0"
    batch_size: int = 64
    grad_accumulation: int = 1
    lr: float = 1e-3
    warmup_steps: int = 100
    cosine_decay: bool = True
    loss: Literal["l1", "l2"] = "l1"
    ema_decay: float = 0.999
    grad_clip: float = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    quantize_inputs: bool = True
    input_noise: float = 0.0
    condition: Degradation | None = None
    rollout: bool = False
    estimate_time: bool = True
    calibrate: MetricName | None = None
    flip: bool = False
    max_shift: int = 0
    prior: Prior | None = None
    seed: int = 0
    validate_every: int = 500
    checkpoint_every: int = 1000
    sample_every: int = 1000
    log_every: int = 10
    keep_checkpoints: int = 2
    tensorboard: bool = False
    device: str = "auto"

    def check(self) -> None:
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give steps or minutes, not both")
        for name in ("steps", "minutes", "batch_size", "grad_accumulation", "lr", "grad_clip", "image_size"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be > 0, got {value}")
        for name in ("validate_every", "checkpoint_every", "sample_every", "log_every", "keep_checkpoints", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if not 0 <= self.max_unreadable <= 1:
            raise ValueError(f"max_unreadable must be in [0, 1], got {self.max_unreadable}")
        if not 0 <= self.ema_decay < 1 or min(self.warmup_steps, self.max_shift, self.input_noise) < 0:
            raise ValueError("ema_decay must be in [0, 1), warmup_steps, max_shift and input_noise >= 0")
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
        if paired and self.paired_data is None:
            raise ValueError(
                f"{name} has no endpoint of its own: name the damaged images as paired_data (--paired-data FOLDER), "
                "or the degradation to go to (--degradation.to NAME)"
            )
        if turned and self.target_data is None:
            raise ValueError(f"{name} turns images into others: name those with target_data (--target-data DATA)")
        if paired and self.prior is not None:
            raise ValueError("what is trained on pairs restores, and does not generate: leave prior out")
        if self.paired_data is not None and not paired:
            raise ValueError(
                f"{name} has no use for damaged images: leave them out, or train through interpolate "
                "(--degradation interpolate)"
            )
        if self.target_data is not None and not turned:
            raise ValueError(f"{name} has no use for other images: leave target_data out")
        if self.stream and needed:
            raise ValueError(
                f"streamed images bring nothing with them, {name} needs {', '.join(needed)}: leave stream out"
            )


# What may differ between a run and its continuation: where and how often, not what.
FREE_TO_CHANGE = {
    "out", "device", "compile", "validate_every", "checkpoint_every", "sample_every", "log_every", "keep_checkpoints",
    "workers", "tensorboard", "estimate_time",
}  # fmt: skip
