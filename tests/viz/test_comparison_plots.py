"""Plots that compare methods."""

import math
from itertools import pairwise

import pytest
from support.plots import REPORT, ROWS, compared, reported

from colddiff import viz
from colddiff.viz.style import COLOURS, LOOKS, MARKERS, look


def test_no_two_methods_look_alike():
    assert len({colour for colour, _ in LOOKS.values()}) >= len(LOOKS) - 2, "the classical ones share a grey"
    assert len({marker for _, marker in LOOKS.values()}) == len(LOOKS)
    assert look("mine") == look("mine") and look("mine")[0] in COLOURS and look("mine")[1] in MARKERS


def test_curves_show_means_and_ranges_against_calls_and_time(plots):
    figure = viz.curves("deblur: digits", ROWS, ("rmse", "kid"))
    assert figure.get_suptitle().startswith("deblur: digits; mean and range of 3 seeds")
    titles = [(ax.get_title(loc="left"), ax.get_xlabel()) for ax in figure.axes]
    assert titles == [
        (f"{name} (lower is better)", against)
        for against in ("restorer calls", "milliseconds per image")
        for name in ("RMSE", "KID*")
    ]
    one_shot, naive = figure.axes[0].containers
    assert (one_shot.get_label(), naive.get_label()) == ("one_shot", "naive")
    assert list(naive.lines[0].get_ydata()) == pytest.approx([0.25, 0.4])
    bars = [(low[1], high[1]) for low, high in naive.lines[2][0].get_segments()]
    assert bars == [pytest.approx((0.2, 0.3)), pytest.approx((0.3, 0.6))]
    dashed = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "--"]
    assert [list(line.get_ydata()) for line in dashed] == [pytest.approx([0.11, 0.11])], "one number of calls"


@pytest.mark.parametrize("kid", [(0.5, 0.6), (-0.01, 0.02), (0.0, 0.0), (1e-4, 3e3)])
def test_curves_of_whatever_numbers_are_named_beside_their_ends(kid, plots):
    figure = viz.curves("deblur", compared(**{f"method {k}": {1: ((0.1, 0.1), kid)} for k in range(9)}), ["kid"])
    figure.draw_without_rendering()
    boxes = [super(type(text), text).get_window_extent() for text in figure.axes[0].texts]  # without the line to it
    assert len(boxes) == 9 and all(box.x0 > figure.axes[0].get_window_extent().x1 for box in boxes)
    boxes.sort(key=lambda box: box.y0)
    assert all(a.y1 < b.y1 and a.y0 + 0.6 * a.height < b.y0 for a, b in pairwise(boxes)), "overlap"
    assert boxes[-1].x1 <= figure.bbox.x1 and boxes[0].y0 >= 0, "cut off"


def test_a_tradeoff_has_a_panel_per_start_and_its_intervals_as_bars(plots):
    figure = viz.tradeoff(REPORT)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["from t = 0.5", "from t = 1"]
    ax = figure.axes[1]
    lines = {container.get_label(): container for container in ax.containers}
    assert [*lines] == ["wiener", "one_shot", "naive", "naive (oracle)"], "the degraded pictures are too far away"
    assert lines["naive"].has_xerr and lines["naive"].has_yerr
    across, up = lines["naive"].lines[2]
    assert [[p[0] for p in bar] for bar in across.get_segments()] == [
        pytest.approx([0.11, 0.14]), pytest.approx([0.29, 0.32])
    ]  # fmt: skip
    assert [p[1] for p in up.get_segments()[0]] == pytest.approx([0.11 - 0.0196, 0.11 + 0.0196]), "1.96 standard errors"
    assert sorted(text.get_text() for text in ax.texts) == ["1", "20", "20", "5"], "numbers of calls"
    assert ax.get_ylabel().startswith("KID") and ax.get_xlabel().startswith("RMSE")


def test_numbers_of_calls_that_would_overlap_stand_together(plots):
    near = [reported("improved", 1.0, calls, 0.1 + calls / 1e5, lpips=0.2) for calls in (2, 5, 20)]
    far = [reported("naive", 1.0, 5, 0.9, lpips={"mean": 0.5, "low": 0.4, "high": 0.6})]
    assert sorted(text.get_text() for text in viz.tradeoff(near + far).axes[0].texts) == ["2–20", "5"]


def test_a_method_looks_the_same_in_every_plot(plots):
    for figure, axes in ((viz.curves("a", ROWS, ["rmse"]), 2), (viz.tradeoff(REPORT), 2)):
        assert len(figure.axes) == axes
        for ax in figure.axes:
            for container in ax.containers:
                line = container.lines[0]
                assert (line.get_color(), line.get_marker()) == look(container.get_label().removesuffix(" (oracle)"))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no rows of a report"),
        ([{}], "no rows of a report"),
        (["naive"], "no rows of a report"),
        ([reported("naive", 1.0, "many", 0.1, kid=1.0)], "no rows of a report"),
        ([reported("naive", 1.0, 5, 0.1, kid={"std": 1.0})], "no rows of a report"),
        ([reported("naive", 1.0, 5, math.nan, kid=1.0)], "no rows of a report"),
        ([reported("degraded", 1.0, 0, 0.1, kid=1.0)], "no rows of a report"),
        ([reported("naive", 1.0, 5, 0.1)], "says nothing of how real pictures look"),
    ],
)
def test_what_is_no_report_is_told(rows, told):
    with pytest.raises(ValueError, match=told):
        viz.tradeoff(rows)
