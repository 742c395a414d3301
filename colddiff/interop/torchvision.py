"""Degradations in pipelines of torchvision v2, and its random transforms as degradations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..data.convert import to_batch
from ..data.framing import Framing
from ..degradations.base import Claims, Degradation
from ..degradations.families.black_box import FromCallable, made, torch_seeded
from .random_params import Times, check_known, drawn, time_range

try:
    from torchvision import tv_tensors
    from torchvision.transforms import v2
except ImportError:
    raise ModuleNotFoundError(
        'colddiff.interop.torchvision needs torchvision: pip install "colddiff[torchvision]"'
    ) from None

READ = Framing().read


class AsTransform(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """A degradation as a transform of torchvision v2: images of a sample are damaged, labels, boxes and masks are not.

    Pictures, uint8 tensors and `tv_tensors.Image` come back as what they are, rounded and clamped; floats, which must
    be in [0, 1], so before `Normalize`, are not clamped. All images of a sample meet the same time, and the same params
    where they are of one size; of a batch (B, C, H, W) each has its own.

    Args:
        degradation: which draws all it needs.
        t: the time of every sample, or the range in [0, 1] from which it is drawn evenly.
        generator: on the CPU; None is torch's own, which a DataLoader seeds for each worker. Workers would share one
            that is given, and draw alike.

    Raises:
        ValueError: t out of range, or a degradation whose params come with the data.
    """

    _transformed_types = (v2.functional.is_pure_tensor, Image.Image, tv_tensors.Image)

    def __init__(
        self, degradation: Degradation, t: Times = (0.0, 1.0), *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        check_known(degradation)
        self.degradation, self.t, self.generator = degradation, time_range(t), generator

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        if any(isinstance(part, tv_tensors.Video) for part in flat_inputs):
            raise TypeError("expected images, got a video: degrade its frames, v.as_subclass(torch.Tensor), as a batch")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"seed": int(torch.randint(2**62, (), generator=self.generator))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        batch, back = to_batch(inpt, READ)
        times, own = drawn(self.degradation, batch, self.t, torch.Generator().manual_seed(params["seed"]))
        damaged = self.degradation(batch, times, own)
        exact = isinstance(inpt, Tensor) and inpt.is_floating_point()
        answer = back(damaged if exact else damaged.clamp(0, 1))
        return tv_tensors.wrap(answer, like=inpt) if isinstance(inpt, tv_tensors.Image) else answer

    def extra_repr(self) -> str:
        return f"{self.degradation}, t={self.t}"


def from_transform(
    transform: Callable[[Tensor], Tensor] | None = None,
    *,
    severity: Callable[[float], Callable[[Tensor], Tensor]] | None = None,
    claims: Claims = Claims.NOTHING,
    name: str | None = None,
) -> Degradation:
    """A degradation out of transforms of torchvision: what they draw from torch's generator, once per trajectory.

    They see every image on the CPU, so that they draw the same wherever it came from.

    A function of `torchvision.transforms.v2.functional` draws nothing, and is one for `from_callable`:
    `cd.from_callable(v2.functional.adjust_contrast, severity=(1.0, 0.2))`.

    Args:
        transform: such as `v2.ElasticTransform(50.0)` or a `v2.Compose`, which keeps the size of images; D is the
            straight line from x to what it makes of x.
        severity: instead, from a severity in (0, 1] to a transform, `lambda s: v2.RandomRotation(90 * s)`.
        claims: what is promised, see `Claims`; nothing if left out.
        name: to register it by, see `from_callable`.

    Raises:
        TypeError: neither, or both, or no function. ValueError: a name that is taken.
    """
    if (transform is None) == (severity is None):
        raise TypeError("give either a transform, or a severity that makes one of s, and not both")

    def fn(image: Tensor, s: float, seed: int) -> Tensor:
        chosen = transform if severity is None else severity(s)
        with torch_seeded(int(seed)):
            return chosen(image.cpu())  # type: ignore[misc]  # many draw where the image is, and no seed is heard there

    body = {
        "fn": staticmethod(fn),
        "amount": staticmethod(float),
        "drawer": staticmethod(lambda generator: {"seed": torch.randint(2**62, (), generator=generator)}),
        "images": "tensor",
        "claims": claims,
        "blended": severity is None,
    }
    return made(transform or severity, FromCallable, body, name)
