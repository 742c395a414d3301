"""`colddiff presets`: the settings of the paper and what they undo."""

import json

from support.command_line import colddiff

from colddiff.paper.presets import PRESETS, TRAINING


def test_presets_are_listed_with_what_they_undo(capsys) -> None:
    assert colddiff("presets") == 0
    told = capsys.readouterr().out
    assert all(name in told for name in PRESETS) and "iterated_blur num_steps=20" in told
    assert colddiff("presets", "--json") == 0
    assert json.loads(capsys.readouterr().out)["deblur_mnist"]["lr"] == TRAINING["lr"] == 2e-5
