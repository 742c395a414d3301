"""Commands as users type them, in this process."""

from colddiff.apps.cli import main as cli

from . import tiny

# The options of a training of two steps.
TINY = ["--steps", "2", "--batch-size", "4", "--device", "cpu", "--warmup-steps", "1"]
for field, value in tiny.NET.to_config().items():
    TINY += [f"--restorer.{field}" if field != "type" else "--restorer", str(value)]


def command(*arguments: object) -> int:
    """The code that a command ends with."""
    return cli.main([str(argument) for argument in arguments])


def colddiff(*arguments: object) -> int | str | None:
    """The same, also where the parser of the options ends it."""
    try:
        return command(*arguments)
    except SystemExit as end:
        return end.code


def printed(capsys, *arguments: object) -> list[str]:
    """The lines that a command prints that ends well."""
    assert command(*arguments) == 0
    return capsys.readouterr().out.splitlines()


def told(capsys, *arguments: object) -> str:
    """What `colddiff plot` prints that ends well."""
    assert command("plot", *arguments) == 0
    return capsys.readouterr().out
