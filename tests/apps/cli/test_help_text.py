"""What `--help` looks like to somebody who knows no Python."""

import pytest

from colddiff.apps.cli.command_table import COMMANDS, PLOTS
from colddiff.apps.cli.main import main

LINES = [[name] for name in COMMANDS] + [["plot", name] for name in PLOTS]


def help_of(line: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as end:
        main([*line, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_types_are_words_and_options_have_dashes(line: list[str], capsys) -> None:
    text = help_of(line, capsys)
    for foreign in ("Literal", "Union", "Optional", "<class", "null", "tuple[", "type: str |", "True", "False"):
        assert foreign not in text, foreign
    own = {"--print_config"}  # the parser library's
    assert not {word for word in text.replace("[", " ").split() if word.startswith("--") and "_" in word} - own


def test_options_of_a_training_stand_in_groups(capsys) -> None:
    text = help_of(["train"], capsys)
    titles = ["data", "degradation", "network", "objective", "optimizer", "schedule", "checkpoints"]
    places = [text.index(f"\n{title}:\n") for title in titles]
    assert places == sorted(places)
    assert places[3] < text.index("  --loss ") < places[4] < text.index("  --grad-clip ") < places[5]
