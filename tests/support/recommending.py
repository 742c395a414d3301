"""Measures a run, and stores what is recommended for it."""

import json
from pathlib import Path

from colddiff.data import load_data
from colddiff.evaluation.recommend import save_recommendation
from colddiff.evaluation.report import Report, evaluate
from colddiff.models import run as runs
from colddiff.models.recommended import Recommended, Setting, recommended_in

DATA = load_data("digits", split="test")


SETTINGS = {
    "distortion": (Setting(0.25, "one_shot", 1, 180), Setting(1.0, "improved", 3, 180)),
    "perception": (Setting(0.5, "naive", 4, 180),),
}


RECOMMENDED = Recommended(SETTINGS, "digits")


def measured(run: runs.Run, images: int = 40, data=DATA, **options) -> Report:
    return evaluate(
        run, data, **{"start_times": (0.5, 1.0), "steps": (2,), "num_images": images, "progress": False} | options
    )


def store(run: runs.Run, report: Report, when: str = "auto") -> str:
    return save_recommendation(run, report.recommended, report.protocol, when)


def stored(folder: Path) -> dict[tuple[str, float], int]:
    """On how many images what is stored was measured, by goal and start."""
    found = recommended_in(folder).settings
    return {(goal, setting.start): setting.images for goal, settings in found.items() for setting in settings}


def told(**changes) -> bytes:
    return json.dumps(RECOMMENDED.to_dict() | changes).encode()
