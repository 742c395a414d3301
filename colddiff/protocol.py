"""How images were measured, in words that stand below the table."""

from __future__ import annotations

from typing import Any

from . import metrics
from .data.dataset import ImageData
from .models.run import Run


def protocol_of(run: Run, data: ImageData, n: int, eight_bit: bool, chain: bool, seed: int) -> dict[str, Any]:
    """Data, sizes, rounding, averages, params, network and seed; see `report.evaluate`."""
    return data.protocol | {
        "images": n,
        "input": ("rounded to 8-bit levels, not clipped" if eight_bit else "float32")
        + (", by the steps of the chain" if chain else ""),
        "output": "clipped to [0, 1], not rounded",
        "averaging": "global: one root mean square over all values; mean: per image, 95% normal interval",
        "ssim": f"Gaussian, sigma 1.5, {metrics.ssim_window(min(data.images.shape[2:]))} taps, borders left out",
        "params": _params(run),
        "network": run.R.used,
        "weights": f"averaged, step {run.config['step']}",
        "seed": seed,
    }


def _params(run: Run) -> str:
    degradation = run.degradation
    if run.condition is not None:
        return f"the restorer sees the picture, damaged by {run.condition.registered_name}, and starts from noise"
    if degradation.deterministic:
        return "none: the degradation is deterministic"
    if degradation.observable:
        return "read off the damaged picture; oracle rows use the true ones"
    if degradation.estimable:
        return "estimated from the first restorer call; oracle rows use the true ones"
    return "unknown: drawn anew for naive, improved is left out; oracle rows use the true ones"
