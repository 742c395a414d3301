"""`colddiff sample`: sheets of new images."""

from support.command_line import colddiff


def test_sample_writes_one_sheet(grey, tmp_path, capsys):
    assert colddiff("sample", grey, "-n", 4, "--out", tmp_path / "grid.png", "--steps", 3, "--seed", 7) == 0
    assert "seeds 7 .. 10" in capsys.readouterr().out and (tmp_path / "grid.png").is_file()
