"""Schedules against time."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from ....utils.config import plug_ins, registered, suggestion


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("--names", type=str | None, default=None, help="separated by commas; all if left out")
    p.add_argument("--out", type=str, default="schedules.png", help="plot: .png, .svg or .pdf")


def run(names: str | None, out: str) -> None:
    """Write schedules against time, those of noise too."""
    from .... import viz
    from ....degradations.noise_schedules import NoiseSchedule
    from ....degradations.schedules import Schedule
    from ..image_files import check_output

    check_output(out)
    known = {family: [*registered(family.group), *plug_ins(family.group)] for family in (Schedule, NoiseSchedule)}
    every = sorted({name for of in known.values() for name in of})
    # What a table is depends on its values.
    asked = [name for name in every if name != "table"] if names is None else names.split(",")
    for name in asked:
        if name not in every:
            raise LookupError(f"no schedule is named {name!r}{suggestion(name, every)}; known: {', '.join(every)}")
    found = [family.from_config(name) for family, of in known.items() for name in dict.fromkeys(asked) if name in of]
    viz.save(viz.schedules(found), out)
    print(f"{len(found)} schedules in {out}")
