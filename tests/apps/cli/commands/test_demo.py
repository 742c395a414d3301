"""`colddiff demo`: training, measurement and pictures of every stage."""

from support import tiny
from support.command_line import colddiff

from colddiff.training import train as train_module


def test_the_demo_trains_measures_and_draws_every_stage(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train_module, "restorer_for", lambda config, data: tiny.NET)
    assert colddiff("demo", "--out", tmp_path / "demo", "--minutes", 0.005, "--device", "cpu") == 0
    told = capsys.readouterr().out
    assert "one_shot" in told and "improved" in told
    pictures = [p.name for p in sorted((tmp_path / "demo").glob("[1-5]_*"))]
    assert len(pictures) == 5 and all(name in told for name in pictures)
