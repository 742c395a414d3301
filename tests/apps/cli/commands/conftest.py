"""Pictures and a report for the commands that draw."""

import json

import pytest
import torch

from colddiff import viz

ROW = {"method": "naive", "start": 1.0, "calls": 5, "rmse": {"mean": 0.1, "low": 0.1, "high": 0.1}, "kid": 0.2}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a grey digit, a colour picture of another size, and a report."""
    monkeypatch.chdir(tmp_path)
    viz.save(viz.to_image(torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))), "digit.png")
    viz.save(viz.to_image(torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))), "other.png")
    viz.save(viz.to_image(torch.rand(3, 9, 12)), "wide.png")
    (tmp_path / "report.json").write_text(json.dumps({"rows": [ROW]}))
    (tmp_path / "empty").mkdir()
    return tmp_path
