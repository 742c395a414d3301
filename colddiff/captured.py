"""A sampler whose whole step is recorded once on a GPU and replayed for every time: one launch in place of hundreds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .degradations.base import BoundDegradation, Images
from .samplers import Generators, Restorer, Sampler, State, one_shot

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
WARM_UP = 3  # calls before the recording, which let libraries pick their kernels and `FastRestorer` look at an answer


def captured(sampler: Sampler, record: Callable[[Step, Tensor, Tensor], Step] | None = None) -> Sampler:
    """The same walk, its step (restorer, degradations, update) replayed as one CUDA graph.

    A step is the sampler itself on a grid of two times, which are inputs of the graph like the image: one recording
    serves the whole walk. A single call of the restorer, samplers that draw noise at each step, and images elsewhere
    than on a CUDA device are walked as ever.

    Args:
        sampler: any sampler.
        record: what makes a step out of a function and its first inputs; a CUDA graph if left out.
    """

    @torch.no_grad()
    def replayed(
        R: Restorer, D: BoundDegradation, x: Images, times: Tensor, *, generator: Generators = None
    ) -> Iterator[State]:
        if sampler is one_shot or getattr(sampler, "noisy", False) or not (x.is_cuda or record):
            yield from sampler(R, D, x, times, generator=generator)
            return

        def step(x: Tensor, pair: Tensor) -> tuple[Tensor, Tensor]:
            (state,) = sampler(R, D, x, pair)
            return state.x, state.x0

        # A single column of times stays one: its tables are then read once for the batch.
        grid = times.to(x.device, non_blocking=True).reshape(len(times), -1)
        replay = (record or Recorded)(step, x, grid[:2])
        for k in range(len(grid) - 1):
            x, x0 = replay(x, grid[k : k + 2])
            yield State(x, x0, grid[k + 1].expand(len(x)))

    return replayed


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
