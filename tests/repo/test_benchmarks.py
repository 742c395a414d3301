"""What the benchmarks claim to measure is what they measure; no peer is needed to see that."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.lib import interleaved as harness
from benchmarks.lib.interleaved import QUICK, Effort, Spread, Table, paired
from benchmarks.lib.tables import from_json, markdown, rewrite, to_json
from benchmarks.speed.blurs import chain_kernels, dct, dct_blur, effective_sigma, idct, iterated
from benchmarks.speed.cases import SETTINGS, bound, random_levels
from benchmarks.speed.flops import Layer, count
from benchmarks.speed.levers import valid
from benchmarks.speed.peers import ours, size
from benchmarks.studies.time_to_rmse import share
from colddiff import GaussianBlur

THREE = Effort(rounds=3, least=3, limit_s=0.0, slot_s=0.0)


class Clock:
    """Time that passes by sleeping only, and other programs that are busy meanwhile."""

    def __init__(self) -> None:
        self.now = self.busy = 0.0

    def sleep(self, seconds: float, foreign: float = 0.0) -> None:
        self.now += seconds
        self.busy += foreign

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(harness, "time", clock)
    monkeypatch.setattr(harness, "busy_s", lambda: clock.busy)
    return clock


def test_the_ratio_of_two_sleeps_is_that_of_their_times(clock: Clock) -> None:
    calls = {"short": lambda: clock.sleep(0.005), "long": lambda: clock.sleep(0.02)}
    short, long = paired("sleeps", calls, base="short", effort=THREE).rows
    assert long["ratio"].median == pytest.approx(4)
    assert short["ratio"] == Spread(1.0, 1.0, 1.0)
    assert short["ms"].median == pytest.approx(5)


def test_ratios_are_of_the_same_round(clock: Clock) -> None:
    """The machine halves its speed from round to round, and the ratio stays."""
    naps = iter([1.0] * 4 + [1.0, 3.0, 2.0, 6.0, 4.0, 12.0])
    calls = {name: lambda: clock.sleep(next(naps)) for name in "AB"}
    _, row = paired("slower", calls, base="A", effort=THREE).rows
    assert row["ms"] == Spread(6000, pytest.approx(3600), pytest.approx(10800))
    assert row["ratio"] == Spread(3, 3, 3)


def test_contenders_take_turns() -> None:
    seen: list[str] = []
    paired("turns", {name: lambda name=name: seen.append(name) for name in "AB"}, base="A", effort=THREE)
    assert "".join(seen[-6:]) == "ABABAB"


def test_a_disturbed_round_is_counted_and_left_out(clock: Clock) -> None:
    naps = iter([(1.0, 0.0)] * 2 + [(1.0, 0.0), (5.0, 0.9), (1.0, 0.05), (5.0, 0.9), (1.0, 0.0), (1.0, 0.0)])
    effort = Effort(rounds=4, least=3, limit_s=60.0, slot_s=0.0)
    table = paired("disturbed", {"nap": lambda: clock.sleep(*next(naps))}, base="nap", effort=effort)
    assert table.clean == (4, 6)
    assert table.rows[0]["ms"] == Spread(1000, 1000, 1000)


def test_where_all_rounds_are_disturbed_they_are_shown_as_such(clock: Clock) -> None:
    table = paired("loud", {"nap": lambda: clock.sleep(1.0, 1.0)}, base="nap", effort=THREE)
    assert table.clean == (0, 3)
    assert "Disturbed" in markdown(table)


def test_the_time_of_a_part_is_scaled(clock: Clock) -> None:
    calls = {"all": lambda: clock.sleep(0.01), "a tenth": lambda: clock.sleep(0.001)}
    table = paired("parts", calls, base="all", effort=THREE, factor={"a tenth": 10})
    assert table.rows[1]["ratio"].median == pytest.approx(1)


def test_a_base_that_is_no_contender_is_refused() -> None:
    with pytest.raises(ValueError, match="no contender is named B"):
        paired("wrong", {"A": lambda: None}, base="B", effort=QUICK)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_iterated_form_is_our_chain(name: str, images: Callable[..., Tensor]) -> None:
    op, (_, channels, side, _) = SETTINGS[name]
    x, levels = images(2, channels, min(side, 32), min(side, 32), dtype=torch.float32), random_levels(op, 2)
    levels[1] = 1
    answer = iterated(x, levels, chain_kernels(op, channels, x), op.border)
    torch.testing.assert_close(bound(op, x)(x, levels.double() / op.num_steps), answer, atol=1e-5, rtol=0)


def test_the_iterated_form_has_no_denormal_taps() -> None:
    op, _ = SETTINGS["cifar"]
    kernels = chain_kernels(op, 1, torch.ones(1))
    assert not ((kernels != 0) & (kernels.abs() < torch.finfo(torch.float32).tiny)).any()


def test_one_kernel_is_as_wide_as_the_chain() -> None:
    op, _ = SETTINGS["cifar"]
    impulse = F.pad(torch.ones(1, 1, 1, 1, dtype=torch.float64), (40, 40, 40, 40))
    spread = bound(op, impulse)(impulse, 1.0).sum(dim=2).flatten()
    offset = torch.arange(81, dtype=torch.float64) - 40
    torch.testing.assert_close((spread @ offset**2).sqrt(), effective_sigma(op)[-1])


def test_the_cosine_transform_comes_back_and_blurs_as_heat_does(images: Callable[..., Tensor]) -> None:
    x = images(2, 3, 32, 31)
    torch.testing.assert_close(idct(dct(x)), x)
    op, t = GaussianBlur(sigma_max=8.0, border="symmetric"), torch.tensor([0.75, 1.0], dtype=torch.float64)
    # One samples a Gaussian in frequency, the other is the discrete one: alike where both are wide.
    torch.testing.assert_close(dct_blur(x, 8 * t), op(x, t), atol=2e-3, rtol=0)


def test_the_layers_of_a_convolution_are_counted(images: Callable[..., Tensor]) -> None:
    x, w = images(2, 8, 10, 10, dtype=torch.float32), images(16, 8, 3, 3, dtype=torch.float32)
    (conv, act) = count(lambda: F.silu(F.conv2d(x, w, padding=1).transpose(1, 2))).layers
    assert (conv.kind, conv.flops) == ("convolution", 2 * 2 * 10 * 10 * 8 * 16 * 9)
    assert conv.bytes == 4 * (x.numel() + w.numel() + 2 * 16 * 10 * 10)
    assert (act.kind, act.flops, act.bytes) == ("elementwise", 0, 2 * 4 * 2 * 16 * 10 * 10)


def test_attention_is_counted(images: Callable[..., Tensor]) -> None:
    q = images(2, 4, 16, 8, dtype=torch.float32)
    assert count(lambda: F.scaled_dot_product_attention(q, q, q)).flops == 2 * 2 * 2 * 4 * 16 * 16 * 8


def test_a_layer_takes_the_longer_of_computing_and_moving() -> None:
    layer = Layer("convolution", 100.0, 10.0, torch.float32)
    peaks = {("convolution", torch.float32): 50.0}
    assert layer.least_s(peaks, lambda nbytes: 100.0) == 2.0
    assert layer.least_s(peaks, lambda nbytes: 1.0) == 10.0


def test_answers_that_are_not_finite_or_not_near_are_not_valid() -> None:
    x, exact = torch.zeros(4), torch.ones(4)
    assert valid(exact + 0.01, exact, x)
    assert not valid(exact + 0.2, exact, x)
    assert not valid(exact * torch.nan, exact, x)


def test_a_width_is_found_for_a_number_of_parameters() -> None:
    assert size(ours(5)) == pytest.approx(5, rel=0.15)


def test_every_contender_is_in_the_markdown_and_survives_json() -> None:
    calls = {"first": lambda: 1, "second": lambda: 2, "third": lambda: 3}
    table = paired("t", calls, base="first", effort=QUICK, against={"third": "second"}, note="a note")
    table.add("loss", {"second": 0.25})
    assert from_json(to_json(table)) == table
    text = markdown(table)
    assert all(f"| {name} |" in text for name in calls)
    assert "a note" in text and "| 0.250 |" in text


def test_only_what_is_between_the_marks_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nbelow\n")
    rewrite(page, "bench", "new")
    assert page.read_text() == "above\n<!-- bench: begin -->\nnew\n<!-- bench: end -->\nbelow\n"
    with pytest.raises(ValueError, match="no marks"):
        rewrite(page, "rmse", "new")


def test_the_shortest_run_that_is_as_good_is_told() -> None:
    def line(net: str, seconds: float, error: float) -> dict[str, object]:
        return {"net": net, "task": "deblurring", "seed": 0, "seconds": seconds, "rmse_t1": error}

    peer = line("diffusers", 900, 0.1)
    own = [line("ours", 300, 0.11), line("ours", 450, 0.1), line("ours", 900, 0.09)]
    assert share([peer, *own], peer, "rmse_t1") == "0.50"
    assert share([peer, own[0]], peer, "rmse_t1") == "not reached"


def test_a_table_can_be_without_rounds() -> None:
    assert "| 3 |" in markdown(Table("counts", [{"name": "a", "layers": 3}]))
