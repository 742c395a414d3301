"""How answers of the library look on the page: pictures, and errors as words."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from ...utils.text import escape_control

# Two computations at once on the whole page; others wait, and none is turned away.
COMPUTING: dict[str, Any] = {"concurrency_id": "computing", "concurrency_limit": 2}
USER_ERRORS = (ValueError, TypeError, LookupError, OSError, ImportError, RuntimeError, OverflowError, MemoryError)


def picture_out(value: str | None, title: str, name: str, *, pixels: bool = False, **options: Any) -> gr.Image:
    """A picture that is shown, its title above it; to be laid out by `render`.

    Args:
        value: its path, or None.
        title: of it.
        name: in the page.
        pixels: whether it is enlarged pixel by pixel; what has words in it had better be smooth.
        options: see `gradio.Image`.
    """
    return gr.Image(value, label=title, interactive=False, elem_id=name, alt_text=title,
                    elem_classes="shown pixels" if pixels else "shown",
                    buttons=["download", "fullscreen"], render=False, **options)  # fmt: skip


def picture_in(value: str | None, title: str, name: str, **options: Any) -> gr.Image:
    """A place for a picture of the user's, which is the path of a file: `uploads.read` reads it, and nothing before."""
    place = gr.Image(value, label=title, type="filepath", sources=["upload", "clipboard"], elem_id=name, buttons=[],
                     **options)  # fmt: skip
    place.preprocess = lambda given: None if given is None else given.path  # type: ignore[method-assign, assignment]
    return place


def told(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, or generator function, whose errors are one line on the page and no trace in the log."""
    if inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def streamed(*given: Any) -> Iterator[Any]:
            try:
                yield from fn(*given)
            except USER_ERRORS as error:
                raise _shown(error) from None

        return streamed

    @functools.wraps(fn)
    def answered(*given: Any) -> Any:
        try:
            return fn(*given)
        except USER_ERRORS as error:
            raise _shown(error) from None

    return answered


def _shown(error: BaseException) -> gr.Error:
    text = error.args[0] if isinstance(error, LookupError) and error.args else error
    return gr.Error(escape_control(" ".join(str(text).split())) or type(error).__name__, print_exception=False)
