"""`colddiff import-official`: official weights become a run."""

from types import SimpleNamespace

import torch
from support.command_line import colddiff
from support.official_files import blurred, preset, saved  # what an official file looks like

from colddiff import load
from colddiff.paper.presets import PRESETS


def test_official_weights_become_a_run(tmp_path, capsys, monkeypatch) -> None:
    file = saved(blurred(), tmp_path)
    monkeypatch.setitem(PRESETS, "small", SimpleNamespace(config=lambda data, out: preset(data=data)))
    assert colddiff("import-official", file, "--preset", "small", "--out", tmp_path / "run") == 0
    assert "parameters, averaged weights of step" in capsys.readouterr().out
    assert load(tmp_path / "run").restore(torch.rand(1, 3, 16, 16), steps=2).shape == (1, 3, 16, 16)
