"""Figures: drawn without state, written whole, and in the format of their name."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.plots import REPORT, ROWS, drawn

from colddiff import GaussianBlur, Linear, viz
from colddiff.utils.files import write_whole


def test_plots_have_no_state_and_may_be_drawn_in_threads(plots, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # whose import fails
    alone = drawn(viz.schedules([Linear()])), drawn(viz.frequencies(GaussianBlur()))
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            first = pool.submit(lambda: drawn(viz.schedules([Linear()])))
            second = pool.submit(lambda: drawn(viz.frequencies(GaussianBlur())))
            assert (first.result(), second.result()) == alone


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".PDF", b"%PDF"), (".svg", b"<?xml")])
def test_a_plot_is_written_in_the_format_of_its_name(suffix, start, tmp_path, plots):
    path = viz.save(viz.schedules([Linear()]), tmp_path / "deep" / f"a{suffix}")
    assert path.read_bytes().startswith(start) and [p.name for p in path.parent.iterdir()] == [path.name]
    with pytest.raises(ValueError, match=r"cannot write 'a.txt' as a plot: name it .png, .svg or .pdf"):
        viz.save(viz.schedules([Linear()]), tmp_path / "a.txt")


def test_a_plot_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, plots):
    def full(part):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    old = tmp_path / "a.png"
    old.write_bytes(b"old")
    monkeypatch.setattr(viz.sheets, "write_whole", lambda path, write: write_whole(path, full))
    with pytest.raises(OSError, match="No space left"):
        viz.save(viz.schedules([Linear()]), old)
    assert old.read_bytes() == b"old" and [*tmp_path.iterdir()] == [old]


def test_without_matplotlib_a_line_says_how_to_get_it(monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    for draw in (
        lambda: viz.schedules([Linear()]),
        lambda: viz.frequencies(GaussianBlur()),
        lambda: viz.tradeoff(REPORT),
        lambda: viz.curves("a", ROWS, ["rmse"]),
    ):
        with pytest.raises(ModuleNotFoundError, match=r'^plots need matplotlib: pip install "colddiff\[plots\]"$'):
            draw()
