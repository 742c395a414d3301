"""Degradation and sampler as a scheduler of diffusers: its forward process and its way back, in one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...degradations.base import BoundDegradation, Degradation, Images, Params
from ...degradations.levels import between_levels
from ...degradations.operators.gaussian_noise import GaussianNoise
from ...models.networks.diffusers_unet import TIMESTEPS
from ...models.networks.parametrization import Epsilon, NoiseParametrization, Velocity
from ...samplers.algorithms import one_shot
from ...samplers.sample import named_sampler
from ...samplers.time_grid import MOST_STEPS, time_grid
from ...samplers.unknown_params import bind_observed
from ...utils.rng import Generators

# By name: diffusers looks for the base classes of a component in the module that a saved pipeline names.
from .base import BaseOutput, ConfigMixin, FromAnybody, SchedulerMixin, register_to_config

PREDICTIONS: dict[str, NoiseParametrization | None] = {
    "sample": None, "epsilon": Epsilon(), "v_prediction": Velocity()
}  # fmt: skip
CLOSE = 1e-4  # of a timestep: what float32 makes of one


@dataclass
class ColdSchedulerOutput(BaseOutput):  # type: ignore[misc]
    """What a step gives, both (B, C, H, W) in [-1, 1].

    Args:
        prev_sample: the images at the next, earlier timestep; not clamped.
        pred_original_sample: the clean images as the model sees them.
    """

    prev_sample: Tensor
    pred_original_sample: Tensor


class ColdScheduler(FromAnybody, SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """A degradation and one of our samplers behind the interface of diffusers' schedulers.

    Samples are images in [-1, 1]. Timestep k is time t = (k + 1) / N, with N = `num_train_timesteps`: N - 1 is fully
    degraded, -1 is clean, and any number between them is a time, so timesteps are floats. What is computed is float32
    in [0, 1]; a sample in float64 carries it from step to step to the last bit, one in float32 to rounding.

    The params of a degradation are those of one walk: given to `set_timesteps`, or found at its first step by the rule
    of `unknown_params.bind_observed`. A scheduler takes one walk at a time, and a new one owes nothing to that before:
    it begins where a sample is not the one that the last step gave. Who changes samples on the way writes into them, or
    gives params to `set_timesteps`.

    Args:
        degradation: a `Degradation`, or its JSON, as the config keeps it: {"type": "gaussian_blur", "sigma_max": 3}.
        sampler: the name of one, see `algorithms.SAMPLERS`.
        prediction_type: what the model says: "sample" (x0), or for Gaussian noise "epsilon" or "v_prediction".
        num_train_timesteps: N, of the model.

    Raises:
        ValueError, LookupError, TypeError: no such degradation or sampler, or noise predicted of another degradation.
    """

    order = 1
    init_noise_sigma = 1.0  # where a walk begins is the prior's, at its own scale

    @register_to_config
    def __init__(
        self, degradation: Degradation | dict[str, Any], sampler: str = "improved", prediction_type: str = "sample",
        num_train_timesteps: int = TIMESTEPS,
    ) -> None:  # fmt: skip
        self.degradation = Degradation.from_config(degradation)
        self.sampler = named_sampler(sampler)
        if prediction_type not in PREDICTIONS:
            raise ValueError(f"prediction_type must be one of {', '.join(PREDICTIONS)}, got {prediction_type!r}")
        self.prediction = PREDICTIONS[prediction_type]
        if self.prediction is not None and not isinstance(self.degradation, GaussianNoise):
            raise ValueError(
                f"a model predicts {prediction_type} of gaussian_noise only, not of "
                f"{self.degradation.registered_name}: train it with prediction_type='sample'"
            )
        if not 1 <= num_train_timesteps <= MOST_STEPS:
            raise ValueError(f"num_train_timesteps must be in 1 .. {MOST_STEPS:,}, got {num_train_timesteps}")
        self.register_to_config(degradation=self.degradation.to_config())
        self.num_inference_steps: int | None = None
        self.timesteps = torch.arange(num_train_timesteps - 1, -1, -1)
        self._times: Tensor | None = None
        self._D: BoundDegradation
        self._next = -1
        self._last: Tensor | None
        self._forget()

    def __len__(self) -> int:
        return int(self.config.num_train_timesteps)

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        """The sample as it is."""
        return sample

    def set_timesteps(
        self, num_inference_steps: int, device: torch.device | str | None = None, *, start: float = 1.0,
        params: Params | None = None, mask: Tensor | None = None,
    ) -> None:  # fmt: skip
        """The grid of a new walk: equal steps of time, snapped to the levels of the degradation.

        Args:
            num_inference_steps: calls of the model, >= 1; one for one_shot, and fewer where there are fewer levels.
            device: for `timesteps`.
            start: how degraded the first sample is, in (0, 1].
            params: those that degraded it, a row per image, where they are known.
            mask: (B or 1, 1, H, W), true where pixels are missing, for degradations that have such.
        """
        steps = 1 if self.sampler is one_shot else num_inference_steps
        self._times = time_grid(steps, float(start), levels=self.degradation.level_times())
        self.num_inference_steps = len(self._times) - 1
        timesteps = len(self) * self._times[:-1] - 1
        exact = torch.device(device or "cpu").type != "mps"  # which has no float64
        self.timesteps = timesteps.to(device, torch.float64 if exact else torch.float32)
        self._forget(params, mask)

    def step(
        self, model_output: Tensor, timestep: float | Tensor, sample: Tensor, generator: Generators = None,
        return_dict: bool = True,
    ) -> ColdSchedulerOutput | tuple[Tensor, Tensor]:  # fmt: skip
        """One step of the sampler, from a timestep to the next of `timesteps`, or to clean images after the last.

        Args:
            model_output: what the model says of the sample, (B, C, H, W).
            timestep: one of `timesteps`.
            sample: images (B, C, H, W) in [-1, 1] at that timestep.
            generator: for what has to be drawn: a CPU generator, or one per image.
            return_dict: a `ColdSchedulerOutput`, or else (prev_sample, pred_original_sample).

        Raises:
            ValueError: no grid yet, a timestep that is not on it, or params that nobody knows and the sampler needs.
        """
        k, times = self._place(timestep)
        x = to_unit(sample)
        x0 = self._clean(model_output, sample, times[k])
        if k != self._next or not self._gave(sample):  # a walk begins
            self._D = self._bound(x, x0, times[k], generator)
        (state,) = self.sampler(lambda *_: x0, self._D, x, times[k : k + 2], generator=generator)
        before, clean = (to_centred(image, sample.dtype) for image in (state.x, x0))
        self._next, self._last = k + 1, before
        return ColdSchedulerOutput(prev_sample=before, pred_original_sample=clean) if return_dict else (before, clean)

    def add_noise(
        self, original_samples: Images, noise: Tensor, timesteps: Tensor, *, params: Params | None = None,
        generator: Generators = None,
    ) -> Images:  # fmt: skip
        """Clean images degraded to timesteps: what a training shows the model.

        Args:
            original_samples: images (B, C, H, W) in [-1, 1].
            noise: standard normal, as original_samples: that of a degradation whose param is such noise, or of the
                last part that has some; others have no use for it.
            timesteps: (B,), or one for all.
            params: of the degradation; whatever else is random is drawn anew if they are left out.
            generator: of what is drawn: a CPU generator, or one per image; None is torch's own.
        """
        x, op = to_unit(original_samples), self.degradation
        if params is None:
            params = {"noise": noise} if "noise" in op.param_shapes else _drawn(op, x, noise, generator)
        return to_centred(op(x, times_of(timesteps, x, len(self)), params), original_samples.dtype)

    def _forget(self, params: Params | None = None, mask: Tensor | None = None) -> None:
        """What was known of the walk before, for what is known of a new one."""
        self._params, self._mask = params, mask
        self._next = -1  # the place in the grid where the walk goes on, and with which sample
        self._last = None

    def _gave(self, sample: Tensor) -> bool:
        """Whether a sample is what the last step gave, or a copy of it."""
        last = self._last
        if last is None or sample.shape != last.shape:
            return False
        return sample is last or torch.equal(sample, last.to(sample))

    def _place(self, timestep: float | Tensor) -> tuple[int, Tensor]:
        """Where in the grid a timestep stands; the next time is that of the grid, whatever the steps are."""
        if self._times is None:
            raise ValueError("this scheduler has no timesteps yet: call set_timesteps(n) first")
        asked = torch.as_tensor(timestep).double().cpu()
        away = (len(self) * self._times[:-1] - 1 - asked).abs()
        if asked.numel() != 1 or float(away.min()) > CLOSE:
            raise ValueError(f"timestep {asked.tolist()} is not one of this walk: take them from scheduler.timesteps")
        return int(away.argmin()), self._times

    def _bound(self, x: Images, x0: Images, t: Tensor, generator: Generators) -> BoundDegradation:
        """D with the params of a walk that begins: those that were given, or what can be known."""
        if self._params is not None:
            return self.degradation.bind(self._params, like=x)
        return bind_observed(
            self.degradation, lambda *_: x0, x, t, mask=self._mask, sampler=self.sampler, generator=generator
        )

    def _clean(self, output: Tensor, sample: Tensor, t: Tensor) -> Images:
        """x0 in [0, 1] from what the model says."""
        if self.prediction is None:
            return to_unit(output)
        op = self.degradation
        assert isinstance(op, GaussianNoise)
        alpha_bar = between_levels(op.betas.alpha_bars(), op.severity(t).reshape(1, 1, 1, 1)).reshape(1, 1, 1, 1)
        a, b = alpha_bar.sqrt().to(output), (1 - alpha_bar).sqrt().to(output)
        return to_unit(self.prediction.clean(sample.to(output), output, a, b))


def _drawn(op: Degradation, x: Images, noise: Tensor, generator: Generators) -> Params:
    """Params of images x, among them the noise that is given, for the last part that has such."""
    one = generator is None or isinstance(generator, torch.Generator)
    params = op.draw(x, generator) if one else op.draw_each(x, generator)  # type: ignore[arg-type]
    normal = [name for name, value in params.items() if name.split(".")[-1] == "noise" and value.shape == x.shape]
    return params | dict.fromkeys(normal[-1:], noise)


def to_unit(sample: Tensor) -> Images:
    """Images of diffusers, in [-1, 1], as ours: float32 in [0, 1]."""
    return ((sample + 1) / 2).float()


def to_centred(x: Images, dtype: torch.dtype) -> Tensor:
    """Our images in [0, 1] as those of diffusers; in float64 without rounding."""
    return 2 * x.to(dtype) - 1


def times_of(timesteps: float | Sequence[float] | Tensor, x: Images, count: int = TIMESTEPS) -> Tensor:
    """The times (B,) of timesteps, one for all or one per image of x."""
    exact = torch.float32 if x.device.type == "mps" else torch.float64
    t = (torch.as_tensor(timesteps, device=x.device).to(exact) + 1) / count
    return t.reshape(-1).expand(len(x))
