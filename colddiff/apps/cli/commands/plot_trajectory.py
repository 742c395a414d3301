"""A sampler's trajectory, as a sheet or an animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser

from ..command import SWITCH, device_and_seed, image_size, trust

if TYPE_CHECKING:
    from torch import Tensor

    from ....models.run import Run
    from ....samplers.base import State


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote, or digits")
    p.add_argument("image", type=str | None, nargs="?", default=None, help="a damaged picture; from the prior if none")
    p.add_argument("--out", type=str, default="trajectory.png", help="sheet; an animation if it ends in .gif")
    p.add_argument("--start", type=float, default=1.0, help="how damaged the picture is, in (0, 1]")
    p.add_argument("--steps", type=int, default=20, help="restorer calls")
    p.add_argument("--sampler", type=str, default=None, help="see `colddiff list`; what suits the run if left out")
    p.add_argument("--degrade", action=SWITCH, default=False, help="the picture is clean: damage it first")
    image_size(p, "side to which the picture is resized and cropped; its own size if left out")
    device_and_seed(p)
    trust(p)


def run(
    run: str, image: str | None, out: str, start: float, steps: int, sampler: str | None, degrade: bool,
    image_size: int | None, device: str, seed: int,
) -> None:  # fmt: skip
    """Write a sampler's walk from a damaged picture, or without one from the prior, as a sheet or an animation."""
    from .... import viz
    from ....models.serialization import load
    from ....samplers.time_grid import time_grid
    from ....utils.rng import generator_for
    from ..image_files import STAYS, check_output, read_image

    check_output(out, image)
    viz.picture_format(out)
    model = load(run, device=device)
    if image is None:
        x, states = _generated(model, steps, sampler, seed)
        start = 1.0
    else:
        start = float(time_grid(1, start, levels=model.degradation.level_times())[0])
        x = read_image(replace(model.framing, size=image_size, fit="resize"), image).to(model.device)
        if degrade:
            x = model.input_degradation(x, start, model.input_degradation.draw(x, generator_for(seed, "restore", 0)))
        generator = generator_for(seed, "restoring", 0)
        states = [*model.walk(x, start=start, steps=steps, sampler=sampler, generator=generator)]
        if model.condition is not None:  # it began in noise, not in the picture
            x, start, states = states[0].x, float(states[0].t[0]), states[1:]
    if Path(out).suffix.lower() == ".gif":
        viz.save(viz.frames(x, states, start), out, last=STAYS)
    else:
        viz.save(viz.trajectory(x, states, start), out)
    print(f"{len(states)} steps from t = {start:g} to t = 0 in {out}")


def _generated(model: Run, steps: int, sampler: str | None, seed: int) -> tuple[Tensor, Sequence[State]]:
    """Where `Run.sample` begins with a seed, and its walk."""
    import torch

    from ....samplers.generation import initial_state
    from ....samplers.sample import walk
    from ....samplers.unknown_params import default_sampler

    if model.prior is None or model.condition is not None:
        raise ValueError(f"{str(model.path)!r} restores, and does not generate: give a damaged picture")
    own = [torch.Generator().manual_seed(seed)]
    D, x = initial_state(model.degradation, model.prior, model.shape, own, model.device)
    chosen = sampler or default_sampler(model.degradation)
    return x, [*walk(model.R, D, x, steps=steps, sampler=chosen, generator=own)]
