"""What a measured table says: whether iterating is worth it, and what to do, in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..models.recommended import GOALS, LEFT_ALONE, MOST_CALLS, Setting
from .metrics import Summary, summary

QUESTION = "Is iterating worth it?"
LEAVE = "leave the picture as it is"
MARGIN = 0.01  # by which share two ways may differ and count as equally good, however sure the difference is


@dataclass(frozen=True)
class Outcome:
    """One way to restore, and how far from the clean images it came.

    Args:
        method: a sampler's name, that of a baseline, or "degraded".
        start: time of the damaged images.
        calls: of the restorer; 0 for a baseline, and for the damaged images themselves.
        distortion: RMSE of each image (N,).
        perception: LPIPS, or what `features.kid` makes, of each image (N,); None if it was not measured.
        steps: of the grid that was asked for, where they are not the calls: levels may be uneven.
    """

    method: str
    start: float
    calls: int
    distortion: Tensor
    perception: Tensor | None = None
    steps: int | None = None

    def __str__(self) -> str:
        if self.damaged:
            return LEAVE
        if self.classical:
            return f"{self.method} (classical, no network)"
        return f"{self.method} ({self.calls} call{'' if self.calls == 1 else 's'})"

    @property
    def asked(self) -> int:
        """The number of steps with which its grid is asked for."""
        return self.calls if self.steps is None else self.steps

    @property
    def damaged(self) -> bool:
        """Whether nothing was done."""
        return self.method == "degraded"

    @property
    def finite(self) -> bool:
        """Whether all images of it can be compared: a NaN is neither more nor less than anything."""
        found = (self.distortion, self.perception)
        return all(bool(values.isfinite().all()) for values in found if values is not None)

    @property
    def classical(self) -> bool:
        """Whether it is a baseline, which needs no restorer."""
        return not self.calls and not self.damaged


@dataclass(frozen=True)
class Goal:
    """What is to be low: "distortion" or "perception", and the name of its measure."""

    name: str
    measure: str

    def values(self, tried: Outcome) -> Tensor:
        found = tried.distortion if self.name == "distortion" else tried.perception
        assert found is not None
        return found

    def mean(self, tried: Outcome) -> float:
        return float(self.values(tried).mean())

    def worse(self, tried: Outcome, best: Outcome) -> bool:
        """Whether one is worse than the best by more than the margin: the 95% interval of the differences by image."""
        return summary(self.values(tried) - self.values(best)).low > MARGIN * max(self.mean(best), 0.0)

    def choice(self, ways: Sequence[Outcome]) -> Outcome:
        """The fewest calls that are not worse than the best, and better than the fewest measured if those are worse."""
        best, fewest = min(ways, key=self.mean), _fewest(ways)
        good = [t for t in ways if not self.worse(t, best)]
        if self.worse(fewest, best):
            good = [t for t in good if not t.calls or self.worse(fewest, t)]
        return min(good, key=lambda t: (t.calls, not t.damaged, self.mean(t)))

    def gain(self, tried: Outcome, other: Outcome) -> Summary | None:
        """By which share of the other's mean one is lower, with its 95% interval by image; None where that is none."""
        whole = self.mean(other)
        return summary((self.values(other) - self.values(tried)) / whole) if whole > 0 else None


def conclude(tried: Sequence[Outcome], measure: str | None = None, features: str = "") -> list[str]:
    """Sentences: whether iterating is worth it, then per start what to take, then what holds over all starts.

    At each start the fewest restorer calls are named that are not worse than the best ones by more than 1%, by the
    95% interval of the differences on the same images. The damaged images are in the running, with no call at all, and
    the classical baseline, with no network. A way that is not finite is named and left out, and so is a start where
    the network has no other.

    Args:
        tried: everything that a user could do; nothing that knows the true params.
        measure: of perception: "KID" or "LPIPS"; None if it was not measured.
        features: what KID was measured with.
    """
    if len(tried[0].distortion) < 2:
        return ["One image tells nothing about what is better: measure more."]
    goals, starts = _goals(measure), _by_start(tried)
    lost = ", ".join(f"{t} at t = {t.start:.2f}" for t in tried if not t.finite)
    left_out = [f"Left out, as what it made is not finite: {lost}."] if lost else []
    if not starts:
        return [*left_out, "Nothing is left to compare."]
    lines = [_headline(goal, starts) for goal in goals]
    picks: dict[str, Counter[str]] = {goal.name: Counter() for goal in goals}
    for start, here in starts.items():
        sentences = []
        for goal in goals:
            pick, sentence = _advice(here, goal)
            picks[goal.name][str(pick)] += 1
            sentences.append(f"for {goal.name} {sentence}.")
        lines.append(f"At t = {start:.2f}, " + " ".join([sentences[0], *(s[0].upper() + s[1:] for s in sentences[1:])]))
    if len(starts) > 1:
        lines.append("Overall: " + "; ".join(_overall(g.name, picks[g.name], len(starts)) for g in goals) + ".")
    return [*lines, *left_out, _about(measure, features)]


def recommend(tried: Sequence[Outcome], measure: str | None = None) -> dict[str, tuple[Setting, ...]]:
    """By goal and start the network's best: what `conclude` names, or would without the other ways, which are told too.

    Of no more than `MOST_CALLS` steps; nothing of a single image.
    """
    if len(tried[0].distortion) < 2:
        return {}
    starts = _by_start([t for t in tried if t.asked <= MOST_CALLS])
    return {goal.name: tuple(_setting(here, goal) for here in starts.values()) for goal in _goals(measure) if starts}


# --- helpers ---------------------------------------------------------------------------------------------------------


def _goals(measure: str | None) -> list[Goal]:
    return [Goal(name, of) for name, of in zip(GOALS, ("RMSE", measure), strict=True) if of is not None]


def _by_start(tried: Sequence[Outcome]) -> dict[float, list[Outcome]]:
    """What can be compared, at the starts where that is the damaged images, and some way of the network."""
    starts = sorted({t.start for t in tried})
    found = {start: [t for t in tried if t.start == start and t.finite] for start in starts}
    return {start: here for start, here in found.items() if any(t.damaged for t in here) and any(t.calls for t in here)}


def _setting(here: list[Outcome], goal: Goal) -> Setting:
    """What a restore takes at one start, and what is as good without a network."""
    own, pick = goal.choice([t for t in here if t.calls]), goal.choice(here)
    beaten_by = None if pick.calls else LEFT_ALONE if pick.damaged else pick.method
    return Setting(own.start, own.method, own.asked, len(own.distortion), beaten_by)


def _fewest(ways: Sequence[Outcome]) -> Outcome:
    """The way of the network with the fewest calls: one_shot, where it was measured."""
    return min((t for t in ways if t.calls), key=lambda t: (t.calls, t.method != "one_shot"))


def _headline(goal: Goal, starts: dict[float, list[Outcome]]) -> str:
    """Whether iterating is worth it: at which starts and by how much, and why not at the others."""
    paid: dict[float, tuple[Outcome, Outcome]] = {}
    reasons: dict[str, list[float]] = {}
    for start, here in starts.items():
        pick, fewest = goal.choice(here), _fewest(here)
        if pick.calls > fewest.calls:
            paid[start] = pick, fewest
        else:
            reasons.setdefault(_reason(goal, here, pick, fewest), []).append(start)
    clauses = [f"yes {_where([*paid], starts)}: {_paid(goal, [*paid.values()])}"] if paid else []
    clauses += [f"no {_where(found, starts)}: {why}" for why, found in reasons.items()]
    return f"{QUESTION} For {goal.name} {'; '.join(clauses)}."


def _reason(goal: Goal, here: list[Outcome], pick: Outcome, fewest: Outcome) -> str:
    """Why more calls are not worth it."""
    if pick.damaged:
        return "nothing beats the damaged picture by more than 1% and chance"
    if pick.classical:
        network = min((t for t in here if t.calls), key=goal.mean)
        if goal.worse(network, pick):
            return f"{pick.method}, without a network, beats the network, which may want more training"
        return f"{pick.method}, without a network, is as good as anything"
    more = [t for t in here if t.calls > fewest.calls]
    if not more:
        return "no more calls than that were measured"
    if goal.worse(min(more, key=goal.mean), fewest):
        return "more calls make it worse"
    return "more calls gain nothing beyond 1% and chance"


def _paid(goal: Goal, pairs: list[tuple[Outcome, Outcome]]) -> str:
    """By which ways, and by how much, more calls are better."""
    counts: dict[str, list[int]] = {}
    for pick, _ in pairs:
        counts.setdefault(pick.method, []).append(pick.calls)
    ways = [f"{m} ({min(c)}{f' to {max(c)}' if max(c) > min(c) else ''} calls)" for m, c in counts.items()]
    gains = [gain for gain in (goal.gain(*pair) for pair in pairs) if gain is not None]
    means = [gain.mean for gain in gains]
    if len(gains) == 1:
        much = f"{_share(gains[0])} less"
    elif gains:
        much = f"{_percent(min(means))} to {_percent(max(means))} less"
    else:
        much = "less"
    least = pairs[0][1].calls
    than = "one call" if least == 1 else f"{least} calls, the fewest that were measured"
    return f"{' or '.join(ways)} has {much} {goal.measure} than {than}"


def _where(found: Sequence[float], starts: dict[float, list[Outcome]]) -> str:
    if len(found) == len(starts) > 1:
        return "at every start"
    texts = [f"{start:.2f}" for start in found]
    return "at t = " + " and ".join(part for part in (", ".join(texts[:-1]), texts[-1]) if part)


def _share(gain: Summary) -> str:
    return f"{_percent(gain.mean)} [{_percent(gain.low)}, {_percent(gain.high)}]"


def _percent(share: float) -> str:
    """Two digits, three next to all; no more than all, which an estimate of KID may exceed."""
    percent = 100 * min(share, 1.0)
    return f"{percent:.1f}%" if abs(percent) < 9.95 or 99 < percent < 100 else f"{percent:.0f}%"


def _advice(here: list[Outcome], goal: Goal) -> tuple[Outcome, str]:
    """What to take at one start, and the clause that says so."""
    damaged = next(t for t in here if t.damaged)
    best, pick = min(here, key=goal.mean), goal.choice(here)
    before = f"{goal.mean(damaged):.4f} damaged"
    if pick is damaged:
        least = min((t for t in here if not t.damaged), key=goal.mean)
        how = "" if goal.mean(least) >= goal.mean(damaged) else " by more than 1% and chance"
        reached = f"best: {goal.mean(least):.4f}, {least}"
        return pick, f"{LEAVE}: nothing lowers its {goal.measure} of {before}{how} ({reached})"
    once = next((t for t in here if t.method == "one_shot"), pick)
    beside = f", {goal.mean(once):.4f} for one_shot" if once is not pick else ""
    if beside and goal.worse(once, pick) and (gain := goal.gain(pick, once)):
        beside += f" ({_share(gain)} less)"
    sentence = f"take {pick}: {goal.measure} {goal.mean(pick):.4f} against {before}{beside}"
    if best is not pick:
        why = f"{pick.method} is as good" if pick.classical else "no gain beyond 1% and chance"
        sentence += f" ({best} has {goal.mean(best):.4f}: {why})"
    return pick, sentence


def _overall(name: str, picks: Counter[str], starts: int) -> str:
    if 2 * picks.most_common(1)[0][1] <= starts:
        return f"for {name} it depends on the start"
    parts = [
        f"{pick} at {'every start' if n == starts else f'{n} of {starts} starts'}" for pick, n in picks.most_common()
    ]
    return f"for {name} " + ", ".join(parts)


def _about(measure: str | None, features: str) -> str:
    if measure is None:
        return "Perception was not measured: neither RMSE nor SSIM tells how real a picture looks."
    told = f" (features: {features})" if features else ""
    return (
        f"RMSE tells how far from the truth pictures are, {measure}{told} how real they look; lower is better, and 0 "
        "is the clean images themselves."
    )
