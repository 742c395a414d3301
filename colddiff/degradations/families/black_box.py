"""Any image function as a degradation: black boxes, of which nothing is claimed that their maker does not claim."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...utils.config import register, registered
from ..base import Claims, Degradation, Images, Params

Kind = Literal["tensor", "numpy", "uint8", "pillow"]
Amount = Callable[[float], Any] | tuple[float, float]
Drawn = Mapping[str, Tensor | float]


def from_callable(
    fn: Callable[..., Any],
    *,
    severity: Amount = (0.0, 1.0),
    draw: Callable[[torch.Generator | None], Drawn] | None = None,
    images: Kind = "tensor",
    claims: Claims = Claims.NOTHING,
    name: str | None = None,
) -> Degradation:
    """A degradation out of a function of one image: D(x, t) is fn(x, amount, **drawn), and x where t = 0.

    Args:
        fn: called as `fn(image, amount, **drawn)` for one image at a time; gives an image of the same size.
        severity: the amount at severity s in (0, 1]: a function of s, or its values at s = 0 and s = 1 with a
            straight line between.
        draw: everything random, for one image: from a CPU generator (None is torch's own) to numbers or tensors by
            name, which fn gets as keywords. A function that draws for itself would break Algorithm 2.
        images: what fn takes and gives: "tensor" (C, H, W) as it is, "numpy" (H, W, C) float32 clipped to [0, 1],
            "uint8" the same in 8 bits, "pillow" a picture of mode L or RGB. It may write into what it is given.
        claims: what fn promises, see `Claims`; nothing if left out.
        name: to register it by, so that it can be saved and trained; another process knows the name once the
            module that calls this has been imported.

    Raises:
        TypeError: fn or severity is none. ValueError: a name that is taken, no such kind of image.
    """
    if images not in get_args(Kind):
        raise ValueError(f"images must be one of {', '.join(get_args(Kind))}, got {images!r}")
    amount = severity if callable(severity) else _straight(severity)
    drawer = None if draw is None else staticmethod(draw)
    body = {
        "fn": staticmethod(fn),
        "amount": staticmethod(amount),
        "drawer": drawer,
        "images": images,
        "claims": claims,
    }
    return made(fn, FromCallable, body, name)


@dataclass(frozen=True, kw_only=True)
class BlackBox(Degradation):
    """A function that is only asked where t > 0, and of whose answers only the shape is checked."""

    claims: ClassVar[Claims] = Claims.NOTHING
    blended: ClassVar[bool] = False  # whether D is the straight line to the answer

    def to_config(self) -> dict[str, Any]:
        if type(self).__dict__.get("registered_name") is None:
            raise ValueError(
                f"{type(self).__name__} has no name and cannot be saved: make it with name=..., in a module that is "
                "imported wherever it is to be loaded"
            )
        return super().to_config()

    @property
    def deterministic(self) -> bool:
        return True

    def row(self, like: Images, generator: torch.Generator | None) -> Params:
        """What is drawn for one image, without a batch axis."""
        return {}

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        return _stacked([self.row(like, generator) for _ in range(len(like))], like)

    def draw_each(self, like: Images, generators: Sequence[torch.Generator]) -> Params:
        if len(generators) != len(like):
            raise ValueError(f"expected one generator per image, {len(like)}, got {len(generators)}")
        return _stacked([self.row(like, generator) for generator in generators], like)

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        if x.is_meta or not len(x):
            return torch.empty_like(x)
        damaged = self.answer(x.clone(), s, params)  # a function may write into what it is given
        if damaged.shape != x.shape:
            name = type(self).__name__
            raise ValueError(f"{name} must keep the shape of images, {tuple(x.shape)}, but gave {tuple(damaged.shape)}")
        damaged = damaged.to(x)
        return torch.where(s > 0, torch.lerp(x, damaged, s) if self.blended else damaged, x)

    @abstractmethod
    def answer(self, x: Images, s: Tensor, params: Params) -> Tensor:
        """What the function makes of images at severities s; anything where s = 0."""


@dataclass(frozen=True, kw_only=True)
class FromCallable(BlackBox):
    """See `from_callable`."""

    fn: ClassVar[Callable[..., Any]]
    amount: ClassVar[Callable[[float], Any]]
    drawer: ClassVar[Callable[[torch.Generator | None], Drawn] | None]
    images: ClassVar[Kind]

    @property
    def deterministic(self) -> bool:
        return type(self).drawer is None

    def row(self, like: Images, generator: torch.Generator | None) -> Params:
        drawer = type(self).drawer
        drawn = {} if drawer is None else drawer(generator)
        numbers = Tensor | np.ndarray | np.generic | float | int
        if not isinstance(drawn, Mapping) or not all(isinstance(v, numbers) for v in drawn.values()):
            raise TypeError(f"draw of {type(self).__name__} must give numbers or tensors by name, gave {drawn!r}")
        return {name: torch.as_tensor(value) for name, value in drawn.items()}

    def answer(self, x: Images, s: Tensor, params: Params) -> Tensor:
        rows = [*x]
        for i, severity in enumerate(s.flatten().tolist()):
            if severity > 0:
                drawn = {name: v[i].item() if v.dim() == 1 else v[i] for name, v in params.items()}
                answer = type(self).fn(_given(x[i], self.images), type(self).amount(severity), **drawn)
                rows[i] = _taken(answer, x[i], self.images, type(self).__name__)
        return torch.stack(rows)


def made(of: Any, base: type[BlackBox], body: dict[str, Any], name: str | None) -> Degradation:
    """A value of a class of its own, made by the module that called the caller, as `namedtuple` does.

    Args:
        of: what is adapted, of which no two share a name.
        base: the kind of adapter, of which `body` has the class attributes; functions as static methods.
        name: see `from_callable`, and so what it raises.
    """
    if not callable(of):
        raise TypeError(f"expected a function of images, got {of!r}")
    title = getattr(of, "__name__", type(of).__name__)
    module = sys._getframe(2).f_globals.get("__name__", "__main__")
    body |= {"__module__": module, "__qualname__": title, "maker": _place(of)}
    other = registered(base.group).get(name or "")
    # In a notebook a cell is run again, and so are functions that a reloaded module makes at the same place.
    if module != "__main__" and getattr(other, "maker", body["maker"]) != body["maker"]:
        raise ValueError(f"the name {name!r} is taken by another function of {module}")
    cls: type[BlackBox] = dataclass(frozen=True, kw_only=True)(type(title, (base,), body))
    return (cls if name is None else register(name)(cls))()


@contextmanager
def torch_seeded(seed: int) -> Iterator[None]:
    """For what draws on the CPU, from torch's own generator, and takes no other; that is as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would move those of the GPUs too
        yield


# --- helpers ---------------------------------------------------------------------------------------------------------


def _place(of: Any) -> tuple[str, int]:
    """The file and line where a function was written; of other things their type."""
    code = getattr(of, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else (type(of).__qualname__, 0)


def _straight(ends: tuple[float, float]) -> Callable[[float], float]:
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        raise TypeError(f"severity must be a function of s, or the amounts at s = 0 and s = 1, got {ends!r}")
    low, high = ends
    return lambda s: low + (high - low) * s


def _stacked(rows: list[Params], like: Images) -> Params:
    for row in rows:
        shapes, first = ({name: tuple(v.shape) for name, v in r.items()} for r in (row, rows[0]))
        if shapes != first:
            raise ValueError(f"what is drawn must be of one shape for every image, got {first} and {shapes}")
    return {name: torch.stack([row[name] for row in rows]).to(like.device) for name in rows[0]} if rows else {}


def _given(image: Tensor, kind: Kind) -> Any:
    """An image (C, H, W) as the function takes it."""
    if kind == "tensor":
        return image
    array = image.clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    if kind == "numpy":
        return array.astype(np.float32)
    eight_bit = (array * 255).round().astype(np.uint8)
    if kind == "uint8":
        return eight_bit
    if len(image) not in (1, 3):
        raise ValueError(f"a Pillow picture has 1 or 3 channels, got {len(image)}")
    return Image.fromarray(eight_bit[:, :, 0] if len(image) == 1 else eight_bit)


def _taken(answer: Any, like: Tensor, kind: Kind, name: str) -> Tensor:
    """The function's answer as (C, H, W), of the shape of `like` and where it is."""
    if isinstance(answer, Image.Image):
        answer = answer.convert("L" if len(like) == 1 else "RGB")
    found = (answer if isinstance(answer, Tensor) else torch.from_numpy(_array(answer, kind, name))).to(like)
    if found.shape != like.shape:
        raise ValueError(f"{name} must keep the shape of images, {tuple(like.shape)}, but gave {tuple(found.shape)}")
    return found


def _array(answer: Any, kind: Kind, name: str) -> np.ndarray[Any, Any]:
    """An array or picture as (C, H, W) in [0, 1]."""
    array = np.array(answer)  # a copy: a picture's own memory is read-only
    eight_bit = array.dtype == np.uint8
    if not eight_bit and (kind in ("uint8", "pillow") or array.dtype.kind != "f"):
        given = array.dtype if isinstance(answer, np.ndarray) else type(answer).__name__
        raise TypeError(f'{name} must give images as it takes them, "{kind}", but gave {given}')
    channels_first = np.moveaxis(array, -1, 0) if array.ndim == 3 else array[None]
    return channels_first / 255 if eight_bit else channels_first
