"""Hot tensor functions: borders and their spectral bases, table look-ups, seeded draws, the table cache."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Hashable, Iterator
from typing import Literal

import torch
from torch import Tensor

Border = Literal["reflect", "circular", "symmetric"]

# A table entry below this is rounding, and as a denormal it would cost 4x to 16x on a CPU.
NEGLIGIBLE = 1e-15

# Bytes of tables kept between calls, all operators together.
CACHE_BYTES = 256 * 2**20


# --- spectral filters ------------------------------------------------------------------------------------------------


def spectral_filter(x: Tensor, basis_h: Tensor, basis_w: Tensor, gain: Tensor) -> Tensor:
    """V_h (gain * (W_h x W_w^T)) V_w^T: a filter that is diagonal in the bases of the two axes.

    Args:
        x: images (B, C, H, W).
        basis_h, basis_w: (2, n, n), synthesis V and analysis W of each axis, from `spectral_basis`.
        gain: what each frequency is multiplied by, (B, 1, H, W) or broadcastable to it.
    """
    spectrum = basis_h[1] @ x @ basis_w[1].mT
    return basis_h[0] @ (gain * spectrum) @ basis_w[0].mT


def spectral_basis(n: int, border: Border) -> tuple[Tensor, Tensor]:
    """Basis in which every symmetric convolution with that border rule is diagonal, for an axis of n pixels.

    Circular borders are diagonal in the real Fourier basis, reflected ones (the edge pixel not repeated) in the
    DCT-I, symmetric ones (the edge pixel repeated) in the DCT-II: a kernel w has there the eigenvalues
    sum_k w_k cos(omega k).

    Returns:
        The basis (2, n, n), synthesis V and analysis W = V^-1, and the frequencies omega (n,) in radians per pixel;
        all float64 on the CPU.
    """
    position, index = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None]
    if border == "circular":
        omega = 2 * math.pi * ((torch.arange(n) + 1) // 2).double() / n
        phase = position * omega[None]
        synthesis = torch.where(index % 2 == 1, torch.cos(phase), torch.sin(phase))
        synthesis[:, 0] = 1
        if n % 2 == 0:
            synthesis[:, -1] = torch.cos(math.pi * position[:, 0])
        synthesis /= synthesis.norm(dim=0)
        return torch.stack([synthesis, synthesis.mT]), omega
    if border == "symmetric":
        omega = math.pi * torch.arange(n).double() / n
        synthesis = torch.cos(math.pi * (position + 0.5) * index / n)
        synthesis /= synthesis.norm(dim=0)
        return torch.stack([synthesis, synthesis.mT]), omega
    omega = math.pi * torch.arange(n).double() / max(n - 1, 1)
    synthesis = torch.cos(math.pi * position * index / max(n - 1, 1))
    # DCT-I is its own inverse up to the weights of its two ends, which appear once in the mirrored signal.
    weight = torch.full((n,), 2.0, dtype=torch.float64)
    weight[[0, -1]] = 1
    analysis = weight[:, None] * synthesis * weight[None] / (2 * max(n - 1, 1)) if n > 1 else synthesis
    return torch.stack([synthesis, analysis]), omega


def kernel_spectrum(kernel: Tensor, omega: Tensor) -> Tensor:
    """Eigenvalues (..., n) of convolution by symmetric odd kernels (..., 2r + 1) at frequencies omega (n,)."""
    radius = kernel.shape[-1] // 2
    offset = torch.arange(-radius, radius + 1, dtype=kernel.dtype)
    return kernel @ torch.cos(offset[:, None] * omega[None])


def border_index(n: int, radius: int, border: Border) -> Tensor:
    """Which of the n pixels of an axis stands at positions -radius .. n - 1 + radius, for any radius."""
    position = torch.arange(-radius, n + radius)
    if border == "circular" or n == 1:
        return position % n
    period = 2 * n - 2 if border == "reflect" else 2 * n
    position = position % period
    mirrored = (period if border == "reflect" else period - 1) - position
    return torch.where(position < n, position, mirrored)


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


def level_of(s: Tensor, num_levels: int) -> tuple[Tensor, Tensor]:
    """The level just below severity s, and how far s is towards the next one.

    A severity within float32 error of a level is that level, so that tables are exact at k / T.

    Args:
        s: severity in [0, 1], shape (B, 1, 1, 1).
        num_levels: T; level 0 is clean.

    Returns:
        level (B,) int64 in 0 .. T - 1 and fraction (B, 1, 1, 1) in [0, 1].
    """
    position = s * num_levels
    nearest = position.round()
    # s may come from a float32 t: its rounding is half a unit of 2^-24 near 1, and the warp may triple it.
    position = torch.where((position - nearest).abs() <= num_levels * 2.5e-7, nearest, position)
    low = position.floor().clamp(0, num_levels - 1)
    return low.reshape(-1).long(), position - low


def between_levels(table: Tensor, s: Tensor) -> Tensor:
    """The rows of a table (T + 1, ...) at severity s (B, 1, 1, 1), linear between levels: (B, ...)."""
    level, fraction = level_of(s, len(table) - 1)
    fraction = fraction.reshape(-1, *[1] * (table.dim() - 1))
    return torch.lerp(table[level], table[level + 1], fraction)


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


@contextlib.contextmanager
def exact_matmul() -> Iterator[None]:
    """Matrix products and convolutions in full float32: neither TF32 on a GPU nor bf16 on a CPU."""
    knobs = (
        torch.backends.cuda.matmul,
        torch.backends.cudnn.conv,  # type: ignore[attr-defined]
        torch.backends.mkldnn.matmul,  # type: ignore[attr-defined]
        torch.backends.mkldnn.conv,  # type: ignore[attr-defined]
    )
    before = [knob.fp32_precision for knob in knobs]
    for knob in knobs:
        knob.fp32_precision = "ieee"
    try:
        yield
    finally:
        for knob, precision in zip(knobs, before, strict=True):
            knob.fp32_precision = precision


# --- tables ----------------------------------------------------------------------------------------------------------

_TABLES: dict[Hashable, dict[str, Tensor]] = {}


def cached_tables(key: Hashable, build: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """`build()`, remembered by key; the oldest tables leave when all together exceed CACHE_BYTES.

    A plain dictionary: Dynamo ignores functools' caches.
    """
    if torch.compiler.is_compiling():
        return build()
    tables = _TABLES.pop(key, None)
    if tables is None:
        # Tables outlive the caller's inference mode, in which they would be unfit for gradients ever after.
        with torch.inference_mode(False):
            tables = build()
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
