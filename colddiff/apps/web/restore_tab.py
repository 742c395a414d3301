"""The second tab: a picture restored before one's eyes, by one sampler or by several side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ... import viz
from ...data.framing import Framing
from ...data.image_io import rgb
from ...evaluation import metrics
from ...models.run import Run
from ...samplers.algorithms import SAMPLERS
from ...samplers.base import State
from ...samplers.priors import Empirical
from ...samplers.sample import supports
from ...samplers.time_grid import time_grid
from ...utils.rng import generator_for
from ...viz.differences import difference_map
from .components import COMPUTING, picture_in, picture_out, told
from .examples import suited_pictures
from .sampler_race import race_plot
from .uploads import UploadStore, read

CLEAN, DAMAGED = "clean: damage it first", "damaged already"
FRAMED, WHOLE = "as in the training", "its own, up to 512 pixels"
HEADS = ["sampler", "calls", "t", "RMSE", "PSNR (dB)", "SSIM", "seconds"]
MOST_CALLS = 50
BETWEEN_PLOTS = 0.4  # seconds at least
Shown = tuple[Any, ...]


@dataclass
class SamplerRun:
    """One sampler of a race.

    Args:
        name: of the sampler.
        walk: its states, still to come.
        states: those that came.
        answers: RMSE of the restorer's answers, where the clean picture is known.
        seconds: that it took so far.
    """

    name: str
    walk: Iterator[State]
    states: list[State] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def step(self) -> State | None:
        """The next state; None at the end."""
        began = time.perf_counter()
        state = next(self.walk, None)
        self.seconds += time.perf_counter() - began
        if state is not None:
            self.states.append(state)
        return state


@dataclass(frozen=True)
class Restoring:
    """What the tab computes.

    Args:
        runs: by the names that are shown.
        shelf: where pictures for the browser lie.
    """

    runs: Mapping[str, Run]
    shelf: UploadStore

    def race(
        self, name: str, picture: str, hole: str | None, kind: str, size: str, start: float, samplers: Sequence[str],
        steps: float, seed: float,
    ) -> Iterator[Shown]:  # fmt: skip
        """The sheet of all samplers after every call, the table, the curves; the longest walk at the end."""
        run = self.runs[name]
        if not samplers:
            raise ValueError("no sampler is chosen: choose one, or several to race them")
        x, clean, start = self._given(run, picture, kind, size, start, int(seed or 0))
        mask = self._mask(run, hole, size, x)
        lanes = [
            SamplerRun(
                sampler,
                run.walk(x, start=start, steps=int(steps or 1), sampler=sampler, mask=mask,
                         generator=[torch.Generator().manual_seed(int(seed or 0))]),
            )
            for sampler in samplers
        ]  # fmt: skip
        drawn = -BETWEEN_PLOTS
        for moved in zip_longest(*(iter(lane.step, None) for lane in lanes)):
            if clean is not None:
                for lane, state in zip(lanes, moved, strict=True):
                    if state is not None:
                        lane.answers.append(_rmse(state.x0, clean))
            late = time.perf_counter() - drawn > BETWEEN_PLOTS
            drawn = time.perf_counter() if late else drawn
            plot = self._plot(x, clean, lanes) if late else gr.skip()
            yield *self._shown(x, clean, lanes), plot, gr.skip(), gr.skip()
        longest = max(lanes, key=lambda lane: len(lane.states))
        walk = self.shelf.put(viz.trajectory(x, longest.states, start))
        film = self.shelf.put_film(viz.frames(x, longest.states, start))
        yield *self._shown(x, clean, lanes), self._plot(x, clean, lanes), walk, film

    def examples(self, name: str) -> list[str]:
        """Pictures that suit a run: held out from its training if they come with the library."""
        return [self.shelf.put(picture, keep=True) for picture in suited_pictures(self.runs[name])]

    def _given(
        self, run: Run, picture: str, kind: str, size: str, start: float, seed: int
    ) -> tuple[Tensor, Tensor | None, float]:
        """The damaged picture, the clean one if it is known, and the time, on a level."""
        x = read(picture, _framing(run, size))
        start = float(time_grid(1, start, levels=run.degradation.level_times())[0])
        if kind == DAMAGED:
            return x, None, start
        params = run.input_degradation.draw(x, generator_for(seed, "restore", 0))
        return run.input_degradation(x, start, params), x, start

    def _mask(self, run: Run, hole: str | None, size: str, x: Tensor) -> Tensor | None:
        if not hole:
            return None
        mask = read(hole, replace(_framing(run, size), colour="grey")) > 0.5
        if mask.shape[-2:] != x.shape[-2:]:
            raise ValueError(
                f"the mask is {mask.shape[-1]} x {mask.shape[-2]} pixels, the picture {x.shape[-1]} x {x.shape[-2]}: "
                "they must be alike"
            )
        return mask

    def _plot(self, x: Tensor, clean: Tensor | None, lanes: list[SamplerRun]) -> str | None:
        if clean is None:
            return None
        return self.shelf.put(race_plot({lane.name: lane.answers for lane in lanes}, _rmse(x, clean)))

    def _shown(self, x: Tensor, clean: Tensor | None, lanes: list[SamplerRun]) -> tuple[str, str]:
        """The sheet, and the table as Markdown."""
        rows, table = [], []
        for lane in lanes:
            state = lane.states[-1]
            now, answer = state.x.clamp(0, 1).cpu(), state.x0.clamp(0, 1).cpu()
            pictures = [x.clamp(0, 1), now, answer]
            measured: list[str] = ["", "", ""]
            if clean is not None:
                pictures += [difference_map(clean[0], now[0], absolute=True)[None], clean]
                values = (float(fn(now, clean)) for fn in (metrics.rmse, metrics.psnr, metrics.ssim))
                measured = [f"{value:.{digits}f}" for value, digits in zip(values, (4, 2, 3), strict=True)]
            rows.append((lane.name, torch.cat([rgb(p).float() for p in pictures])))
            told_t = f"{float(state.t[0]):.2f}"
            table.append([lane.name, f"{len(lane.states)}", told_t, *measured, f"{lane.seconds:.2f}"])
        heads = ["damaged", "x_t", "x0_hat", "|x_t - clean|", "clean"][: len(rows[0][1])]
        sheet = self.shelf.put(viz.labelled_rows(rows, heads, zoom=max(1, 128 // x.shape[-2])))
        lines = [HEADS, ["---", *["--:"] * (len(HEADS) - 1)], *table]
        return sheet, "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def tab(work: Restoring) -> None:
    """Lay out the tab, and say what follows what."""
    names = list(work.runs)
    examples = {name: work.examples(name) for name in names}
    pictures = examples[names[0]]
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            name = gr.Dropdown(names, value=names[0], label="Run", elem_id="restore-run")
            about = gr.Markdown(describe(work.runs[names[0]]))
            picture = picture_in(pictures[0], "Picture", "restore-picture", height=220, elem_classes="pixels")
            gallery = gr.Gallery(
                pictures, label="Or one of these", columns=3, height=290, allow_preview=False, object_fit="contain",
                elem_id="restore-examples", elem_classes="shown pixels", interactive=False, buttons=[],
            )  # fmt: skip
            kind = gr.Radio([CLEAN, DAMAGED], value=CLEAN, label="The picture is", elem_id="restore-kind")
            start = gr.Slider(0.01, 1, value=1.0, step=0.01, label="t: how damaged it is", elem_id="restore-start")
            samplers = gr.CheckboxGroup(
                supported(work.runs[names[0]]), value=_first(work.runs[names[0]])[0], label="Samplers: several race",
                elem_id="restore-samplers",
            )  # fmt: skip
            steps = gr.Slider(
                1, MOST_CALLS, _first(work.runs[names[0]])[1], step=1, label="Restorer calls", elem_id="restore-steps"
            )
            with gr.Accordion("More", open=False):
                size = gr.Radio([FRAMED, WHOLE], value=FRAMED, label="Its size")
                hole = picture_in(None, "Mask: white where something is missing", "restore-mask", height=160)
                seed = gr.Number(0, precision=0, label="Seed of what is random")
            with gr.Row():
                go = gr.Button("Restore", variant="primary", elem_id="restore-go")
                stop = gr.Button("Stop")
        with gr.Column(scale=2, min_width=480):
            sheet = picture_out(None, "Where the samplers are", "restored").render()
            table = gr.Markdown(elem_id="restore-table")
            curve = picture_out(None, "How they race", "race").render()
            walk = picture_out(None, "The longest walk: x_t above, x0_hat below", "walk").render()
            film = picture_out(None, "The same, moving", "film", height=260).render()
    running = go.click(
        told(work.race), [name, picture, hole, kind, size, start, samplers, steps, seed],
        [sheet, table, curve, walk, film], show_progress="minimal", api_name="restore", **COMPUTING,
    )  # fmt: skip
    stop.click(None, None, None, cancels=[running])
    gallery.select(_picked, gallery, picture, show_progress="hidden", api_visibility="private")

    def other_run(chosen: str) -> tuple[Any, ...]:
        files, run = examples[chosen], work.runs[chosen]
        first, calls = _first(run)
        nothing = (None, "", None, None, None)  # of another run
        return describe(run), files, files[0], gr.update(choices=supported(run), value=first), calls, *nothing

    name.change(told(other_run), name, [about, gallery, picture, samplers, steps, sheet, table, curve, walk, film],
                show_progress="hidden",
                api_visibility="private")  # fmt: skip


def describe(run: Run) -> str:
    """What a run is, in a line of Markdown."""
    channels, height, width = run.shape
    colour = {1: "grey", 3: "colour"}.get(channels, f"{channels}-channel")
    generates = "restores and generates" if run.prior is not None else "restores"
    told_prior = ""
    if isinstance(run.prior, Empirical):
        told_prior = " It generates from training images: what its degradation leaves of them at t = 1 is theirs."
    return f"`{run.degradation.registered_name}`, {colour} images of {height} x {width}: {generates}.{told_prior}"


def _first(run: Run) -> tuple[list[str], int]:
    """What is set to begin with: one call beside what was recommended for the run, or suits it."""
    setting = run.default_settings()
    return list(dict.fromkeys(["one_shot", setting.sampler])), min(setting.steps, MOST_CALLS)


def supported(run: Run, *, from_prior: bool = False) -> list[str]:
    """The samplers that can walk a run, from a damaged picture or from its prior."""
    return [name for name in SAMPLERS if supports(name, run.degradation, from_prior or run.condition is not None)]


def _picked(files: list[tuple[str, str | None]], event: gr.SelectData) -> str:
    return files[event.index][0]


def _framing(run: Run, size: str) -> Framing:
    framing = replace(run.framing, fit="resize")
    _, height, width = run.shape
    return replace(framing, size=None) if size == WHOLE else replace(framing, size=min(height, width))


def _rmse(x: Tensor, clean: Tensor) -> float:
    return float(metrics.rmse(x.clamp(0, 1).cpu(), clean))
