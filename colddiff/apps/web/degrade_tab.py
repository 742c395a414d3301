"""The first tab: any picture, any degradation, any t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import torch
import torch.nn.functional as F
from torch import Tensor

from ... import viz
from ...data.framing import Framing
from ...degradations.base import BoundDegradation, Degradation
from .components import COMPUTING, picture_in, picture_out, told
from .controls import controls, operator, operators, snippet
from .uploads import UploadStore, read

FIRST = "gaussian_blur"
COLUMNS, THUMB = 8, 128  # pictures of the film strip, and their width in pixels
FRAMES = 21  # of the animation


@dataclass(frozen=True)
class Degrading:
    """What the tab computes.

    Args:
        shelf: where pictures for the browser lie.
    """

    shelf: UploadStore

    def at(self, picture: str, other: str, name: str, t: float, seed: float, *values: Any) -> tuple[str, str]:
        """The picture at time t, and the code that makes it."""
        op = operator(name, values)
        D, x = self._bound(op, picture, other, seed)
        return self.shelf.put(viz.to_image(D(x, t)[0])), snippet(op, t, int(seed or 0))

    def all(self, picture: str, other: str, name: str, t: float, seed: float, *values: Any) -> tuple[str, str, str]:
        """The picture at time t, the film strip from 0 to 1, and the code."""
        op = operator(name, values)
        D, x = self._bound(op, picture, other, seed)
        times = [k / (COLUMNS - 1) for k in range(COLUMNS)]
        small = max(1, x.shape[-1] // THUMB)  # so that the times below can be read
        row = F.avg_pool2d(torch.cat([D(x, s) for s in times]), small)
        strip = viz.labelled_rows([("", row)], [f"t = {s:.2f}" for s in times])
        return self.shelf.put(viz.to_image(D(x, t)[0])), self.shelf.put(strip), snippet(op, t, int(seed or 0))

    def animation(self, picture: str, other: str, name: str, seed: float, *values: Any) -> Any:
        """A GIF from t = 0 to t = 1, which shows itself."""
        D, x = self._bound(operator(name, values), picture, other, seed)
        frames = [viz.to_image(D(x, k / (FRAMES - 1))[0]) for k in range(FRAMES)]
        return gr.update(value=self.shelf.put_film(frames), visible=True)

    def _bound(self, op: Degradation, picture: str, other: str, seed: float) -> tuple[BoundDegradation, Tensor]:
        x = read(picture, Framing(colour="rgb"))
        params = op.draw(x, torch.Generator().manual_seed(int(seed or 0)))
        if op.required_params:
            second = F.interpolate(read(other, Framing(colour="rgb")), x.shape[-2:], mode="bilinear")
            params |= dict.fromkeys(op.required_params, second)
        return op.bind(params, like=x), x


def tab(shelf: UploadStore, examples: Sequence[str]) -> None:
    """Lay out the tab, and say what follows what."""
    work = Degrading(shelf)
    first = work.all(examples[0], examples[1], FIRST, 0.5, 0)
    # Made before they are laid out: the fields, which come and go with the operator, refer to them.
    t = gr.Slider(
        0, 1, value=0.5, step=0.01, label="t: 0 is clean, 1 fully degraded", elem_id="degrade-t", render=False
    )
    shown = picture_out(first[0], "D(x, t)", "degraded", pixels=True, height=400)
    strip = picture_out(first[1], "From t = 0 to t = 1", "strip")
    code = gr.Code(first[2], language="python", label="The same in Python", interactive=False, lines=2, render=False)
    animation = picture_out(
        None, "From t = 0 to t = 1, moving", "degrade-animation", pixels=True, height=300, visible=False
    )
    film = gr.Button("Make an animation", render=False)
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            picture = picture_in(examples[0], "Picture", "degrade-picture", height=260)
            gr.Examples([[file] for file in examples], [picture], label="Or one of these", elem_id="degrade-examples")
            name = gr.Dropdown(operators(), value=FIRST, label="Degradation", elem_id="degrade-name")
            about = gr.Markdown(_about(FIRST))
            with gr.Row(visible=False) as second:
                other = picture_in(examples[1], "The other picture, which it becomes", "degrade-other", height=180)
            seed = gr.Number(0, precision=0, label="Seed of what is random", elem_id="degrade-seed")

            @gr.render(inputs=[name])
            def fields(chosen: str) -> None:
                values = [control.component(chosen) for control in controls(chosen)]
                given = [picture, other, t, seed, *values]

                # Of this operator, whatever the dropdown says by the time that somebody's words arrive.
                # Between one picture and the next there is none, which is no mistake: an error would swallow the next.
                def all_of_it(a: str | None, b: str, *rest: Any) -> tuple[Any, Any, Any]:
                    return work.all(a, b, chosen, *rest) if a else (gr.skip(),) * 3

                def at_t(a: str | None, b: str, *rest: Any) -> tuple[Any, Any]:
                    return work.at(a, b, chosen, *rest) if a else (gr.skip(),) * 2

                def moving(a: str, b: str, *rest: Any) -> Any:
                    return work.animation(a, b, chosen, *rest)

                # What is asked for last is what is shown, however fast somebody moves a slider.
                latest: dict[str, Any] = COMPUTING | {
                    "show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private",
                }  # fmt: skip
                changes = [*(component.input for component in values), picture.change, other.change, seed.input]
                gr.on(changes, told(all_of_it), given, [shown, strip, code], **latest)
                gr.on([t.change], told(at_t), given, [shown, code], **latest)
                film.click(told(moving), [picture, other, seed, *values], animation, api_visibility="private",
                           **COMPUTING)  # fmt: skip

        with gr.Column(scale=2, min_width=480):
            for component in (t, shown, strip, code, film, animation):
                component.render()
    name.change(told(work.all), [picture, other, name, t, seed], [shown, strip, code], show_progress="hidden",
                api_name="degrade", **COMPUTING)  # fmt: skip
    name.change(_chosen, name, [about, second], show_progress="hidden", api_visibility="private")


def _chosen(name: str) -> tuple[str, Any]:
    """What an operator is, and whether it asks for another picture."""
    return _about(name), gr.update(visible=bool(operator(name).required_params))


def _about(name: str) -> str:
    cls = type(operator(name))
    return " ".join((cls.__doc__ or "").split("\n\n")[0].split()).replace("*", r"\*").replace("_", r"\_")
