"""Commands as users type them, in this process."""

from colddiff.apps.cli import main as cli


def command(*arguments: object) -> int:
    """The code that a command ends with."""
    return cli.main([str(argument) for argument in arguments])


def printed(capsys, *arguments: object) -> list[str]:
    """The lines that a command prints that ends well."""
    assert command(*arguments) == 0
    return capsys.readouterr().out.splitlines()
