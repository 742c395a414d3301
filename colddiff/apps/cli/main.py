"""The command line: parse, build values, call one function."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from ...utils.config import suggestion, trusting_plugins
from ...utils.signals import Interrupted, terminable
from ...utils.text import escape_control
from .command import Command, verbosity
from .command_table import COMMANDS
from .errors import all_parsers, explained
from .help_text import PlainHelp
from .index import read
from .log_lines import logged
from .names import check_names
from .overrides import config_first, merge, split_overrides

USER_ERRORS = (
    ValueError, TypeError, LookupError, OSError, ImportError, RuntimeError, OverflowError
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 with one line on stderr when the user can mend it.

    The line may be a bug of ours all the same: with COLDDIFF_DEBUG set in the environment, its traceback comes first.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments, overrides = split_overrides(config_first(arguments))
        with warnings.catch_warnings(), _printing_any_name(), terminable():
            warnings.simplefilter("default", UserWarning)  # a line for the user, whatever -W says of bugs
            warnings.showwarning = _one_line_warning
            if not arguments:
                make_parser().print_help()
                return _say("expected a command", 2)
            _run(arguments, overrides)
            if sys.stdout is not None:  # it was closed
                sys.stdout.flush()
    except Interrupted as stop:
        cure = "go on with --resume" if arguments[0] == "train" else "the same command goes on"
        return _say(f"{stop}, {cure}", 128 + stop.signum)
    except KeyboardInterrupt as stop:  # its argument says which signal it was
        code = _say("stopped", 128 + (stop.args[0] if stop.args else signal.SIGINT))
        if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
            os._exit(code)  # Python would wait for what they read
        return code
    except BrokenPipeError:  # `colddiff list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except USER_ERRORS as error:
        if os.environ.get("COLDDIFF_DEBUG"):
            traceback.print_exc()
        message = error.args[0] if isinstance(error, LookupError) and error.args else error
        return _say(_flat(message) or type(error).__name__, 2)
    except MemoryError:
        return _say("there is not enough memory for this: give smaller images, or fewer", 2)
    return 0


def leave(code: int) -> NoReturn:
    """End the process. Of several, each waits for the others, then skips what crashes in gloo at exit.

    Source: pytorch/pytorch#179291.
    """
    torch = sys.modules.get("torch")  # where nothing was computed it was not loaded
    if torch is None or not torch.distributed.is_initialized():
        sys.exit(code)
    if code == 0:
        torch.distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Parser(ArgumentParser):
    """A parser whose errors are one line that says what to do."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=PlainHelp, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise SystemExit(_say(explained(self, _flat(message)), 2))


def make_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(prog="colddiff", description="Any image degradation in, a restorer and a generator out.")
    parser.add_argument("--version", action="version", version=f"colddiff {version('colddiff')}")
    _add_commands(parser, "command", COMMANDS)
    return parser


def _add_commands(parser: Parser, dest: str, commands: Mapping[str, Command]) -> None:
    subcommands = parser.add_subcommands(dest=dest)
    for name, command in commands.items():
        sub = Parser(description=command.help[0].upper() + command.help[1:] + ".")
        command.add_arguments(sub)
        if command.file:
            verbosity(sub)
        subcommands.add_subcommand(name, sub, help=command.help)
        if command.kinds:
            _add_commands(sub, "kind", command.kinds)


def _run(arguments: list[str], overrides: dict[str, Any]) -> None:
    """Parse, and run what was asked for."""
    printing = "--print_config" in arguments and overrides
    parser = make_parser()
    _take_preset(parser, arguments)
    parsed = parser.parse_args([a for a in arguments if not (printing and a == "--print_config")])
    command, given = COMMANDS[parsed.command], parsed[parsed.command]
    if command.kinds:
        command, given = command.kinds[given.kind], given[given.kind]
    for name, value in vars(given).items():
        if value == "" or value == [] or (isinstance(value, list) and "" in value):
            raise ValueError(f"{name} is empty: give a value, or leave it out")
    if parsed.command == "train":
        _check_preset(given, arguments)
    merge(given, overrides)
    check_names(given)
    if printing:  # the parser has not seen the overrides
        import yaml

        print(yaml.safe_dump({k: v for k, v in vars(given).items() if k != "config"}, sort_keys=False), end="")
        return
    keywords = _keywords(parsed.command, given)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from ...utils.distributed import join

        if not command.split:
            raise ValueError(f"{parsed.command} is done by one process: start it without torchrun")
        join(given.device)
    quiet, verbose = keywords.pop("quiet"), keywords.pop("verbose")
    with trusting_plugins(keywords.pop("trust_plugins", False)), logged(quiet, verbose):
        command.run(**keywords)


def _take_preset(parser: Parser, arguments: list[str]) -> None:
    """The settings of `--preset NAME` as defaults of `train`: what is on the line, or in a file, overrides them."""
    names = [b if a == "--preset" else a.partition("=")[2] for a, b in zip(arguments, [*arguments[1:], ""], strict=True)
             if a == "--preset" or a.startswith("--preset=")]  # fmt: skip
    if arguments[:1] != ["train"] or not names:
        return
    fields = _preset_fields(names[-1])
    for sub in all_parsers(parser):
        if any("--grad-accumulation" in action.option_strings for action in sub._actions):  # train
            sub.set_defaults(fields)


def _preset_fields(name: str) -> dict[str, Any]:
    """The settings of an experiment of the paper.

    Raises:
        LookupError: no such experiment.
    """
    members = read()["presets"]["members"]
    if name not in members:
        raise LookupError(f"no preset is named {name!r}{suggestion(name, members)}; known: {', '.join(members)}")
    fields: dict[str, Any] = members[name]["fields"]
    return fields


def _check_preset(given: Namespace, arguments: list[str]) -> None:
    """Raise for a preset in a file, where it comes too late; minutes there replace its steps."""
    on_line = any(a == "--preset" or a.startswith("--preset=") for a in arguments)
    if given.preset is not None and not on_line:
        raise TypeError("a preset is given on the command line, not in a file: add --preset " + given.preset)
    if on_line and given.minutes is not None and given.steps == _preset_fields(given.preset)["steps"]:
        given.steps = None


def _keywords(command: str, given: Namespace) -> dict[str, Any]:
    values = {k: v for k, v in vars(given).items() if k not in ("config", "print_config")}
    if command != "train":
        return values
    needed = {"degradation": "--degradation (gaussian_blur, say: `colddiff list` has all)", "out": "--out"}
    missing = [told for name, told in needed.items() if values[name] is None]
    if missing:
        raise TypeError(f"train needs {' and '.join(missing)}")
    from ...training.config import TrainConfig

    own = {name: values.pop(name) for name in ("resume", "quiet", "verbose")}
    del values["preset"]
    return {"config": TrainConfig(**values)} | own


# --- helpers ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _printing_any_name() -> Iterator[None]:
    """What stdout cannot write, like a file name's bytes that are no UTF-8, is escaped, as it is on stderr."""
    stdout, before = sys.stdout, getattr(sys.stdout, "errors", None)
    if not isinstance(stdout, io.TextIOWrapper):
        yield
        return
    stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stdout.reconfigure(errors=before)


def _one_line_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"colddiff: warning: {_flat(message)}", file=sys.stderr)


def _flat(message: object) -> str:
    """On one line, without the control characters of files that others wrote."""
    return escape_control(" ".join(str(message).split()))


def _say(line: str, code: int) -> int:
    print(f"colddiff: {line}", file=sys.stderr)
    return code
