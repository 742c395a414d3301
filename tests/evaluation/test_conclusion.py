"""The conclusion says what the numbers carry, and no more."""

import torch

from colddiff.evaluation.conclusion import Outcome, conclude, recommend
from colddiff.models.recommended import LEFT_ALONE, MOST_CALLS, Setting

DAMAGED = torch.linspace(0.2, 0.6, 50, dtype=torch.float64)
WOBBLE = torch.where(torch.arange(50) % 2 == 0, 0.01, -0.01)


def tried(method, calls, factor, perception=None, start=0.5):
    distortion = DAMAGED * factor if isinstance(factor, float) else factor
    return Outcome(method, start, calls, distortion, None if perception is None else perception + WOBBLE)


def advice(ways, *told):
    """What it says of the only start."""
    return next(line for line in conclude(ways, *told) if line.startswith("At t = "))


def headline(ways, *told):
    """The answer for distortion; and that for perception, if it was measured."""
    lines = [line for line in conclude(ways, *told) if line.startswith("Is iterating worth it? For ")]
    assert lines == conclude(ways, *told)[: 1 + bool(told)], "the answer comes first"
    return [line.removeprefix("Is iterating worth it? For ") for line in lines][-1]


def test_a_small_gain_on_every_image_is_a_gain_though_intervals_overlap():
    ways = [tried("degraded", 0, 1.0), tried("one_shot", 1, 0.5), tried("improved", 5, 0.48)]
    line = advice(ways)
    assert "At t = 0.50, for distortion take improved (5 calls): RMSE 0.1920 against 0.4000 damaged" in line
    assert "0.2000 for one_shot (4.0% [3.7%, 4.3%] less)" in line


def test_the_fewest_calls_are_taken_where_more_are_no_significant_gain():
    better = DAMAGED * 0.5 + WOBBLE - 0.0001
    line = advice([tried("degraded", 0, 1.0), tried("one_shot", 1, 0.5), tried("improved", 5, better)])
    assert "take one_shot (1 call): RMSE 0.2000" in line
    assert "improved (5 calls) has 0.1999: no gain beyond 1% and chance" in line


def test_a_gain_below_one_percent_is_none_however_sure():
    line = advice([tried("degraded", 0, 1.0), tried("one_shot", 1, 0.5), tried("improved", 5, 0.497)])
    assert "take one_shot (1 call)" in line and "0.1988: no gain beyond 1% and chance" in line


def test_nothing_that_helps_is_said_so():
    worse = advice([tried("degraded", 0, 1.0), tried("one_shot", 1, 1.1), tried("naive", 5, 1.2)])
    assert "leave the picture as it is: nothing lowers its RMSE of 0.4000 damaged (best: 0.4400, one_shot" in worse
    unclear = advice([tried("degraded", 0, 1.0), tried("one_shot", 1, DAMAGED + WOBBLE - 0.0001)])
    assert "leave the picture as it is" in unclear and "nothing lowers its RMSE of 0.4000 damaged by" in unclear


def test_a_sure_gain_below_one_percent_is_not_called_chance():
    line = advice([tried("degraded", 0, 1.0), tried("one_shot", 1, 0.995)])
    assert "nothing lowers its RMSE of 0.4000 damaged by more than 1% and chance (best: 0.3980, one_shot" in line


def test_distortion_and_perception_have_each_their_own_advice():
    ways = [tried("degraded", 0, 1.0, 0.9), tried("one_shot", 1, 0.5, 0.5), tried("improved", 5, 0.6, 0.1)]
    *_, line, about = conclude(ways, "KID", "a small classifier")
    assert "for distortion take one_shot (1 call)" in line
    assert "For perception take improved (5 calls): KID 0.1000 against 0.9000 damaged, 0.5000 for one_shot (80%" in line
    assert "KID (features: a small classifier)" in about


def test_all_starts_are_summed_up():
    ways = [
        tried(method, calls, factor, start=start)
        for start, factors in {0.25: (1.0, 1.1, 1.2), 0.5: (1.0, 0.5, 0.6), 1.0: (1.0, 0.5, 0.6)}.items()
        for method, calls, factor in zip(("degraded", "one_shot", "naive"), (0, 1, 5), factors, strict=True)
    ]
    _, *starts, overall, about = conclude(ways)
    assert [line.split(",")[0] for line in starts] == ["At t = 0.25", "At t = 0.50", "At t = 1.00"]
    expected = "one_shot (1 call) at 2 of 3 starts, leave the picture as it is at 1 of 3 starts"
    assert overall == f"Overall: for distortion {expected}."
    assert "Perception was not measured" in about
    assert "Overall: for distortion it depends on the start." in conclude(ways[:6])
    assert "Overall: for distortion one_shot (1 call) at every start." in conclude(ways[3:])


def test_one_image_tells_nothing():
    one = torch.ones(1)
    assert conclude([Outcome("degraded", 1.0, 0, one), Outcome("one_shot", 1.0, 1, one / 2)]) == [
        "One image tells nothing about what is better: measure more."
    ]


# --- is iterating worth it? -------------------------------------------------------------------------------------------


def at(start, **factors):
    """Ways from a start: the damaged pictures, one call, and what takes more, as method_calls=factor."""
    ways = [tried("degraded", 0, 1.0, start=start)]
    for name, factor in factors.items():
        method, _, calls = name.rpartition("_")
        ways.append(tried(method or name, int(calls) if calls.isdecimal() else 0, factor, start=start))
    return ways


def test_more_calls_that_are_better_are_worth_it_by_so_much():
    told = headline(at(0.5, one_shot_1=0.5, improved_5=0.4, improved_20=0.4))
    assert told == "distortion yes at t = 0.50: improved (5 calls) has 20% [18%, 22%] less RMSE than one call."


def test_more_calls_that_gain_no_more_than_chance_or_one_percent_are_not_worth_it():
    nothing = "distortion no at t = 0.50: more calls gain nothing beyond 1% and chance."
    lucky = DAMAGED * 0.45 + 40 * WOBBLE  # a tenth better on average, by luck with some images
    assert headline(at(0.5, one_shot_1=0.5, improved_5=lucky)) == nothing
    assert headline(at(0.5, one_shot_1=0.5, improved_5=0.497)) == nothing
    assert headline(at(0.5, one_shot_1=0.5, improved_5=0.5)) == nothing


def test_more_calls_that_are_surely_worse_are_said_to_be():
    told = headline(at(0.5, one_shot_1=0.5, naive_5=0.6, improved_5=0.55))
    assert told == "distortion no at t = 0.50: more calls make it worse."


def test_what_needs_no_network_is_never_beaten_in_words_only():
    told = headline(at(0.5, wiener=0.4, one_shot_1=0.5, improved_5=0.4))
    assert told == "distortion no at t = 0.50: wiener, without a network, is as good as anything."
    told = headline(at(0.5, wiener=0.3, one_shot_1=0.5, improved_5=0.4))
    beaten = "wiener, without a network, beats the network, which may want more training"
    assert told == f"distortion no at t = 0.50: {beaten}."
    told = headline(at(0.5, one_shot_1=1.2, improved_5=1.1))
    assert told == "distortion no at t = 0.50: nothing beats the damaged picture by more than 1% and chance."


def test_starts_of_one_answer_are_named_together():
    ways = [
        *at(0.25, one_shot_1=0.5, improved_2=0.5, improved_20=0.5),
        *at(0.5, one_shot_1=0.5, improved_2=0.4, improved_20=0.4),
        *at(1.0, one_shot_1=0.5, improved_2=0.4, improved_20=0.25),
    ]
    assert headline(ways) == (
        "distortion yes at t = 0.50 and 1.00: improved (2 to 20 calls) has 20% to 50% less RMSE than one call; "
        "no at t = 0.25: more calls gain nothing beyond 1% and chance."
    )
    assert headline(ways[4:]).startswith("distortion yes at every start: ")


def test_each_goal_has_its_own_answer():
    ways = [tried("degraded", 0, 1.0, 0.9), tried("one_shot", 1, 0.5, 0.5), tried("estimated", 20, 0.6, 0.2)]
    assert conclude(ways, "LPIPS")[0].endswith("For distortion no at t = 0.50: more calls make it worse.")
    told = "perception yes at t = 0.50: estimated (20 calls) has 60% [60%, 60%] less LPIPS than one call."
    assert headline(ways, "LPIPS") == told


def test_a_share_of_nothing_is_not_told():
    ways = [tried("degraded", 0, 1.0, 0.9), tried("one_shot", 1, 0.5, -0.1), tried("improved", 5, 0.5, -0.3)]
    assert headline(ways, "KID") == "perception yes at t = 0.50: improved (5 calls) has less KID than one call."


def test_a_restorer_that_is_never_asked_once_is_compared_with_the_fewest_calls():
    told = headline([*at(1.0, estimated_2=0.5, estimated_20=0.4)])
    assert told.endswith(
        "estimated (20 calls) has 20% [18%, 22%] less RMSE than 2 calls, the fewest that were measured."
    )
    told = headline(at(1.0, estimated_2=0.5))
    assert told == "distortion no at t = 1.00: no more calls than that were measured."


def test_what_is_named_is_itself_better_than_one_call():
    """Five calls are as good as twenty within chance, and as one call too: twenty are better than one for sure."""
    unsure = DAMAGED * 0.45 + 40 * WOBBLE
    ways = at(0.5, one_shot_1=0.5, naive_5=unsure, improved_20=0.45)
    assert headline(ways).startswith("distortion yes at t = 0.50: improved (20 calls) has 10% ")
    assert "take improved (20 calls)" in advice(ways)


# --- what restores take -----------------------------------------------------------------------------------------------


def test_the_choice_of_the_network_is_recommended_though_something_else_is_better():
    ways = [
        *at(0.25, one_shot_1=1.2, improved_5=1.1),
        *at(0.5, wiener=0.3, one_shot_1=0.5, improved_5=0.4),
        *at(1.0, one_shot_1=0.5, improved_5=0.5),
    ]
    found = recommend(ways)
    assert found == {
        "distortion": (
            Setting(0.25, "improved", 5, 50, LEFT_ALONE),
            Setting(0.5, "improved", 5, 50, "wiener"),
            Setting(1.0, "one_shot", 1, 50),
        )
    }


def test_every_goal_that_was_measured_has_its_recommendation():
    ways = [tried("degraded", 0, 1.0, 0.9), tried("one_shot", 1, 0.5, 0.5), tried("improved", 5, 0.6, 0.1)]
    assert recommend(ways, "KID") == {
        "distortion": (Setting(0.5, "one_shot", 1, 50),), "perception": (Setting(0.5, "improved", 5, 50),)
    }  # fmt: skip
    assert recommend([Outcome("degraded", 1.0, 0, torch.ones(1)), Outcome("one_shot", 1.0, 1, torch.zeros(1))]) == {}


def test_a_way_that_is_not_finite_is_no_choice_wherever_it_stands():
    lost, lost_too = DAMAGED * 0.1, DAMAGED * 0.1
    lost[3], lost_too[0] = torch.nan, torch.inf
    ways = at(0.5, naive_2=lost, one_shot_1=0.5, improved_5=0.4, naive_20=lost_too)
    for shown in (ways, ways[::-1], [ways[1], ways[0], *ways[2:]]):
        told = conclude(shown)
        assert "take improved (5 calls)" in told[1] and not any("nan" in line for line in told)
        assert told[-2].startswith("Left out, as what it made is not finite: ") and "naive (2 calls) at t" in told[-2]
        assert "naive (20 calls) at t = 0.50" in told[-2]
        assert recommend(shown) == {"distortion": (Setting(0.5, "improved", 5, 50),)}


def test_a_start_where_nothing_of_the_network_is_finite_has_no_advice():
    ways = [*at(0.5, one_shot_1=DAMAGED * torch.nan), *at(1.0, one_shot_1=0.5)]
    assert len(conclude(ways)) == 4 and "0.50" not in " ".join(conclude(ways)[:2])
    assert [s.start for s in recommend(ways)["distortion"]] == [1.0]
    assert conclude(ways[:2])[1:] == ["Nothing is left to compare."] and recommend(ways[:2]) == {}


def test_nothing_that_takes_too_many_steps_is_a_default():
    ways = at(1.0, one_shot_1=0.5, improved_20=0.4)
    ways += [Outcome("improved", 1.0, 30, DAMAGED * 0.1, steps=MOST_CALLS + 1)]
    assert recommend(ways) == {"distortion": (Setting(1.0, "improved", 20, 50),)}
