"""What a sampler's step costs beside the network: here the network is free."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

import colddiff as cd
from colddiff.degradations.base import Degradation

from ..lib.interleaved import Call, Effort, Table, paired
from .cases import CIFAR, bound, images
from .peers import available, lucidrains

TITLE = "Bookkeeping of a sampler's step, with a network that costs nothing"
STEPS = 20
BASE = "diffusers, DDIM"
SIZES = [(16, 32), (8, 64), (4, 128)]  # batch, side

OURS: dict[str, tuple[Degradation, str]] = {
    "iterated_blur": (CIFAR, "improved"),
    "gaussian_blur": (cd.GaussianBlur(), "improved"),
    "gaussian_mask": (cd.GaussianMask(), "improved"),
    "interpolate": (cd.Interpolate(), "improved"),
    "desaturate": (cd.Desaturate(), "improved"),
    "gaussian_noise": (cd.GaussianNoise(), "estimated"),
}


@torch.no_grad()
def tables(effort: Effort) -> Iterator[Table]:
    for batch, side in SIZES[:1] if effort.quick else SIZES:
        x = images(batch, 3, side, side, device=effort.device)
        calls: dict[str, Call] = {f"ours, {name}, {how}": _ours(x, op, how) for name, (op, how) in OURS.items()}
        makers, said = available()
        if "diffusers" in makers:
            calls |= {BASE: _scheduler(x, "DDIMScheduler"), "diffusers, DDPM": _scheduler(x, "DDPMScheduler")}
        if "lucidrains" in makers:
            calls["lucidrains, DDIM"] = _lucidrains(x)
        yield paired(
            f"A step at {side} px, batch {batch}", calls, base=BASE if BASE in calls else next(iter(calls)),
            effort=effort, factor=dict.fromkeys(calls, 1 / STEPS), note=f"Mean of {STEPS} steps. {said}".strip(),
        )  # fmt: skip


def _ours(x: Tensor, op: Degradation, sampler: str) -> Call:
    D, answer = bound(op, x), x.flip(0)
    return lambda: cd.sample(lambda x, t: answer, D, x, steps=STEPS, sampler=sampler)


def _scheduler(x: Tensor, name: str) -> Call:
    import diffusers

    scheduler, noise = getattr(diffusers, name)(num_train_timesteps=1000), torch.randn_like(x)
    scheduler.set_timesteps(STEPS)

    def loop() -> Tensor:
        y = x
        for t in scheduler.timesteps:
            y = scheduler.step(noise, t, y).prev_sample
        return y

    return loop


def _lucidrains(x: Tensor) -> Call:
    diffusion = lucidrains().GaussianDiffusion(
        Free(torch.randn_like(x)), image_size=x.shape[-1], timesteps=1000, sampling_timesteps=STEPS
    )
    diffusion = diffusion.to(x.device)
    return lambda: diffusion.ddim_sample(tuple(x.shape))


class Free(nn.Module):
    """Answers the same at once; the numbers are what lucidrains' sampler asks of a network."""

    channels = out_dim = 3
    self_condition = False

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, t: Tensor, condition: None = None) -> Tensor:
        return self.answer
