"""A sampler whose whole step is recorded once on a GPU and replayed for every time: one launch in place of hundreds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..degradations.base import BoundDegradation, Images
from ..utils.rng import Generators
from .base import Restorer, Sampler, State

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
WARM_UP = (
    3  # calls before the recording, which let libraries pick their kernels and `CheckedRestorer` look at an answer
)
WORTH_IT = 8  # steps of a walk from which a recording pays
TOLERANCE = 1e-3  # largest error of the first replay relative to an eager step, as root mean squares


def captured(sampler: Sampler, record: Callable[[Step, Tensor, Tensor], Step] | None = None) -> Sampler:
    """The same walk, its step (restorer, degradations, update) replayed as one CUDA graph.

    A step is the sampler itself on a grid of two times, which are inputs of the graph like the image: one recording
    serves the whole walk. The first replay is compared with an eager step. Walked as ever, eagerly: samplers that are
    not `memoryless`, short walks, images elsewhere than on a CUDA device, and, with a warning, whatever cannot be
    recorded or comes out otherwise.

    Args:
        sampler: any sampler; one of your own says `sampler.memoryless = True` if its step depends on R, D, x and two
            times alone.
        record: what makes a step out of a function and its first inputs; a CUDA graph if left out.
    """

    @torch.no_grad()
    def replayed(
        R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
    ) -> Iterator[State]:
        # A single column of times stays one: its tables are then read once for the batch.
        grid = times.to(x.device, non_blocking=True).reshape(len(times), -1)

        def step(x: Tensor, pair: Tensor) -> tuple[Tensor, Tensor]:
            (state,) = sampler(R, D, x, pair)
            return state.x, state.x0

        suited = getattr(sampler, "memoryless", False) and len(grid) > WORTH_IT and (x.is_cuda or record is not None)
        replay = _recorded(step, x, grid[:2], record or Recorded) if suited else None
        if replay is None:
            yield from sampler(R, D, x, times, generator=generator)
            return
        for k in range(len(grid) - 1):
            x, x0 = replay(x, grid[k : k + 2])
            yield State(x, x0, grid[k + 1].expand(len(x)))

    return replayed


def _recorded(step: Step, x: Tensor, pair: Tensor, record: Callable[[Step, Tensor, Tensor], Step]) -> Step | None:
    """The recording of a step if it does the same, else None with a warning."""
    expected, _ = step(x, pair)
    try:
        replay = record(step, x, pair)
        found, _ = replay(x, pair)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        line = str(error).strip().split("\n")[0]
        warnings.warn(f"the step cannot be recorded ({line}): going on without a CUDA graph", stacklevel=3)
        return None
    off = float((found - expected).norm() / expected.norm().clamp(min=1e-12))
    if off <= TOLERANCE:
        return replay
    warnings.warn(f"the recorded step is {off:.1%} off the step itself: going on without a CUDA graph", stacklevel=3)
    return None


class Recorded:
    """A step on buffers that stay where they are: what goes in is copied there, what comes out is copied away."""

    def __init__(self, step: Step, x: Tensor, pair: Tensor) -> None:
        self.x, self.pair = x.clone(), pair.clone()
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                step(self.x, self.pair)
        torch.cuda.current_stream().wait_stream(beside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.result = step(self.x, self.pair)

    def __call__(self, x: Tensor, pair: Tensor) -> tuple[Tensor, Tensor]:
        self.x.copy_(x)
        self.pair.copy_(pair)
        self.graph.replay()
        after, x0 = self.result
        return after.clone(), x0.clone()
