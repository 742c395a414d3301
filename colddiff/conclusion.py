"""What a measured table says to do, in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .metrics import summary

LEAVE = "leave the picture as it is"
MARGIN = 0.01  # by which share two ways may differ and count as equally good, however sure the difference is


@dataclass(frozen=True)
class Tried:
    """One way to restore, and how far from the clean images it came.

    Args:
        method: a sampler's name, that of a baseline, or "degraded".
        start: time of the damaged images.
        calls: of the restorer; 0 for a baseline, and for the damaged images themselves.
        distortion: RMSE of each image (N,).
        perception: LPIPS, or what `perception.kid` makes, of each image (N,); None if it was not measured.
    """

    method: str
    start: float
    calls: int
    distortion: Tensor
    perception: Tensor | None = None

    def __str__(self) -> str:
        if self.damaged:
            return LEAVE
        if self.classical:
            return f"{self.method} (classical, no network)"
        return f"{self.method} ({self.calls} call{'' if self.calls == 1 else 's'})"

    @property
    def damaged(self) -> bool:
        """Whether nothing was done."""
        return self.method == "degraded"

    @property
    def classical(self) -> bool:
        """Whether it is a baseline, which needs no restorer."""
        return not self.calls and not self.damaged


@dataclass(frozen=True)
class Goal:
    """What is to be low: "distortion" or "perception", and the name of its measure."""

    name: str
    measure: str

    def values(self, tried: Tried) -> Tensor:
        found = tried.distortion if self.name == "distortion" else tried.perception
        assert found is not None
        return found

    def mean(self, tried: Tried) -> float:
        return float(self.values(tried).mean())

    def worse(self, tried: Tried, best: Tried) -> bool:
        """Whether one is worse than the best by more than the margin: the 95% interval of the differences by image."""
        return summary(self.values(tried) - self.values(best)).low > MARGIN * max(self.mean(best), 0.0)


def conclude(tried: Sequence[Tried], measure: str | None = None, features: str = "") -> list[str]:
    """Sentences: per start what to take for distortion and for perception, then what holds over all starts.

    At each start the fewest restorer calls are named that are not worse than the best ones by more than 1%, by the
    95% interval of the differences on the same images. The damaged images are in the running, with no call at all, and
    the classical baseline, with no network.

    Args:
        tried: everything that a user could do; nothing that knows the true params.
        measure: of perception: "KID" or "LPIPS"; None if it was not measured.
        features: what KID was measured with.
    """
    if len(tried[0].distortion) < 2:
        return ["One image tells nothing about what is better: measure more."]
    goals = [Goal("distortion", "RMSE")]
    if measure is not None:
        goals.append(Goal("perception", measure))
    starts = sorted({t.start for t in tried})
    picks: dict[str, Counter[str]] = {goal.name: Counter() for goal in goals}
    lines = []
    for start in starts:
        here = [t for t in tried if t.start == start]
        sentences = []
        for goal in goals:
            pick, sentence = _advice(here, goal)
            picks[goal.name][str(pick)] += 1
            sentences.append(f"for {goal.name} {sentence}.")
        lines.append(f"At t = {start:.2f}, " + " ".join([sentences[0], *(s[0].upper() + s[1:] for s in sentences[1:])]))
    if len(starts) > 1:
        lines.append("Overall: " + "; ".join(_overall(g.name, picks[g.name], len(starts)) for g in goals) + ".")
    lines.append(_about(measure, features))
    return lines


def _advice(here: list[Tried], goal: Goal) -> tuple[Tried, str]:
    """What to take at one start, and the clause that says so."""
    damaged = next(t for t in here if t.damaged)
    best = min(here, key=goal.mean)
    pick = min((t for t in here if not goal.worse(t, best)), key=lambda t: (t.calls, not t.damaged, goal.mean(t)))
    before = f"{goal.mean(damaged):.4f} damaged"
    if pick is damaged:
        least = min((t for t in here if not t.damaged), key=goal.mean)
        how = "" if goal.mean(least) >= goal.mean(damaged) else " by more than 1% and chance"
        reached = f"best: {goal.mean(least):.4f}, {least}"
        return pick, f"{LEAVE}: nothing lowers its {goal.measure} of {before}{how} ({reached})"
    once = next((t for t in here if t.method == "one_shot"), pick)
    beside = f", {goal.mean(once):.4f} for one_shot" if once is not pick else ""
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
