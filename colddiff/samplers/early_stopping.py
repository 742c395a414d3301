"""A restorer that is not asked again once what it answers has come to rest."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Restorer

HALF_A_LEVEL = 1 / 510  # of 8 bits


class EarlyStopping:
    """R, until further steps of a walk would change nothing that can be seen; from then on its last answer.

    An answer that changes by d in a stretch of time changes, at that pace, by d times what is left over that stretch
    until t = 0. Where this is below `within` in every pixel of an image, the image has settled: the sampler goes on
    with D alone.

    `calls` counts how often R was asked, `spared` how often nothing of it was needed.

    Args:
        R: any callable `(x, t) -> x0_hat`; asked for the images of one walk, in order.
        within: in [0, 1], of a pixel.
    """

    def __init__(self, R: Restorer, within: float = HALF_A_LEVEL) -> None:
        self.R, self.within, self.calls, self.spared = R, within, 0, 0
        self._last: tuple[Tensor, Tensor] | None = None
        self._resting: Tensor | None = None

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        if self._last is None or self._resting is None:
            answer, resting = self.R(x, t), torch.zeros(len(x), dtype=torch.bool, device=x.device)
            self.calls += 1
        else:
            before, earlier = self._last
            asked = ~self._resting
            if not bool(asked.any()):
                self.spared += 1
                return before
            self.calls += 1
            answer = before.clone()
            answer[asked] = self.R(x[asked], t[asked])
            passed = earlier - t
            pace = (answer - before).abs().flatten(1).amax(dim=1) / passed.clamp(min=1e-12)
            resting = self._resting | ((passed > 0) & (pace * t < self.within))
        self._last, self._resting = (answer, t), resting
        return answer
