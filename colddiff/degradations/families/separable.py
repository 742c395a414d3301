"""Degradations that are linear along rows and columns: one small matrix per axis, whatever the severity."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...utils.numerics import flush_negligible, moved
from ...utils.table_cache import cached_tables
from ..base import Claims, Degradation, Images, Params, is_measured
from ..composite import of_part, to_part
from ..levels import level_at, on_levels, one_if_shared
from ..spectral import apply_axes, from_spectrum

# Bytes of the matrices of all levels of an axis; longer chains keep their spectra, from which matrices are made.
STACK_BYTES = 32 * 2**20
ROWS, COLUMNS = 0, 1


@dataclass(frozen=True, kw_only=True)
class SeparableLinear(Degradation, ABC):
    """D(x, s) = A_h(s) x A_w(s)^T: two products at every severity, each image at its own.

    Where all images are at one time, as in a sampler's step, the matrices are made and read once for the batch; and
    the difference of two severities is two products again. Above `largest_side` pixels an operator may have another
    form of itself, `degrade_large`.
    """

    largest_side: ClassVar[float] = math.inf
    claims = Claims.LINEAR | Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE

    @abstractmethod
    def axis(self, n: int, size: tuple[int, int]) -> Params:
        """What `matrix` needs for an axis of n pixels, in images of that size (H, W): tables in float64 on the CPU."""

    @abstractmethod
    def matrix(self, s: Tensor, axis: Params) -> Tensor:
        """A(s) of an axis, (B, n, n), at severities s (B, 1, 1, 1); the identity to the last bit at s = 0."""

    def spectrum(self, n: int, s: Tensor) -> tuple[Tensor, Tensor]:
        """Where an axis is diagonal: the basis (2, n, n) and its eigenvalues (B, n) at severities s (B,); float64, CPU.

        Written where there is one, as in `spectral.spectral_basis`; a Wiener estimate follows from it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no spectrum")

    def block_sides(self, n: int, size: tuple[int, int]) -> Tensor:
        """The side in pixels of the blocks of one colour that levels 0 .. T leave of an axis: (T + 1,) float64, >= 1.

        Written where there are some: pixel p is in block floor((p + 1/2) / side). An enlargement follows from it.
        """
        raise NotImplementedError(f"{type(self).__name__} leaves no blocks")

    @property
    def has_spectrum(self) -> bool:
        return type(self).spectrum is not SeparableLinear.spectrum

    @property
    def has_blocks(self) -> bool:
        return type(self).block_sides is not SeparableLinear.block_sides

    def gain(self, s: Tensor, size: tuple[int, int]) -> Tensor:
        """By what D multiplies each pair of frequencies of `spectrum`, at severities s (B,): (B, 1, H, W), float64."""
        rows, columns = (self.spectrum(n, s.cpu())[1] for n in size)
        return (rows[:, :, None] * columns[:, None, :])[:, None]

    def bases(self, like: Images) -> tuple[Tensor, Tensor]:
        """Synthesis and analysis (2, n, n) of rows and of columns, on the device of the images; float64."""
        zero = torch.zeros(1, dtype=torch.long)  # of severity, or level 0

        def build() -> Params:
            return {str(i): self.spectrum(n, zero)[0].to(like.device) for i, n in enumerate(like.shape[-2:])}

        found = cached_tables(("bases", self, *like.shape[-2:], like.device), build)
        return found["0"], found["1"]

    @property
    def projectable(self) -> bool:
        return self.has_spectrum

    def projection(self, y: Images, s: Tensor, params: Params, noise: Tensor | float) -> Callable[[Images], Images]:
        """Frequencies that are still there."""
        if not self.has_spectrum:
            return super().projection(y, s, params, noise)
        rows, columns = self.bases(y)
        gain = self.gain(one_if_shared(s).reshape(-1).double(), (y.shape[-2], y.shape[-1])).to(y.device)
        # By how much rounding is larger, as part of an image, where the basis is not orthogonal: DCT-I.
        skewed = [synthesis.norm(dim=0) * analysis.norm(dim=1) for synthesis, analysis in (rows, columns)]
        told = is_measured(gain, noise * skewed[0][:, None] * skewed[1])
        known = (rows[1] @ y.double() @ columns[1].mT) / torch.where(told, gain, 1)

        def of(x: Images) -> Images:
            missing = torch.where(told, known - rows[1] @ x.double() @ columns[1].mT, 0)
            return x + (rows[0] @ missing @ columns[0].mT).to(x.dtype)

        return of

    def degrade_large(self, x: Images, s: Tensor, params: Params) -> Images:
        """D(x, s) of images larger than `largest_side`."""
        raise NotImplementedError

    def tables_large(self, like: Images) -> Params:
        """What `degrade_large` needs."""
        return {}

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        if self._large(x):
            return torch.where(s > 0, self.degrade_large(x, s, params), x)
        return self._applied(x, one_if_shared(s), params)

    def change(self, x: Images, s: Tensor, r: Tensor, params: Params) -> Images:
        after, before = one_if_shared(r), one_if_shared(s)
        if self._large(x) or after.shape[0] != before.shape[0]:
            return self.degrade(x, r, params) - self.degrade(x, s, params)
        return self._applied(x, torch.cat([after, before]), params, terms=2)

    def tables(self, like: Images) -> Params:
        if self._large(like):
            return self.tables_large(like)
        h, w = like.shape[-2:]
        parts = [to_part(ROWS, self.axis(h, (h, w))), {} if h == w else to_part(COLUMNS, self.axis(w, (h, w)))]
        return {name: moved(table, like) for part in parts for name, table in part.items()}

    def _applied(self, x: Images, places: Tensor, params: Params, terms: int = 1) -> Images:
        """What the matrices at severities (or levels) make of x; with two terms, the first half less the second."""
        rows = self.matrix(places, of_part(ROWS, params))
        square = x.shape[-2] == x.shape[-1]
        columns = rows if square else self.matrix(places, of_part(COLUMNS, params))
        return apply_axes(x, *(m.reshape(terms, -1, *m.shape[1:]) for m in (rows, columns)))

    def _large(self, x: Images) -> bool:
        return max(x.shape[-2:]) > self.largest_side


@dataclass(frozen=True, kw_only=True)
class SeparableChain(SeparableLinear, ABC):
    """A chain of T steps A_h = S_k ... S_1 along each axis: exact at levels k / T, linear in D between.

    Source: Cold Diffusion section 4.1; the product of the steps, border rule and truncation included, is one matrix.
    """

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        if self._large(x):
            return super().degrade(x, s, params)
        steps = _steps(params)
        level, fraction = level_at(one_if_shared(s), steps)
        lower = self._applied(x, level, params)
        if on_levels(fraction):
            return lower
        return torch.lerp(lower, self._applied(x, (level + 1).clamp(max=steps), params), fraction)

    def change(self, x: Images, s: Tensor, r: Tensor, params: Params) -> Images:
        after, before = one_if_shared(r), one_if_shared(s)
        if not self._large(x) and after.shape[0] == before.shape[0]:
            levels, fractions = level_at(torch.cat([after, before]), _steps(params))
            if on_levels(fractions):
                return self._applied(x, levels, params, terms=2)
        return self.degrade(x, r, params) - self.degrade(x, s, params)

    def matrix(self, s: Tensor, axis: Params) -> Tensor:
        """The matrices (B, n, n) of an axis at levels s (B,)."""
        if "matrices" in axis:
            return axis["matrices"].index_select(0, s)
        return from_spectrum(axis["basis"], axis["identity"], axis["changes"].index_select(0, s))

    def gain(self, s: Tensor, size: tuple[int, int]) -> Tensor:
        """As of any operator, but that a chain writes `spectrum` by level, and is linear in D between two."""
        assert self.levels is not None
        level, fraction = level_at(s.reshape(-1, 1, 1, 1), self.levels)
        rows, columns = (self._eigenvalues(n, s.device) for n in size)

        def at(k: Tensor) -> Tensor:
            return (rows.index_select(0, k)[:, :, None] * columns.index_select(0, k)[:, None, :])[:, None]

        lower = at(level)
        if on_levels(fraction):
            return lower
        return torch.lerp(lower, at((level + 1).clamp(max=self.levels)), fraction)

    def _eigenvalues(self, n: int, device: torch.device) -> Tensor:
        """`spectrum` of an axis at all levels, (T + 1, n) float64, remembered."""
        assert self.levels is not None
        every = torch.arange(self.levels + 1)
        found = cached_tables(("eigenvalues", self, n, device), lambda: {"": self.spectrum(n, every)[1].to(device)})
        return found[""]


def stack(matrices: Tensor) -> Params:
    """The tables of an axis from its matrices at levels 0 .. T, (T + 1, n, n) float64."""
    return {"matrices": flush_negligible(matrices)}


def stack_of_filters(basis: Tensor, eigenvalues: Tensor) -> Params:
    """The tables of an axis whose levels are diagonal in one basis: matrices where they are few, else their spectra.

    Args:
        basis: (2, n, n) from `spectral_basis`.
        eigenvalues: (T + 1, n), float64; the first row is ones.
    """
    spectrum = spectral(basis) | {"changes": eigenvalues - 1}
    if len(eigenvalues) * basis[0].numel() * 4 > STACK_BYTES:
        return spectrum
    return stack(from_spectrum(spectrum["basis"], spectrum["identity"], spectrum["changes"]))


def spectral(basis: Tensor) -> Params:
    """What `from_spectrum` needs of an axis."""
    return {"basis": basis, "identity": torch.eye(basis.shape[-1], dtype=basis.dtype)}


def _steps(params: Params) -> int:
    """T, as the tables have it: it may depend on the size of the images."""
    axis = of_part(ROWS, params)
    return len(axis["matrices"] if "matrices" in axis else axis["changes"]) - 1
