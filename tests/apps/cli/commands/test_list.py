"""`colddiff list`: everything that can be asked for by its name."""

import json

from support.command_line import colddiff

from colddiff.utils import config as config_module


def test_list_names_everything_that_can_be_asked_for(capsys):
    assert colddiff("list") == 0
    told = capsys.readouterr().out
    for name in ("gaussian_blur", "sigma_max=12.0", "cosine", "improved", "digits", "channel_gaussian", "velocity"):
        assert name in told
    assert colddiff("list", "--json") == 0
    assert "gaussian_mask" in json.loads(capsys.readouterr().out)["degradations"]


def test_list_says_what_each_thing_is_and_names_plug_ins_without_importing_them(capsys, monkeypatch):
    class Point:
        name = "fog"

    monkeypatch.setattr(
        config_module, "entry_points", lambda group: [Point()] if group == "colddiff.degradations" else []
    )
    assert colddiff("list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["degradations"]["fog"] == {"summary": "plug-in"} and "fog" not in told["priors"]
    assert all(entry["summary"] for members in told.values() for entry in members.values())
    assert told["degradations"]["gaussian_blur"]["fields"]["sigma_max"] == 12.0
    assert not any("" in entry for members in told.values() for entry in members.values())
