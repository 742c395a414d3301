"""Priors: surrogate clean images u, from which generation starts."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..degradations.base import Images
from ..utils.config import Configurable, measured, register

Shape = tuple[int, int, int]

SYMMETRY_BREAKING = 0.001  # without it all seeds of an operator that ends in one colour make the same image


@dataclass(frozen=True, kw_only=True)
class Prior(Configurable, ABC):
    """A distribution of surrogate clean images.

    Args:
        sigma: standard deviation of the noise added to the fully degraded surrogate, in units of [0, 1]; it breaks
            the symmetry of a start that is one flat colour. The paper uses 0.002 of [-1, 1], which is the default of
            priors of flat colours; the others have none.
    """

    group: ClassVar[str] = "colddiff.priors"
    flat: ClassVar[bool] = False  # whether every surrogate is one colour, so that images need sigma to differ

    sigma: float = 0.0

    def check(self) -> None:
        if not 0 <= self.sigma < 10:
            raise ValueError(f"sigma must be in [0, 10), got {self.sigma}")

    @abstractmethod
    def sample(self, n: int, shape: Shape, generator: torch.Generator | None = None) -> Images:
        """n surrogate images of shape (C, H, W): (n, C, H, W), float32 on the CPU, nominally in [0, 1]."""

    def tensors(self) -> dict[str, Tensor]:
        """What was fitted, for `prior.safetensors`; empty where nothing was."""
        return {}

    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        """The same prior with what was fitted put back."""
        return self


@register("standard_normal")
@dataclass(frozen=True, kw_only=True)
class StandardNormal(Prior):
    """c ~ N(0, I) for the centred image c = 2 u - 1; variance-preserving noise leaves it so."""

    def sample(self, n: int, shape: Shape, generator: torch.Generator | None = None) -> Images:
        return (1 + torch.randn((n, *shape), generator=generator)) / 2


@register("uniform")
@dataclass(frozen=True, kw_only=True)
class Uniform(Prior):
    """Every value from U[0, 1)."""

    def sample(self, n: int, shape: Shape, generator: torch.Generator | None = None) -> Images:
        return torch.rand((n, *shape), generator=generator)


@register("constant")
@dataclass(frozen=True, kw_only=True)
class Constant(Prior):
    """One colour for every pixel: the given one, or drawn from U[low, high] per image and channel.

    Source: upstream's constant-colour inpainting draws from [-0.5, 0.5] of [-1, 1], here [0.25, 0.75].

    Args:
        low, high: of the colour, in units of [0, 1]; equal ones are the colour.
    """

    flat = True

    sigma: float = SYMMETRY_BREAKING
    low: float = 0.25
    high: float = 0.75

    def check(self) -> None:
        super().check()
        if not -10 <= self.low <= self.high <= 10:
            raise ValueError(f"low must not exceed high, both in [-10, 10], got {self.low} and {self.high}")

    def sample(self, n: int, shape: Shape, generator: torch.Generator | None = None) -> Images:
        colour = torch.rand((n, shape[0], 1, 1), generator=generator)
        return (self.low + (self.high - self.low) * colour).expand(n, *shape).clone()


@dataclass(frozen=True, eq=False)
class FittedTensors:
    """Tensors by name, as a value: equal where the numbers are."""

    tensors: dict[str, Tensor]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FittedTensors) or self.tensors.keys() != other.tensors.keys():
            return False
        return all(torch.equal(tensor, other.tensors[name]) for name, tensor in self.tensors.items())

    def __hash__(self) -> int:
        return hash(frozenset((name, tensor.shape) for name, tensor in self.tensors.items()))


@dataclass(frozen=True, kw_only=True)
class Fitted(Prior):
    """A prior with tensors that come from a training set: `fit` makes one.

    Args:
        fitted: what was measured on the training set; None until then, and kept beside the config, not in it.
    """

    expected: ClassVar[tuple[str, ...]] = ()

    fitted: FittedTensors | None = measured()

    @abstractmethod
    def measure(self, images: Images) -> dict[str, Tensor]:
        """The tensors named in `expected`, from images (N, C, H, W) in [0, 1]."""

    @classmethod
    def fit(cls, images: Images, **fields: Any) -> Self:
        """This prior with those fields, fitted to images (N, C, H, W) in [0, 1]."""
        return cls(**fields).fitted_to(images)

    def fitted_to(self, images: Images) -> Self:
        """The same prior, fitted to images (N, C, H, W) in [0, 1]."""
        return self.with_tensors(self.measure(images))

    def tensors(self) -> dict[str, Tensor]:
        if self.fitted is None:
            raise ValueError(f"{type(self).__name__} has not been fitted: use {type(self).__name__}.fit(images)")
        return self.fitted.tensors

    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        """The same prior with what was fitted put back.

        Raises:
            ValueError: a tensor named in `expected` is not among them.
        """
        missing = [name for name in self.expected if name not in tensors]
        if missing:
            raise ValueError(f"{type(self).__name__} needs the tensors {missing}, got {sorted(tensors)}")
        if not self.could_be_fitted({name: tensors[name] for name in self.expected}):
            shapes = {name: tuple(tensors[name].shape) for name in self.expected}
            raise ValueError(f"{type(self).__name__} cannot be fitted to tensors {shapes}, or not with these numbers")
        return replace(self, fitted=FittedTensors(dict(tensors)))

    def could_be_fitted(self, tensors: dict[str, Tensor]) -> bool:
        """Whether `measure` could have made tensors: their shapes, types and ranges."""
        return True


@dataclass(frozen=True, kw_only=True)
class GaussianMixture(Fitted):
    """A mixture of full-covariance Gaussians over the training images, averaged to a few pixels; scaled up smoothly.

    Source: Cold Diffusion section 5, where generation by deblurring starts from a mixture of channel means.
    """

    expected = ("weights", "means", "factors")

    @property  # a field of some members, as is the side
    def components(self) -> int:
        return 1

    @property
    def side(self) -> int:
        return 1

    def check(self) -> None:
        super().check()
        if min(self.components, self.side) < 1:
            raise ValueError(f"components and side must be >= 1, got {self.components} and {self.side}")

    def could_be_fitted(self, tensors: dict[str, Tensor]) -> bool:
        weights, means, factors = (tensors[name] for name in self.expected)
        if {t.dtype for t in (weights, means, factors)} != {torch.float32} or (weights.dim(), means.dim()) != (1, 4):
            return False
        count, numbers = len(weights), means[:1].numel()
        alike = means.shape[0] == count and means.shape[2:] == (self.side, self.side) and numbers > 0
        drawn = bool((weights >= 0).all()) and bool(weights.sum() > 0)
        return alike and factors.shape == (count, numbers, numbers) and drawn

    def measure(self, images: Images) -> dict[str, Tensor]:
        from sklearn import mixture
        from sklearn.exceptions import ConvergenceWarning

        if min(images.shape[2:]) < self.side:
            raise ValueError(f"images {tuple(images.shape)} are smaller than the side of {self.side} to average to")
        small = F.adaptive_avg_pool2d(images, self.side).double()
        points = small.flatten(1).numpy()
        different = len(np.unique(points, axis=0))
        # One image is seen twice, as scikit-learn asks for two; the floor of the variance keeps a factor for it.
        fit = mixture.GaussianMixture(min(self.components, different), reg_covar=1e-6, max_iter=200, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a start is drawn from it: the last digits are idle
            fit.fit(points if len(points) > 1 else points.repeat(2, axis=0))
        return {
            "weights": torch.from_numpy(fit.weights_).float(),
            "means": torch.from_numpy(fit.means_).float().reshape(-1, *small.shape[1:]),
            "factors": torch.linalg.cholesky(torch.from_numpy(fit.covariances_)).float(),
        }

    def sample(self, n: int, shape: Shape, generator: torch.Generator | None = None) -> Images:
        weights, means, factors = (self.tensors()[name] for name in self.expected)
        if means.shape[1] != shape[0]:
            raise ValueError(f"this prior was fitted to {means.shape[1]} channels, asked for {shape[0]}")
        which = torch.multinomial(weights, n, replacement=True, generator=generator)
        z = torch.randn((n, factors.shape[1], 1), generator=generator)
        small = means[which] + (factors[which] @ z).reshape(n, *means.shape[1:])
        if small.shape[2] == 1:
            return small.expand(n, *shape).clone()  # of one colour to the last bit
        return F.interpolate(small, size=tuple(shape[1:]), mode="bilinear")


@register("channel_gaussian")
@dataclass(frozen=True, kw_only=True)
class ChannelGaussian(GaussianMixture):
    """One colour per image, from a Gaussian fitted to the channel means of the training images.

    Source: upstream's default of a single full-covariance component.
    """

    flat = True

    sigma: float = SYMMETRY_BREAKING


@register("channel_gmm")
@dataclass(frozen=True, kw_only=True)
class ChannelGMM(GaussianMixture):
    """One colour per image, from a mixture of Gaussians fitted to the channel means of the training images.

    Args:
        components: Gaussians in the mixture; fewer where there are fewer different images.
    """

    flat = True

    sigma: float = SYMMETRY_BREAKING
    components: int = 5


@register("lowres_gmm")
@dataclass(frozen=True, kw_only=True)
class LowresGMM(GaussianMixture):
    """A small image scaled up smoothly, from a mixture fitted to the training images averaged to that size.

    Source: upstream's start of super-resolution (a mixture over 2 x 2 images), and its other start of deblurring.

    Args:
        components: Gaussians in the mixture; fewer where there are fewer different images.
        side: of the small image, in pixels; what is finer is left to the restorer.
    """

    components: int = 5
    side: int = 4


@register("empirical")
@dataclass(frozen=True, kw_only=True)
class Empirical(Fitted):
    """Training images themselves, at 8 bits, drawn with replacement: generation starts where a real image ends."""

    expected = ("images",)

    def could_be_fitted(self, tensors: dict[str, Tensor]) -> bool:
        images = tensors["images"]
        return images.dim() == 4 and images.dtype == torch.uint8 and images.numel() > 0

    def measure(self, images: Images) -> dict[str, Tensor]:
        return {"images": (images.clamp(0, 1) * 255).round().to(torch.uint8)}

    def sample(self, n: int, shape: Shape, generator: torch.Generator | None = None) -> Images:
        images = self.tensors()["images"]
        if tuple(images.shape[1:]) != tuple(shape):
            raise ValueError(f"this prior holds images of shape {tuple(images.shape[1:])}, asked for {shape}")
        return images[torch.randint(len(images), (n,), generator=generator)].float() / 255
