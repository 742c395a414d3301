"""Hot tensor functions: table look-ups, seeded draws, exact products, the table cache."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# A table entry below this is rounding, and as a denormal it would cost 4x to 16x on a CPU.
NEGLIGIBLE = 1e-15

# What a picture tells of a clean image more exactly than this is taken from it, and no restorer is asked.
KNOWN_TO = 0.02

# Numbers in a batch of images up to which an operator stays on one CPU thread.
SMALL = 2**18

# Bytes of tables kept between calls, all operators together.
CACHE_BYTES = 256 * 2**20


def flush_negligible(table: Tensor) -> Tensor:
    """The table with entries that are only rounding set to zero."""
    return torch.where(table.abs() < NEGLIGIBLE, 0, table)


def locate(template: Tensor, image: Tensor) -> Tensor:
    """Where a template explains an image best, up to an added constant: least squares over every place.

    Args:
        template: (B, 2H, 2W), its centre at (H - 1, W - 1).
        image: (B, H, W).

    Returns:
        The centre in the image, (B, 2): rows -1 .. H - 1 and columns -1 .. W - 1.
    """
    h, w = image.shape[-2:]

    def correlation(a: Tensor, b: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(a, s=(2 * h, 2 * w)).conj() * torch.fft.rfft2(b)
        found: Tensor = torch.fft.irfft2(spectrum, s=(2 * h, 2 * w))[:, : h + 1, : w + 1]
        return found

    image, template = image.double(), template.double()
    ones = torch.ones_like(image)
    squares = correlation(ones, template**2) - 2 * correlation(image, template)
    offset = image.sum(dim=(1, 2), keepdim=True) - correlation(ones, template)
    best = (squares - offset**2 / (h * w)).flatten(1).argmin(dim=1)
    return torch.stack([h - 1 - best.div(w + 1, rounding_mode="floor"), w - 1 - best % (w + 1)], dim=1)


# --- levels ----------------------------------------------------------------------------------------------------------


def level_at(s: Tensor, num_levels: int) -> tuple[Tensor, Tensor]:
    """The level at or just below severity s, and how far s is towards the next one.

    A severity within float32 error of a level is that level, so that tables are exact at k / T.

    Args:
        s: severity in [0, 1], shape (B, 1, 1, 1).
        num_levels: T; level 0 is clean.

    Returns:
        level (B,) int64 in 0 .. T and fraction (B, 1, 1, 1) in [0, 1): on a level it is 0.
    """
    position = s * num_levels
    # s may come from a float32 t: its rounding is half a unit of 2^-24 near 1, and the warp may triple it.
    near = num_levels * 2.5e-7
    level = (position + near).floor()
    fraction = F.threshold(position - level, near, 0.0)
    return level.reshape(-1).long().clamp(0, num_levels), fraction


def on_levels(fraction: Tensor) -> bool:
    """Whether the upper levels can be spared: nothing lies between two, as far as a look at it costs nothing.

    A look would make a GPU wait and break a graph; there both levels are taken, with the same result.
    """
    if fraction.device.type != "cpu" or fraction.requires_grad or torch.compiler.is_compiling():
        return False
    return not any(fraction.flatten().tolist())


def is_told(gain: Tensor, noise: Tensor | float) -> Tensor:
    """Whether what is seen multiplied by `gain`, and off by `noise` (a standard deviation), is known to `KNOWN_TO`."""
    return gain.abs() * KNOWN_TO >= noise


def between_levels(table: Tensor, s: Tensor) -> Tensor:
    """The rows of a table (T + 1, ...) at severity s (B, 1, 1, 1), linear between levels: (B, ...)."""
    level, fraction = level_at(s, len(table) - 1)
    lower = table.index_select(0, level)
    if on_levels(fraction):
        return lower
    upper = table.index_select(0, (level + 1).clamp(max=len(table) - 1))
    return torch.lerp(lower, upper, fraction.reshape(-1, *[1] * (table.dim() - 1)))


def one_if_shared(s: Tensor) -> Tensor:
    """Severities (B, ...) that are one number for the whole batch by their strides, as (1, ...)."""
    return s[:1] if s.stride(0) == 0 and s.shape[0] > 1 else s


# --- draws -----------------------------------------------------------------------------------------------------------


def normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal draws, made on the CPU in float32 whatever `like` is, so that a seed means the same anywhere."""
    return moved(torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32), like)


def uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws from U[0, 1), made on the CPU in float32 whatever `like` is."""
    return moved(torch.rand(shape, generator=generator, device="cpu", dtype=torch.float32), like)


def integers(high: int, shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws from {0 .. high - 1}, in the computing dtype of `like`."""
    return moved(torch.randint(high, shape, generator=generator, device="cpu"), like)


def computing_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32 or better: the difference of two degradations is a small number."""
    return torch.promote_types(dtype, torch.float32)


def moved(value: Tensor, like: Tensor) -> Tensor:
    """A CPU tensor on the device of `like`, in its computing dtype, without waiting for the device."""
    return value.to(like.device, computing_dtype(like.dtype), non_blocking=True)


# --- exact arithmetic ------------------------------------------------------------------------------------------------


# Settings of products and convolutions in float32, by the device that they are for.
_KNOBS: dict[str, tuple[Any, ...]] = {
    "cpu": (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv),  # type: ignore[attr-defined]
    "cuda": (torch.backends.cuda.matmul, torch.backends.cudnn.conv),  # type: ignore[attr-defined]
}


@contextlib.contextmanager
def exact_matmul() -> Iterator[None]:
    """Matrix products and convolutions in full float32: neither TF32 on a GPU nor bf16 on a CPU."""
    knobs = [knob for of_device in _KNOBS.values() for knob in of_device]
    before = [knob.fp32_precision for knob in knobs]
    for knob in knobs:
        knob.fp32_precision = "ieee"
    try:
        yield
    finally:
        for knob, precision in zip(knobs, before, strict=True):
            knob.fp32_precision = precision


def few_threads(x: Tensor) -> AbstractContextManager[object]:
    """One CPU thread for small tensors: to wake a second one costs more than it brings."""
    if torch.compiler.is_compiling() or x.device.type != "cpu" or x.numel() > SMALL or torch.get_num_threads() == 1:
        return contextlib.nullcontext()
    return _OneThread()


class _OneThread:
    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *raised: object) -> None:
        torch.set_num_threads(self.before)


def exact_float32(device: torch.device) -> AbstractContextManager[object]:
    """`exact_matmul` outside autocast: D(x, s) - D(x, t) is a small difference of large numbers."""
    autocasts = device.type != "meta" and torch.is_autocast_enabled(device.type)
    exact = torch.compiler.is_compiling() or _is_exact(device.type)
    if exact and not autocasts:
        return contextlib.nullcontext()
    settings = contextlib.ExitStack()
    if autocasts:
        settings.enter_context(torch.autocast(device.type, enabled=False))
    if not exact:
        settings.enter_context(exact_matmul())
    return settings


def _is_exact(device: str) -> bool:
    """Whether products are exact there already, as they mostly are: to look costs less than to set."""
    if device != "cpu":
        return all(knob.fp32_precision == "ieee" for knob in _KNOBS.get(device, ()))
    # What is not set follows the setting of its library, and that the setting of all.
    above = (torch.backends.mkldnn, torch.backends)
    return all(knob.fp32_precision in ("none", "ieee") for knob in (*_KNOBS["cpu"], *above))


# --- tables ----------------------------------------------------------------------------------------------------------

_TABLES: dict[Hashable, dict[str, Tensor]] = {}
_TABLES_LOCK = threading.Lock()  # several threads of a server degrade at once


def cached_tables(key: Hashable, build: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """`build()`, remembered by key; the oldest tables leave when all together exceed CACHE_BYTES.

    A plain dictionary: Dynamo ignores functools' caches.
    """
    if torch.compiler.is_compiling():
        return build()
    tables = _TABLES.get(key)
    if tables is None:
        # Tables outlive the caller's inference mode, in which they would be unfit for gradients ever after.
        with torch.inference_mode(False):
            tables = build()
    with _TABLES_LOCK:
        _TABLES.pop(key, None)
        _TABLES[key] = tables  # newest last
        while len(_TABLES) > 1 and sum(_nbytes(t) for t in _TABLES.values()) > CACHE_BYTES:
            del _TABLES[next(iter(_TABLES))]
    return tables


def _nbytes(tables: dict[str, Tensor]) -> int:
    return sum(t.nbytes for t in tables.values())


# --- codecs ----------------------------------------------------------------------------------------------------------


def jpeg_quality(s: Tensor, highest: float, lowest: float) -> Tensor:
    """JPEG quality at severity s, from the highest to the lowest, in [1, 99] both.

    Quantization steps grow geometrically: with them a photograph loses nearly equal decibels per step of s. A quality
    q multiplies the steps of the standard by 50 / q below 50, and by 2 - q / 50 above.
    """
    finest, coarsest = (50 / q if q < 50 else 2 - q / 50 for q in (highest, lowest))
    step = finest * (coarsest / finest) ** s
    return torch.where(step > 1, 50 / step, 100 - 50 * step)


def check_jpeg_quality(highest: float, lowest: float) -> None:
    """Raise unless two qualities are what `jpeg_quality` goes between."""
    if not 1 <= lowest <= highest <= 99:
        raise ValueError(f"expected 1 <= quality_min <= quality_max <= 99, got {lowest} and {highest}")
