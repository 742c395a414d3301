"""Plots show the numbers that they are of: frequencies, schedules, methods."""

import hashlib
import io
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import torch

from colddiff import (
    Bridge,
    Cosine,
    CosineBetas,
    GaussianBlur,
    GaussianNoise,
    IteratedBlur,
    Linear,
    MotionBlur,
    Pixelate,
    Power,
    viz,
)
from colddiff.utils.files import write_whole
from colddiff.utils.statistics import Row, Spread
from colddiff.viz.frequency_plots import gains
from colddiff.viz.style import COLOURS, LOOKS, MARKERS, look

BORDERS = ("reflect", "symmetric", "circular")


@pytest.fixture
def plots():
    """What needs matplotlib."""
    pytest.importorskip("matplotlib")


# --- frequencies: the numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("border", BORDERS)
def test_the_exact_gain_of_a_blur_is_its_closed_form(border):
    found = gains(GaussianBlur(sigma_max=4.0, border=border), times=(0.25, 1.0))
    f = found.frequency
    assert found.correlation is None and 0 < float(f[0]) < 0.01 and float(f[-1]) == pytest.approx(0.5, abs=0.005)
    assert bool((f.diff() > -1e-12).all())
    for k, sigma in enumerate((1.0, 4.0)):
        discrete = torch.exp(-(sigma**2) * (1 - torch.cos(2 * math.pi * f)))
        assert torch.allclose(found.gain[k], discrete, rtol=1e-6, atol=1e-12)
        low = f < 0.05
        assert torch.allclose(found.gain[k][low], torch.exp(-2 * (math.pi * sigma * f[low]) ** 2), rtol=0.04)


@pytest.mark.parametrize("t", [0.25, 0.575])
def test_the_exact_gain_of_a_chain_is_what_it_does_to_a_wave(t):
    """At a level, and between two, where it is linear in D."""
    op = IteratedBlur(num_steps=20, kernel_size=5, border="circular", schedule=Power(exponent=0.5))
    x = torch.cos(2 * math.pi * 3 * torch.arange(32.0, dtype=torch.float64) / 32).expand(1, 1, 32, 32)
    found = gains(op, x, times=(t,))
    place = int((found.frequency - 3 / 32).abs().argmin())
    assert float(found.frequency[place]) == pytest.approx(3 / 32)
    assert torch.allclose(op(x, t), x * found.gain[0, place], atol=1e-9)


def test_the_measured_gain_of_a_blur_agrees_with_its_closed_form(images, monkeypatch):
    """White noise, blurred, its rings of frequencies against exp(-2 pi^2 sigma^2 f^2), within 3%."""
    monkeypatch.setattr(GaussianBlur, "has_spectrum", False)
    found = gains(GaussianBlur(sigma_max=1.5, border="circular"), images(8, 1, 64, 64), times=(1.0,))
    low = found.frequency < 0.12
    assert int(low.sum()) >= 4
    expected = torch.exp(-2 * (math.pi * 1.5 * found.frequency) ** 2)
    assert torch.allclose(found.gain[0][low], expected[low], rtol=0.03)
    assert float(found.correlation[0][low].min()) > 0.99, "what is left is where it was"


def test_noise_adds_power_that_has_nothing_to_do_with_the_picture():
    rows = torch.arange(64.0, dtype=torch.float64)
    smooth = torch.sin(rows / 9)[:, None] * torch.sin(rows / 7) * 0.4 + 0.5
    drawn = torch.Generator().manual_seed(0)
    found = gains(GaussianNoise(), smooth.expand(4, 1, 64, 64), times=(0.2,), generator=drawn)
    assert float(found.gain[0, -1]) > 100 and abs(float(found.correlation[0, -1])) < 0.2
    assert float(found.correlation[0, 0]) > 0.95


def test_where_nothing_is_left_nothing_is_correlated(images):
    found = gains(Pixelate(), images(1, 1, 64, 64), times=(0.0, 1.0))
    assert all(torch.allclose(v[0], torch.ones((), dtype=v.dtype)) for v in (found.gain, found.correlation))
    assert float(found.gain[1].max()) < 1e-6 and bool(found.correlation[1].isnan().all())


def test_what_must_be_measured_needs_images():
    with pytest.raises(ValueError, match="what motion_blur does to frequencies is measured: give images"):
        gains(MotionBlur())
    with pytest.raises(ValueError, match="8 pixels a side"):
        gains(MotionBlur(), torch.rand(1, 1, 7, 30))


# --- frequencies and schedules: the plots ----------------------------------------------------------------------------


def test_a_plot_of_frequencies_says_whether_it_was_measured(plots, images):
    exact, measured = viz.frequencies(GaussianBlur()), viz.frequencies(MotionBlur(), images(2, 3, 16, 24))
    assert "exact" in exact.get_suptitle() and len(exact.axes) == 1
    assert "measured on 2 pictures of 24 x 16 pixels" in measured.get_suptitle() and len(measured.axes) == 2
    drawn = gains(GaussianBlur()).gain
    for line, gain in zip(exact.axes[0].get_lines(), drawn, strict=True):
        assert list(line.get_ydata()) == gain.tolist()
    assert all("cycles per pixel" in ax.get_xlabel() for ax in (*exact.axes, *measured.axes))


def test_schedules_are_drawn_as_they_are(plots):
    figure = viz.schedules([Linear(), Cosine(), Power(exponent=3.0), CosineBetas(num_steps=100)])
    severity, left, ratio = figure.axes
    assert [line.get_label() for line in severity.get_lines()] == ["linear", "cosine", "power, exponent 3"]
    t = torch.tensor(severity.get_lines()[0].get_xdata())
    for line, schedule in zip(severity.get_lines(), (Linear(), Cosine(), Power(exponent=3.0)), strict=True):
        assert list(line.get_ydata()) == schedule(t).tolist()
    a = CosineBetas(num_steps=100).alpha_bar(t)
    assert list(left.get_lines()[0].get_ydata()) == a.tolist()
    assert torch.allclose(torch.tensor(ratio.get_lines()[0].get_ydata())[1:], (a / (1 - a)).log()[1:])
    assert all(abs(end) < 20 for end in ratio.get_ylim()), "infinity at t = 0 has no place"


def test_one_schedule_has_one_colour_in_all_panels(plots):
    figure = viz.schedules([Bridge(), Cosine(), CosineBetas()])
    colours = {line.get_color() for ax in figure.axes for line in ax.get_lines() if line.get_label() == "cosine"}
    assert len(figure.axes) == 3 and len(colours) == 1
    with pytest.raises(ValueError, match="at least one schedule"):
        viz.schedules([])


# --- methods ----------------------------------------------------------------------------------------------------------


def test_no_two_methods_look_alike():
    assert len({colour for colour, _ in LOOKS.values()}) >= len(LOOKS) - 2, "the classical ones share a grey"
    assert len({marker for _, marker in LOOKS.values()}) == len(LOOKS)
    assert look("mine") == look("mine") and look("mine")[0] in COLOURS and look("mine")[1] in MARKERS


def compared(**by_method):
    """Rows from {method: {calls: (rmse of each seed, kid of each seed)}}."""
    return [
        Row(method, calls, calls / 1000, {"rmse": Spread(rmse), "kid": Spread(kid)})
        for method, cells in by_method.items()
        for calls, (rmse, kid) in cells.items()
    ]


ROWS = compared(
    degraded={0: ((0.9,), (9.0,))},
    one_shot={1: ((0.1, 0.12), (0.5, 0.6))},
    naive={5: ((0.2, 0.3, 0.25), (0.9, 1.0)), 20: ((0.3, 0.6, 0.3), (1.0, 3.0))},
)


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


def reported(method, start, calls, rmse, **perception):
    value = {"global": rmse, "mean": rmse, "low": rmse - 0.01, "high": rmse + 0.02}
    return {"method": method, "start": start, "calls": calls, "rmse": value, **perception}


REPORT = [
    reported(method, start, calls, start * rmse, fid=7.0, kid={"mean": kid, "std": 0.01})
    for start in (0.5, 1.0)
    for method, calls, rmse, kid in (
        ("degraded", 0, 0.9, 99.0), ("wiener", 0, 0.3, 0.5), ("one_shot", 1, 0.1, 0.2), ("naive", 5, 0.12, 0.11),
        ("naive", 20, 0.3, 0.1), ("naive (oracle)", 20, 0.2, 0.1),
    )
]  # fmt: skip


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


# --- figures ----------------------------------------------------------------------------------------------------------


def drawn(figure, suffix="png"):
    """A hash of what a figure looks like."""
    stream = io.BytesIO()
    figure.savefig(stream, format=suffix)
    return hashlib.sha256(stream.getvalue()).hexdigest()


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
