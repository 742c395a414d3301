"""A network as a restorer, in reduced precision and compiled where both were seen to change nothing.

`precision="auto" | "fp32" | "bf16"` and `compile=True` are the same two words in `TrainConfig`, `load` and on the
command line; images and the sampler's state stay float32. Whatever is not eager float32 is compared with it and left
out, with a warning, where it differs:

- `CheckedRestorer` is the R of a run: compiled, in bf16 with weights in bf16, in bf16 by autocast, in float32,
  whichever is the first to be right. The first answer for images of a new size (compiled: a new batch) must be
  finite, and on two images within 2% of the float32 answer (compiled float32: 0.01%). A compiled run keeps a copy of
  its weights, in bf16 if that is its precision, and folds them into the program on a CPU; on a GPU it also replays
  whole steps (below).
- `CompiledModel` is a network under training: loss and gradient of a batch at the beginning, and again after 100
  steps.
- bf16 in training: after 100 steps and at every validation the loss of the averaged network is compared with its loss
  in float32; training goes on in float32 where bf16 raises it by more than 2%.
- The first layer is always float32: a restorer of an ill-posed degradation amplifies what is rounded there.

`cuda_graph.captured(sampler)` is that sampler with its step (restorer, degradations, update) recorded once as a CUDA
graph: a step is the sampler itself on a grid of two times, which are inputs of the graph, so one recording serves
every t. Its first replay is compared with an eager step too. It has only been run with stand-ins for the graph. The
network is described, with what was tried beside it, in `docs/results/unet-study.md`; what everything costs is in
`docs/results/performance.md`.
"""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ..samplers.base import Restorer
from ..utils.numerics import exact_matmul

# Largest error relative to the float32 answer, both as root mean squares, that a faster way may have.
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
SLOPE = 10  # times that of the loss, for gradients: they are sums of what is rounded in every layer
DARK = 0.1  # root mean square from which on errors are relative: a black picture has none to be relative to
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
class ComputePath:
    """One way to compute a network's answer, and the inputs for which it was found to be right, or wrong."""

    name: str
    tolerance: float
    call: Callable[..., Tensor]
    compiled: bool = False
    trusted: dict[tuple[object, ...], bool] = field(default_factory=dict)

    def key(self, x: Tensor, t: Tensor) -> tuple[object, ...]:
        """Eager kernels treat every image alike; a compiler makes another program for every batch, stride and dtype."""
        image = (x.device, x.dtype, *x.shape[1:])
        return (*image, x.shape[0], x.stride(), t.dtype, t.stride()) if self.compiled else image


class CheckedRestorer:
    """R(x, t) of a network: the fastest way first, and the next one, with a warning, where it fails its check.

    The first answer for images of a new size (compiled: for every new batch) is looked at: it must be finite, and for
    its first images within `TOLERANCE` of the network in eager float32. Gradients are off.

    Args:
        net: called (x, t) -> x0_hat, its weights in float32. A compiled way keeps a copy of them as they are at its
            first call.
        precision: "fp32", or "bf16" for its products; images stay float32.
        compile: through torch.compile, which takes up to minutes at the first call.
    """

    def __init__(self, net: nn.Module, precision: str = "fp32", compile: bool = False) -> None:
        self.exact = ComputePath("eager float32", math.inf, autocast(net, "fp32"))
        self.ways = [self.exact]
        if precision == "bf16":
            self.ways.insert(0, ComputePath("eager bf16", TOLERANCE["bf16"], autocast(net, "bf16")))
        if precision == "bf16" and hasattr(net, "to_bfloat16") and not net.training:
            self.ways.insert(0, ComputePath("bf16 weights", TOLERANCE["bf16"], in_bfloat16(net)))
        if compile:
            self.ways.insert(
                0, ComputePath(f"compiled {precision}", TOLERANCE[precision], compiled(net, precision), True)
            )
        self.used = self.ways[0].name  # for the images that were seen last

    def bind(self, condition: Tensor) -> Restorer:
        """R(x, t) with a condition (B, C, H, W), see `UNet.bind`."""
        return lambda x, t: self(x, t, condition)

    @torch.no_grad()
    def __call__(self, x: Tensor, t: Tensor, *condition: Tensor) -> Tensor:
        for way, following in zip(self.ways, [*self.ways[1:], None], strict=True):
            key, self.used = way.key(x, t), way.name
            if following is None or way.trusted.get(key):
                break
            if key not in way.trusted:
                answer, complaint = self._tried(way, x, t, *condition)
                way.trusted[key] = answer is not None
                if answer is not None:
                    return answer.to(x.dtype)
                size = f"images {tuple(x.shape)}"
                warnings.warn(f"the network in {way.name} {complaint}: {size} go on in {following.name}", stacklevel=2)
        return way.call(x, t, *condition).to(x.dtype)

    def _tried(self, way: ComputePath, *given: Tensor) -> tuple[Tensor | None, str]:
        """The answer if it is right, else what is wrong with it."""
        try:
            answer = way.call(*given)
        except torch.OutOfMemoryError:
            raise  # float32 would need more
        except Exception as error:  # whatever a compiler or a kernel raises
            self.exact.call(*given)  # raises too if what was given does not fit the network in any way
            return None, f"cannot be run ({_line(error)})"
        with exact_matmul():
            exact = self.exact.call(*(part[:LOOKED_AT] for part in given)).float()
        scale = exact.square().mean().sqrt().clamp(min=DARK)
        off = float((answer[:LOOKED_AT].float() - exact).square().mean().sqrt() / scale)
        if not bool(answer.isfinite().all()):
            return None, "gives numbers that are not finite"
        return (answer, "") if off <= way.tolerance else (None, f"is {off:.1%} off float32")


def autocast(net: nn.Module, precision: str) -> Callable[..., Tensor]:
    """The network with its products in bf16, or as it is."""

    def call(x: Tensor, *given: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
            answer: Tensor = net(x, *given)
        return answer

    return call


def in_bfloat16(net: nn.Module) -> Callable[..., Tensor]:
    """A copy of the network in bf16, made anew whenever its weights were written to: nothing is cast at each call."""
    copies: dict[tuple[tuple[int, int], ...], nn.Module] = {}

    def call(*given: Tensor) -> Tensor:
        written = tuple((p.data_ptr(), p._version) for p in net.parameters())  # moved to a device, they are others
        if written not in copies:
            copies.clear()
            own: Any = copy.deepcopy(net).eval().requires_grad_(False)
            copies[written] = own.to_bfloat16()
        answer: Tensor = copies[written](*given)
        return answer

    return call


def compiled(net: nn.Module, precision: str) -> Callable[..., Tensor]:
    """The network through torch.compile; on a CPU its weights are folded in, and laid out for the kernels, once."""
    from torch._inductor import config as inductor  # heavy, and not for all who import the library

    found: list[Callable[..., Tensor]] = []

    def call(x: Tensor, *given: Tensor) -> Tensor:
        if not found:
            own: Any = copy.deepcopy(net).eval().requires_grad_(False)
            rest = precision
            if precision == "bf16" and hasattr(own, "to_bfloat16"):
                own, rest = own.to_bfloat16(), "fp32"
            # One program for each size: those for any size fail with folded weights.
            found.append(torch.compile(autocast(own, rest), dynamic=False))
        # Read while tracing, wherever that happens: no option of torch.compile.
        with inductor.patch(freezing=True) if x.device.type == "cpu" else contextlib.nullcontext():
            return found[0](x, *given)

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
        self.net, self.loss_of = net, loss_of
        self.fast: list[Any] = [torch.compile(net)]  # in a list it is no second owner of the parameters
        self.check(precision)

    def forward(self, *given: Tensor) -> Tensor:
        answer: Tensor = (self.fast[0] if self.fast else self.net)(*given)
        return answer

    def check(self, precision: str) -> None:
        """Go on without compiling, with a warning, where loss and gradient are not those of eager float32.

        To be called again when something was learned: the answer of a fresh network is x whatever a compiler does.
        """
        self.precision = precision
        if self.fast and (complaint := wrong_slope(self.fast[0], self.net, self.loss_of, precision)):
            warnings.warn(f"the compiled network {complaint}: training goes on without compiling", stacklevel=3)
            self.fast.clear()


def wrong_slope(candidate: nn.Module, net: nn.Module, loss_of: LossOf, precision: str) -> str:
    """What is wrong with the loss of a compiled network or with its gradient; nothing if both are as they should be.

    Where dropout would differ, or running means would move, it is checked in evaluation mode.
    """
    weights = [p for p in net.parameters() if p.requires_grad]
    training = net.training
    restless = any(isinstance(m, _BatchNorm) or (isinstance(m, _DropoutNd) and m.p > 0) for m in net.modules())

    def measured(asked: nn.Module, precision: str) -> tuple[float, list[Tensor]]:
        loss = loss_of(asked, precision)
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        return float(loss.detach()), [g.float() for g in found if g is not None]

    net.train(training and not restless)
    try:
        with exact_matmul():
            loss, slope = measured(net, "fp32")
        try:
            got, found = measured(candidate, precision)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a compiler raises
            return f"cannot be run ({_line(error)})"
    finally:
        net.train(training)
    steepness = max(math.hypot(*(float(g.norm()) for g in slope)), 1e-12)
    off = math.hypot(*(float((f - g).norm()) for f, g in zip(found, slope, strict=True)))
    if not abs(got - loss) <= TOLERANCE[precision] * abs(loss) + 1e-12:
        return f"has a loss of {got:.4g}, {loss:.4g} in eager float32"
    if not off <= SLOPE * TOLERANCE[precision] * steepness:
        return f"has a gradient that is {off / steepness:.1%} off that in eager float32"
    return ""


def _line(error: Exception) -> str:
    """What went wrong in a line, and the cure where a killed compilation left half a file behind."""
    cure = "; delete the folder, the cache of torch.compile" if "file too short" in str(error) else ""
    return (str(error).strip().split("\n")[0] or type(error).__name__) + cure
