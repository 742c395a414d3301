"""Whether what an evaluation found becomes what a run's restores take where nobody chose."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ..models.recommended import MOST_STARTS, Recommended
from ..models.run import Run
from ..models.serialization import recommended_for
from ..utils.files import same_place
from ..utils.text import escape_control
from .features import why_not_saved

STORE = ("auto", "always", "never")
FEWEST_IMAGES = 32  # on which a default is measured
ALWAYS = "--save-settings always stores it all the same"


def save_recommendation(run: Run, found: Recommended | None, protocol: Mapping[str, Any], when: str = "auto") -> str:
    """Make what was measured the default of a run's restores (`recommended`); and what became of it, in a line.

    Args:
        run: what was measured.
        found: what its report recommends.
        protocol: how that was measured.
        when: "auto", if it was measured on 32 images or more of 8 bits that the training held out: what is there from
            more images, or for other goals and starts, stays. "always", in place of all that is there; or "never".
    """
    if when not in STORE:
        raise ValueError(f"when to store must be {', '.join(STORE)}, got {when!r}")
    why = "as was asked (--save-settings never)" if when == "never" else why_not_saved(run)
    if when == "auto" and not why and (why := _why_not_by_itself(protocol, run.config["data"])):
        why += f" ({ALWAYS})"
    if why or found is None:
        return f"not {_stored(why or 'nothing could be compared')}"
    known = known_by_now(run) if when == "auto" else None
    if known is None:
        return _stored(found.save(run.path))
    merged = known.updated(found)
    kept = merged.only(lambda goal, setting: setting not in found.settings.get(goal, ()))
    if known.data != found.data:
        return f"not {_stored(f'what is there was measured on {escape_control(known.data)} ({ALWAYS})')}"
    if kept == merged:
        return f"not {_stored(f'what is there was measured on more images ({ALWAYS})')}"
    if max(map(len, merged.settings.values())) > MOST_STARTS:
        return f"not {_stored(f'it would be for more than {MOST_STARTS} starts ({ALWAYS})')}"
    told = "; kept " + ", ".join(kept.lines(run.degradation.level_times())) if kept else ""
    return _stored(merged.save(run.path)) + told


def known_by_now(run: Run) -> Recommended | None:
    """What the run's folder recommends; without the warnings, as `load` has given them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return recommended_for(run)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _stored(where: object) -> str:
    return f"stored as the default of restores: {where}"


def _why_not_by_itself(protocol: Mapping[str, Any], trained_on: Mapping[str, Any]) -> str:
    """Why what was measured is no default unless somebody says so; or nothing."""
    if "8-bit" not in protocol["input"]:
        return "pictures come in 8 bits, and these did not"
    if protocol["images"] < FEWEST_IMAGES:
        return f"that takes {FEWEST_IMAGES} images, and {protocol['images']} were measured"
    for part in ("data", "paired_data"):
        name, own = protocol.get(part), trained_on.get(part)
        if name != own and not (isinstance(name, str) and isinstance(own, str) and same_place(name, own)):
            return f"it was measured on {_named(name)}, and trained on {_named(own)}"
    split = protocol.get("split", "test")
    seen = split in ("all", trained_on.get("split", "train"))
    return f"split {split!r} holds images that it was trained on" if seen else ""


def _named(place: Any) -> str:
    return "other images" if place is None else escape_control(str(place))
