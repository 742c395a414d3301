"""The third tab: new images from a prior, and what lies between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ... import viz
from ...models.run import Run
from ...samplers.generation import initial_state, interpolated_states
from ...samplers.sample import walk
from ...samplers.unknown_params import default_sampler
from .components import COMPUTING, picture_out, told
from .restore_tab import describe, supported
from .uploads import UploadStore

MOST = 64  # images on a sheet
GRID, BETWEEN = "a grid", "from one seed to another"


@dataclass(frozen=True)
class Generating:
    """What the tab computes.

    Args:
        runs: by the names that are shown, those with a prior.
        shelf: where pictures for the browser lie.
    """

    runs: Mapping[str, Run]
    shelf: UploadStore

    def images(
        self, name: str, kind: str, number: float, seed: float, other: float, sampler: str, steps: float
    ) -> Iterator[tuple[str, str]]:
        """The sheet after every call of the restorer, and a line on what it shows."""
        run, n, first = self.runs[name], int(number or 1), int(seed or 0)
        if not 1 <= n <= MOST:
            raise ValueError(f"expected 1 to {MOST} images, got {n}")
        assert run.prior is not None
        if kind == BETWEEN:
            last = int(other or 0)
            D, x = interpolated_states(run.degradation, run.prior, run.shape, (first, last), n, run.device)
            generators = [torch.Generator().manual_seed(first) for _ in range(n)]
            what = f"{n} images from seed {first} to seed {last}"
        else:
            generators = [torch.Generator().manual_seed(s) for s in range(first, first + n)]
            D, x = initial_state(run.degradation, run.prior, run.shape, generators, run.device)
            what = f"seeds {first} to {first + n - 1}, one image each"
        done: list[Tensor] = []
        for places in torch.arange(n).split(run.chunk):
            params = {key: value[places] for key, value in D.params.items()}
            own = run.degradation.bind(params, like=x[places])
            drawn = [generators[i] for i in places]
            states = walk(run.R, own, x[places], steps=int(steps or 1), sampler=sampler, generator=drawn)
            for call, state in enumerate(states, start=1):
                ended = float(state.t[0]) == 0
                sheet = torch.cat([*done, state.x if ended else state.x0]).clamp(0, 1).cpu()
                calls = f"{call} calls" if ended else f"call {call}: what the restorer makes of it so far"
                yield self.shelf.put(viz.grid(sheet, zoom=max(1, 96 // run.shape[1]))), f"{what}; {calls}"
            done.append(state.x)


def tab(work: Generating) -> None:
    """Lay out the tab, and say what follows what."""
    names = list(work.runs)
    if not names:
        gr.Markdown("None of these runs has a prior to start from: they restore, and do not generate.")
        return
    choices, suited = _samplers(work.runs[names[0]])
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            name = gr.Dropdown(names, value=names[0], label="Run", elem_id="generate-run")
            about = gr.Markdown(describe(work.runs[names[0]]))
            kind = gr.Radio([GRID, BETWEEN], value=GRID, label="What", elem_id="generate-kind")
            number = gr.Slider(1, MOST, value=16, step=1, label="Images", elem_id="generate-number")
            seed = gr.Number(0, precision=0, label="Seed", elem_id="generate-seed")
            other = gr.Number(1, precision=0, label="To seed", visible=False, elem_id="generate-other")
            sampler = gr.Dropdown(choices, value=suited, label="Sampler", elem_id="generate-sampler")
            steps = gr.Slider(1, 100, value=20, step=1, label="Restorer calls", elem_id="generate-steps")
            with gr.Row():
                go = gr.Button("Generate", variant="primary", elem_id="generate-go")
                stop = gr.Button("Stop")
        with gr.Column(scale=2, min_width=480):
            sheet = picture_out(None, "New images", "generated", pixels=True, height=590).render()
            line = gr.Markdown(elem_id="generate-line")
    running = go.click(
        told(work.images), [name, kind, number, seed, other, sampler, steps], [sheet, line], show_progress="minimal",
        api_name="generate", **COMPUTING,
    )  # fmt: skip
    stop.click(None, None, None, cancels=[running])
    kind.change(lambda chosen: gr.update(visible=chosen == BETWEEN), kind, other, show_progress="hidden",
                api_visibility="private")  # fmt: skip

    def other_run(chosen: str) -> tuple[str, Any, None, str]:
        able_ones, suited_one = _samplers(work.runs[chosen])
        return describe(work.runs[chosen]), gr.update(choices=able_ones, value=suited_one), None, ""

    name.change(other_run, name, [about, sampler, sheet, line], show_progress="hidden", api_visibility="private")


def _samplers(run: Run) -> tuple[list[str], str]:
    """Those that can walk from its prior, and the one that suits it."""
    return supported(run, from_prior=True), default_sampler(run.degradation)
