"""Kornia's functions and augmentations as degradations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..base import Claims, Degradation, Images, Params
from ..families.black_box import BlackBox, made, torch_seeded


def from_kornia(
    op: nn.Module | Callable[..., Tensor],
    *,
    severity: Callable[..., Mapping[str, Any]] | None = None,
    claims: Claims = Claims.NOTHING,
    name: str | None = None,
) -> Degradation:
    """A degradation out of a Kornia augmentation, or out of a Kornia function of a batch.

    An augmentation's params are drawn once per trajectory, on the CPU and from our generator, and handed to it with
    `params=`: it never draws for itself.

    Args:
        op: a module of `kornia.augmentation`, such as `RandomPlasmaShadow(p=1.0)`, or a function such as
            `kornia.enhance.adjust_gamma`.
        severity: for a function: from severities (B,) in (0, 1] to its keywords, `lambda s: {"gamma": 1 + 4 * s}`;
            for an augmentation: from a severity and the drawn params of one image to what is used of them. Left out,
            D is the straight line from x to what op makes of it.
        claims: what op promises, see `Claims`; nothing if left out.
        name: to register it by, see `from_callable`.

    Raises:
        TypeError: op is no function, a container of augmentations, or mixes images. ValueError: a name that is taken.
    """
    if "MixAugmentationBaseV2" in {base.__name__ for base in type(op).__mro__}:
        raise TypeError(f"{type(op).__name__} mixes images with each other, and a degradation sees one at a time")
    if isinstance(op, nn.Module) and any(hasattr(part, "forward_parameters") for part in op.children()):
        raise TypeError(f"{type(op).__name__} holds several augmentations: give them one by one to a Compose")
    amount = None if severity is None else staticmethod(severity)
    body = {"op": staticmethod(op), "amount": amount, "blended": amount is None, "claims": claims}
    return made(op, FromAugmentation if hasattr(op, "forward_parameters") else FromKornia, body, name)


@dataclass(frozen=True, kw_only=True)
class FromKornia(BlackBox):
    """See `from_kornia`; op is a function of a batch."""

    op: ClassVar[Callable[..., Tensor]]
    amount: ClassVar[Callable[..., Mapping[str, Any]] | None]

    def answer(self, x: Images, s: Tensor, params: Params) -> Tensor:
        op, amount = type(self).op, type(self).amount
        # Many functions refuse an amount of nothing.
        return op(x) if amount is None else op(x, **amount(torch.where(s > 0, s, 1).flatten()))


@dataclass(frozen=True, kw_only=True)
class FromAugmentation(FromKornia):
    """See `from_kornia`; op is an augmentation, asked image by image, as its params share no batch axis."""

    @property
    def deterministic(self) -> bool:
        return False

    def row(self, like: Images, generator: torch.Generator | None) -> Params:
        op: Any = type(self).op
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch_seeded(seed), _drawing_on_cpu(op):
            drawn = op.forward_parameters(torch.Size((1, *like.shape[1:])))
        return {k: v for k, v in drawn.items() if isinstance(v, Tensor) and k != "forward_input_shape"}

    def answer(self, x: Images, s: Tensor, params: Params) -> Tensor:
        op, amount, rows = type(self).op, type(self).amount, [image[None] for image in x]
        for i, severity in enumerate(s.flatten().tolist()):
            if severity > 0:
                own = {name: v[i] for name, v in params.items()}
                used = dict(own if amount is None else amount(severity, own))
                rows[i] = op(rows[i], params=used | {"forward_input_shape": torch.tensor(rows[i].shape)})
        return torch.cat(rows)


# --- helpers ---------------------------------------------------------------------------------------------------------


@contextmanager
def _drawing_on_cpu(op: Any) -> Iterator[None]:
    """An augmentation that was moved to a device draws there, where no seed of ours is heard."""
    device, dtype = op.device, op.dtype
    op.set_rng_device_and_dtype(torch.device("cpu"), dtype)
    try:
        yield
    finally:
        op.set_rng_device_and_dtype(device, dtype)
