"""A network as a restorer, in reduced precision and compiled where both were seen to change nothing."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .samplers import Restorer
from .unet import UNet

# Largest error relative to the float32 answer, both as root mean squares, that a faster way may have.
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
LOOKED_AT = 2  # images of a batch that the check asks the float32 network for

PRECISIONS = ("auto", "fp32", "bf16")
LossOf = Callable[[nn.Module, str], Tensor]


def pick_precision(precision: str, device: torch.device) -> str:
    """ "auto" is bf16 where the hardware computes in it, else fp32."""
    if precision not in PRECISIONS:
        raise ValueError(f'precision must be "auto", "fp32" or "bf16", got {precision!r}')
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    return "bf16" if device.type == "cpu" and torch.cpu._is_amx_tile_supported() else "fp32"


@dataclass(frozen=True)
class Way:
    """One way to compute a network's answer, and the inputs for which it was found to be right."""

    name: str
    tolerance: float
    call: Restorer
    # Eager kernels treat every image alike; a compiler makes another program for every size of a batch.
    by_batch: bool = False
    trusted: set[tuple[object, ...]] = field(default_factory=set)

    def key(self, x: Tensor) -> tuple[object, ...]:
        return x.device, x.dtype, *x.shape[0 if self.by_batch else 1 :]


class FastRestorer:
    """R(x, t) of a network: the fastest way first, and the next one, with a warning, where it fails its check.

    The first answer for images of a new size is compared with that of the network in eager float32: it must be finite,
    and within `TOLERANCE`. Gradients are off.

    Args:
        net: called (x, t) -> x0_hat, its weights in float32. A compiled way keeps a copy of them as they are at its
            first call.
        precision: "fp32", or "bf16" for its products; images stay float32.
        compile: through torch.compile, which takes up to minutes at the first call.
    """

    def __init__(self, net: nn.Module, precision: str = "fp32", compile: bool = False) -> None:
        self.exact = Way("eager float32", math.inf, autocast(net, "fp32"))
        self.ways = [self.exact]
        if precision == "bf16":
            self.ways.insert(0, Way("eager bf16", TOLERANCE["bf16"], autocast(net, "bf16")))
        if compile:
            self.ways.insert(0, Way(f"compiled {precision}", TOLERANCE[precision], compiled(net, precision), True))

    @property
    def used(self) -> str:
        """The way that is taken, as far as is known by now: "compiled bf16", "eager bf16", "eager float32"."""
        return self.ways[0].name

    @torch.no_grad()
    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        while (way := self.ways[0]) is not self.exact and way.key(x) not in way.trusted:
            answer, complaint = self._tried(way, x, t)
            if answer is not None:
                way.trusted.add(way.key(x))
                return answer.to(x.dtype)
            del self.ways[0]
            warnings.warn(f"the network in {way.name} {complaint}: going on in {self.ways[0].name}", stacklevel=2)
        return way.call(x, t).to(x.dtype)

    def _tried(self, way: Way, x: Tensor, t: Tensor) -> tuple[Tensor | None, str]:
        """The answer if it is right, else what is wrong with it."""
        try:
            answer = way.call(x, t)
        except (ValueError, TypeError):
            raise  # what was given does not fit the network, in whatever way it is computed
        except Exception as error:  # whatever a compiler or a kernel raises: the network itself is still there
            return None, f"cannot be run ({str(error).strip().split(chr(10))[0] or type(error).__name__})"
        exact, seen = self.exact.call(x[:LOOKED_AT], t[:LOOKED_AT]).float(), answer[:LOOKED_AT].float()
        off = float((seen - exact).norm() / exact.norm().clamp(min=1e-12))
        if off <= way.tolerance:
            return answer, ""
        told = f"is {off:.1%} off float32" if math.isfinite(off) else "gives numbers that are not finite"
        return None, f"{told}, where {way.tolerance:.2%} is allowed"


def autocast(net: nn.Module, precision: str) -> Restorer:
    """The network with its products in bf16, or as it is."""

    def call(x: Tensor, t: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
            answer: Tensor = net(x, t)
        return answer

    return call


def compiled(net: nn.Module, precision: str) -> Restorer:
    """The network through torch.compile; on a CPU its weights are folded in, and laid out for the kernels, once."""
    found: list[Restorer] = []

    def call(x: Tensor, t: Tensor) -> Tensor:
        if not found:
            own, rest = copy.deepcopy(net).eval().requires_grad_(False), precision
            if precision == "bf16" and isinstance(own, UNet):
                own, rest = own.to_bfloat16(), "fp32"  # nothing is left to cast at each call
            options: dict[str, Any] | None = {"freezing": True} if x.device.type == "cpu" else None
            found.append(torch.compile(autocast(own, rest), options=options))
        return found[0](x, t)

    return call


class CompiledModel(nn.Module):
    """A network under training through torch.compile, for as long as it learns the same.

    Args:
        net: the network; its parameters are shared.
        loss_of: `(network, precision) -> loss` of one batch, by which it is checked.
        precision: of the training.
    """

    def __init__(self, net: nn.Module, loss_of: LossOf, precision: str) -> None:
        super().__init__()
        self.net, self.loss_of, self.precision = net, loss_of, precision
        self.fast: list[Any] = [torch.compile(net)]  # in a list it is no second owner of the parameters
        self.check()

    def forward(self, *given: Tensor) -> Tensor:
        answer: Tensor = (self.fast[0] if self.fast else self.net)(*given)
        return answer

    def check(self) -> None:
        """Go on without compiling, with a warning, where loss and gradient are not those of eager float32.

        To be called again when something was learned: the answer of a fresh network is x whatever a compiler does.
        """
        if self.fast and (complaint := wrong_slope(self.fast[0], self.net, self.loss_of, self.precision)):
            warnings.warn(f"the compiled network {complaint}: training goes on without compiling", stacklevel=3)
            self.fast.clear()


def wrong_slope(candidate: nn.Module, net: nn.Module, loss_of: LossOf, precision: str) -> str:
    """What is wrong with the loss of a compiled network or with its gradient; nothing if both are as they should be."""
    weights = [p for p in net.parameters() if p.requires_grad]

    def measured(asked: nn.Module, precision: str) -> tuple[float, float]:
        loss = loss_of(asked, precision)
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        return float(loss.detach()), float(torch.stack([g.float().norm() for g in found if g is not None]).norm())

    try:
        got = measured(candidate, precision)
    except Exception as error:  # whatever a compiler raises
        return f"cannot be run ({str(error).strip().split(chr(10))[0] or type(error).__name__})"
    for name, mine, exact in zip(("loss", "gradient"), got, measured(net, "fp32"), strict=True):
        allowed = TOLERANCE[precision] * (1 if name == "loss" else 5)
        if not abs(mine - exact) <= allowed * abs(exact) + 1e-12:
            return f"has a {name} of {mine:.4g}, {exact:.4g} in eager float32"
    return ""
