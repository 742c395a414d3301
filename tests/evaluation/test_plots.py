"""The plot shows what was measured: a line per sampler with its intervals, what stands beside it, and a ring."""

import math

import pytest
import torch
from support import tiny

from colddiff import viz
from colddiff.data import load_data
from colddiff.degradations import PixelMask
from colddiff.evaluation import plots
from colddiff.evaluation.report import evaluate, report_files
from colddiff.models.recommended import Recommended, Setting

DATA = load_data("digits", split="test")


def row(method, calls, rmse, kid=None, start=0.5, arm=0.01):
    told = {"method": method, "start": start, "calls": calls, "steps": calls, "oracle": "oracle" in method}
    told["rmse"] = {"global": 9.0, "mean": rmse, "low": rmse - arm, "high": rmse + arm}
    return told | ({} if kid is None else {"kid": {"mean": kid, "std": 0.05}, "fid": 9.0})


ROWS = [
    row("degraded", 0, 0.4, 9.0),
    row("wiener", 0, 0.25, 1.0),
    row("one_shot", 1, 0.2, 0.8),
    *(row("naive", calls, 0.2 + calls / 100, 0.7) for calls in (2, 5, 20)),
    *(row("improved", calls, 0.19, 0.8 - calls / 50) for calls in (2, 5, 20)),
    row("improved (oracle)", 20, 0.01, 0.01),
]
RECOMMENDED = Recommended(
    {"distortion": (Setting(0.5, "improved", 2),), "perception": (Setting(0.5, "improved", 20),)}, "digits"
)


@pytest.fixture(autouse=True)
def matplotlib():
    return pytest.importorskip("matplotlib")


def panels(rows, recommended=None):
    return plots.plot(rows, recommended).axes


def lines(ax):
    """The samplers' lines by name: their points, and the ends of their bars."""
    found = {}
    for container in ax.containers:
        line, _, (bars,) = container.lines
        found[container.get_label()] = line.get_ydata(), [segment[:, 1] for segment in bars.get_segments()]
    return found


def ring(ax):
    (found,) = [line for line in ax.lines if line.get_gid() == "recommended"]
    return float(found.get_xdata()[0]), float(found.get_ydata()[0])


def test_there_is_a_line_for_every_sampler_with_its_intervals():
    distortion, perception = panels(ROWS)
    assert lines(distortion).keys() == lines(perception).keys() == {"one_shot", "naive", "improved"}
    points, bars = lines(distortion)["naive"]
    assert points == pytest.approx([0.22, 0.25, 0.4])
    assert [list(bar) for bar in bars] == [pytest.approx([p - 0.01, p + 0.01]) for p in points]
    points, bars = lines(perception)["improved"]
    assert points == pytest.approx([0.76, 0.7, 0.4])
    assert [list(bar) for bar in bars] == [pytest.approx([p - 1.96 * 0.05, p + 1.96 * 0.05]) for p in points]


def test_points_stand_at_their_calls_on_a_logarithmic_axis():
    ax = panels(ROWS)[0]
    assert ax.get_xscale() == "log" and [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "5", "20"]
    for container in ax.containers:
        calls = {"one_shot": [1]}.get(container.get_label(), [2, 5, 20])
        assert container.lines[0].get_xdata() == pytest.approx(calls, rel=0.1)


def test_what_calls_no_network_is_a_dashed_line_or_is_told_above():
    distortion, perception = panels(ROWS)
    for ax, damaged, wiener in ((distortion, 0.4, 0.25), (perception, 9.0, 1.0)):
        found = {line.get_label(): line for line in ax.lines if line.get_linestyle() == "--"}
        assert [set(found[name].get_ydata()) for name in ("damaged", "wiener")] == [{damaged}, {wiener}]
    assert distortion.get_title(loc="right") == "" and perception.get_title(loc="right") == "damaged 9 ↑"
    assert perception.get_ylim()[1] < 3 < 9


def test_the_ring_is_around_what_is_recommended():
    distortion, perception = panels(ROWS, RECOMMENDED)
    assert ring(distortion) == (pytest.approx(2, rel=0.1), pytest.approx(0.19))
    assert ring(perception) == (pytest.approx(20, rel=0.1), pytest.approx(0.4))
    assert not [line for ax in panels(ROWS) for line in ax.lines if line.get_gid() == "recommended"]


def test_starts_are_columns_and_measures_are_rows():
    rows = [other | {"start": start} for start in (0.25, 0.5, 1.0) for other in ROWS]
    axes = panels(rows)
    assert [ax.get_title(loc="left") for ax in axes] == ["from t = 0.25", "from t = 0.50", "from t = 1.00", "", "", ""]
    assert [ax.get_ylabel() for ax in axes] == ["RMSE (distortion)", "", "", "KID (perception)", "", ""]
    plain = [{name: value for name, value in other.items() if name not in ("kid", "fid")} for other in rows]
    assert len(panels(plain)) == 3


def test_what_bars_are_is_said():
    title = " ".join(plots.plot(ROWS).get_suptitle().split())
    assert "Is iterating worth it?" in title and "(of KID: 1.96 jackknife standard errors)" in title
    lpips = [{**row(m, c, 0.2), "lpips": {"mean": 0.1, "low": 0.0, "high": 0.2}} for m, c in (("naive", 2), ("x", 0))]
    drawn = plots.plot(lpips)
    assert "KID" not in drawn.get_suptitle() and drawn.axes[1].get_ylabel() == "LPIPS (perception)"


def test_numbers_that_are_not_above_zero_are_drawn_too(tmp_path):
    rows = [row("degraded", 0, 0.0, 0.0), row("one_shot", 1, 0.0, -0.1, arm=0.0), row("naive", 2, 0.0, 0.0, arm=0.0)]
    viz.save(plots.plot(rows), tmp_path / "worth.png")
    assert all(math.isfinite(end) for ax in panels(rows) for end in ax.get_ylim())


def test_a_report_draws_what_it_says(tmp_path):
    torch.manual_seed(0)
    run = tiny.run_of(tiny.NET.build(), PixelMask())
    report = evaluate(run, DATA, start_times=(0.5, 1.0), steps=(2, 4), num_images=12, progress=False)
    assert report.save(tmp_path) == report_files(tmp_path) and (tmp_path / plots.FILE).read_bytes()[:4] == b"\x89PNG"
    for ax in plots.plot(report.rows, report.recommended).axes:
        assert lines(ax).keys() == {"one_shot", "naive", "improved"} and ring(ax)
