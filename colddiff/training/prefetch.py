"""Batches at one position after another, read ahead where reading takes time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from .batches import Batch, Batches


class PrefetchLoader:
    """The batches at given positions.

    Threads, as Pillow lets go of the interpreter while it decodes: they cost no memory of their own, cannot be left
    behind, and a batch is a function of its position, whoever reads it.

    Args:
        batches: by position.
        positions: where they start.
        device: where they go.
        workers: threads that read ahead, two batches each; 0 reads when asked, which is best for images in memory.
        waited: seconds in which steps had to wait for their images before; counted on.
    """

    def __init__(
        self, batches: Batches, positions: Iterator[int], device: torch.device, workers: int = 0, waited: float = 0.0
    ) -> None:
        self._batches, self._positions, self._device = batches, positions, device
        self._pool = ThreadPoolExecutor(workers, "reading") if workers else None
        self._ahead: deque[tuple[int, Future[Tensor]]] = deque()
        self._depth = 2 * workers
        self.waited = waited

    def __next__(self) -> Batch:
        if self._pool is None:
            return self._batches.at(next(self._positions), self._device)
        while len(self._ahead) < self._depth:
            position = next(self._positions)
            self._ahead.append((position, self._pool.submit(self._batches.read, position)))
        position, reading = self._ahead.popleft()
        began = time.perf_counter()
        images = reading.result()
        self.waited += time.perf_counter() - began
        return self._batches.at(position, self._device, images)

    def close(self) -> None:
        """Read no further."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
