"""What the parser says of a command line that it cannot take, in the words of who typed it."""

from __future__ import annotations

import ast
import re

from jsonargparse import ArgumentParser

from ...utils.config import suggestion

MISSING = "the following arguments are required: "


def explained(parser: ArgumentParser, line: str) -> str:
    """An error of the parser on one line: options as they are typed, choices in words, the nearest known name."""
    if line.startswith(MISSING):
        return _needed(parser, line.removeprefix(MISSING).split(", "))
    choice = re.match(r'Parser key "([^"]+)": Expected a typing\.Literal(\[.+?\])\. Got value: (.*)', line)
    if choice:
        *others, last = ast.literal_eval(choice[2])
        return f"{_option(choice[1])} must be {', '.join(others)} or {last}, got '{choice[3]}'"
    # An option that may be left out says so at length.
    either = re.match(r'Parser key "([^"]+)": Does not validate .*? a <class \'(\w+)\'>.* Given value: (.*)', line)
    if either:
        return f"{_option(either[1])}: expected {either[2]}, got {either[3]}"
    kind = re.match(r'Parser key "([^"]+)": Expected a (?:<class \'(\w+)\'>|typing\.)(.*)', line)
    if kind:
        return f"{_option(kind[1])}: expected {kind[2] or ''}{kind[3]}"
    unknown = re.search(r"unrecognized arguments: (--[\w-]+)", line) or re.search(r"invalid choice: '(\w+)'", line)
    if unknown:
        known = [o for p in all_parsers(parser) for a in p._actions for o in (*a.option_strings, *(a.choices or ()))]
        line += suggestion(unknown[1], known)
    return line


def all_parsers(parser: ArgumentParser) -> list[ArgumentParser]:
    """A parser and those of its commands, and of their kinds."""
    return [parser, *(p for sub in _below(parser).values() for p in all_parsers(sub))]


def _below(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    """The parsers of a parser's commands, or of a command's kinds."""
    inner = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
    return {name: sub for choices in inner for name, sub in choices.items() if isinstance(sub, ArgumentParser)}


def _needed(parser: ArgumentParser, keys: list[str]) -> str:
    """What a command lacks, of keys like plot.frequencies.degradation."""
    *path, _ = keys[0].split(".")
    for name in path:
        parser = _below(parser)[name]
    called = {a.dest: _option(a.dest) if a.option_strings else a.dest.upper() for a in parser._actions}
    names = [called[key.rpartition(".")[2]] for key in keys]
    told = ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]
    command = " ".join(path)
    return f"{command} needs {told}: see colddiff {command} --help"


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")
