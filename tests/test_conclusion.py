"""The conclusion says what the numbers carry, and no more."""

import torch

from colddiff.conclusion import Tried, conclude

DAMAGED = torch.linspace(0.2, 0.6, 50, dtype=torch.float64)
WOBBLE = torch.where(torch.arange(50) % 2 == 0, 0.01, -0.01)


def tried(method, calls, factor, perception=None, start=0.5):
    distortion = DAMAGED * factor if isinstance(factor, float) else factor
    return Tried(method, start, calls, distortion, None if perception is None else perception + WOBBLE)


def test_a_small_gain_on_every_image_is_a_gain_though_intervals_overlap():
    ways = [tried("degraded", 0, 1.0), tried("one_shot", 1, 0.5), tried("improved", 5, 0.48)]
    line = conclude(ways)[0]
    assert "At t = 0.50, for distortion take improved (5 calls): RMSE 0.1920 against 0.4000 damaged" in line
    assert "0.2000 for one_shot" in line


def test_the_fewest_calls_are_taken_where_more_are_no_significant_gain():
    better = DAMAGED * 0.5 + WOBBLE - 0.0001
    line = conclude([tried("degraded", 0, 1.0), tried("one_shot", 1, 0.5), tried("improved", 5, better)])[0]
    assert "take one_shot (1 call): RMSE 0.2000" in line
    assert "improved (5 calls) has 0.1999: no gain beyond 1% and chance" in line


def test_a_gain_below_one_percent_is_none_however_sure():
    line = conclude([tried("degraded", 0, 1.0), tried("one_shot", 1, 0.5), tried("improved", 5, 0.497)])[0]
    assert "take one_shot (1 call)" in line and "0.1988: no gain beyond 1% and chance" in line


def test_nothing_that_helps_is_said_so():
    worse = conclude([tried("degraded", 0, 1.0), tried("one_shot", 1, 1.1), tried("naive", 5, 1.2)])[0]
    assert "leave the picture as it is: nothing lowers its RMSE of 0.4000 damaged (best: 0.4400, one_shot" in worse
    unclear = conclude([tried("degraded", 0, 1.0), tried("one_shot", 1, DAMAGED + WOBBLE - 0.0001)])[0]
    assert "leave the picture as it is" in unclear and "nothing lowers its RMSE of 0.4000 damaged by" in unclear


def test_a_sure_gain_below_one_percent_is_not_called_chance():
    line = conclude([tried("degraded", 0, 1.0), tried("one_shot", 1, 0.995)])[0]
    assert "nothing lowers its RMSE of 0.4000 damaged by more than 1% and chance (best: 0.3980, one_shot" in line


def test_distortion_and_perception_have_each_their_own_advice():
    ways = [tried("degraded", 0, 1.0, 0.9), tried("one_shot", 1, 0.5, 0.5), tried("improved", 5, 0.6, 0.1)]
    line, about = conclude(ways, "KID", "a small classifier")
    assert "for distortion take one_shot (1 call)" in line
    assert "For perception take improved (5 calls): KID 0.1000 against 0.9000 damaged, 0.5000 for one_shot." in line
    assert "KID (features: a small classifier)" in about


def test_all_starts_are_summed_up():
    ways = [
        tried(method, calls, factor, start=start)
        for start, factors in {0.25: (1.0, 1.1, 1.2), 0.5: (1.0, 0.5, 0.6), 1.0: (1.0, 0.5, 0.6)}.items()
        for method, calls, factor in zip(("degraded", "one_shot", "naive"), (0, 1, 5), factors, strict=True)
    ]
    *starts, overall, about = conclude(ways)
    assert [line.split(",")[0] for line in starts] == ["At t = 0.25", "At t = 0.50", "At t = 1.00"]
    expected = "one_shot (1 call) at 2 of 3 starts, leave the picture as it is at 1 of 3 starts"
    assert overall == f"Overall: for distortion {expected}."
    assert "Perception was not measured" in about
    assert "Overall: for distortion it depends on the start." in conclude(ways[:6])
    assert "Overall: for distortion one_shot (1 call) at every start." in conclude(ways[3:])


def test_one_image_tells_nothing():
    one = torch.ones(1)
    assert conclude([Tried("degraded", 1.0, 0, one), Tried("one_shot", 1.0, 1, one / 2)]) == [
        "One image tells nothing about what is better: measure more."
    ]
