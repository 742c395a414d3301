"""The command line: parse, build values, call one function."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import sys
import traceback
import typing
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NoReturn

import torch
import yaml
from jsonargparse import ActionYesNo, ArgumentParser, Namespace

from . import commands
from .interruption import Interrupted
from .registry import Configurable, field_types, suggestion
from .settings import TrainConfig
from .tiling import TILE

SWITCH = ActionYesNo(no_prefix="no-")
USER_ERRORS = (ValueError, TypeError, LookupError, OSError, ImportError, RuntimeError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 with one line on stderr when the user can mend it.

    The line may be a bug of ours all the same: with COLDDIFF_DEBUG set in the environment, its traceback comes first.
    """
    arguments, overrides = split_overrides(config_first(list(sys.argv[1:] if argv is None else argv)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)  # a line for the user, whatever -W says of bugs
            warnings.showwarning = _one_line_warning
            if not arguments:
                make_parser().print_help()
                return 2
            _run(arguments, overrides)
            sys.stdout.flush()
    except Interrupted as stop:
        return _say(str(stop), 128 + stop.signum)
    except KeyboardInterrupt:
        return _say("stopped", 128 + signal.SIGINT)
    except BrokenPipeError:  # `colddiff list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except USER_ERRORS as error:
        if os.environ.get("COLDDIFF_DEBUG"):
            traceback.print_exc()
        message = error.args[0] if isinstance(error, LookupError) and error.args else error
        return _say(_flat(message), 2)
    return 0


def leave(code: int) -> NoReturn:
    """End the process. Of several, each waits for the others, then skips what crashes in gloo at exit.

    Source: pytorch/pytorch#179291.
    """
    if not torch.distributed.is_initialized():
        sys.exit(code)
    if code == 0:
        torch.distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Parser(ArgumentParser):
    """A parser whose errors are one line with a suggestion."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        line = re.sub(
            r'^Parser key "([^"]+)": Expected a (?:<class \'(\w+)\'>|typing\.)', r"--\1: expected \2", _flat(message)
        )
        unknown = re.search(r"unrecognized arguments: (--[\w-]+)", line) or re.search(r"invalid choice: '(\w+)'", line)
        if unknown:
            known = [o for p in all_parsers(self) for a in p._actions for o in a.option_strings] + list(COMMANDS)
            line += suggestion(unknown[1], known)
        raise SystemExit(_say(line, 2))


def make_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(prog="colddiff", description="Any image degradation in, a restorer and a generator out.")
    parser.add_argument("--version", action="version", version=f"colddiff {version('colddiff')}")
    subcommands = parser.add_subcommands(dest="command")
    for name, command in COMMANDS.items():
        sub = Parser(description=command.help[0].upper() + command.help[1:] + ".")
        command.arguments(sub)
        subcommands.add_subcommand(name, sub, help=command.help)
    return parser


def all_parsers(parser: Parser) -> list[Parser]:
    """A parser and those of its commands."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action.choices, dict):
            found += [sub for sub in action.choices.values() if isinstance(sub, Parser)]
    return found


def config_first(argv: list[str]) -> list[str]:
    """The same arguments with `--config FILE` before the others: what is on the line overrides what is in the file."""
    for i, token in enumerate(argv[1:], start=1):
        if token == "--config" and i + 1 < len(argv):
            return [argv[0], *argv[i : i + 2], *argv[1:i], *argv[i + 2 :]]
        if token.startswith("--config="):
            return [argv[0], token, *argv[1:i], *argv[i + 1 :]]
    return argv


def split_overrides(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Take `--degradation.sigma_max 20` and its like out of the arguments: {"degradation": {"sigma_max": 20}}."""
    plain: list[str] = []
    overrides: dict[str, Any] = {}
    tokens = iter(argv)
    for token in tokens:
        token = "--print_config" if token == "--print-config" else token  # as all options are spelled
        match = re.fullmatch(r"--(degradation|restorer|prior)\.([\w.-]+)(?:=(.*))?", token, flags=re.DOTALL)
        if not match:
            plain.append(token)
            continue
        value = match[3] if match[3] is not None else next(tokens, None)
        if value is None:
            raise SystemExit(_say(f"{token} needs a value", 2))
        node = overrides.setdefault(match[1], {})
        *path, leaf = match[2].replace("-", "_").split(".")
        for key in path:
            inner = node.get(key)
            node[key] = inner if isinstance(inner, dict) else {} if inner is None else {"type": inner}
            node = node[key]
        parsed = _value(value)
        if isinstance(node.get(leaf), dict):
            node[leaf]["type"] = parsed
        else:
            node[leaf] = parsed
    return plain, overrides


def _value(text: str) -> Any:
    """A number, or what YAML makes of it; YAML alone takes 1e-3 for a word."""
    for kind in (int, float, yaml.safe_load):
        with contextlib.suppress(ValueError, yaml.YAMLError):
            return kind(text)
    return text


def _run(arguments: list[str], overrides: dict[str, Any]) -> None:
    """Parse, and run what was asked for."""
    printing = "--print_config" in arguments and overrides
    parsed = make_parser().parse_args([a for a in arguments if not (printing and a == "--print_config")])
    given = parsed[parsed.command]
    _merge(given, overrides)
    if printing:  # the parser has not seen the overrides
        print(yaml.safe_dump({k: v for k, v in vars(given).items() if k != "config"}, sort_keys=False), end="")
    else:
        COMMANDS[parsed.command].run(**_keywords(parsed.command, given))


def _merge(given: Namespace, overrides: dict[str, Any]) -> None:
    """Overrides into what the command line or the config file named."""
    for name, fields in overrides.items():
        if name not in given:
            raise TypeError(f"this command has no --{name}")
        base = given[name]
        if base is None:
            raise TypeError(f"--{name}.{next(iter(fields))} needs --{name} NAME beside it")
        given[name] = _deep_merge({"type": base} if isinstance(base, str) else dict(base), fields)


def _deep_merge(base: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in fields.items():
        before = merged.get(key)
        if isinstance(value, dict) and "type" not in value and isinstance(before, dict | str):
            value = _deep_merge({"type": before} if isinstance(before, str) else before, value)
        merged[key] = value
    return merged


def _keywords(command: str, given: Namespace) -> dict[str, Any]:
    values = {k: v for k, v in vars(given).items() if k not in ("config", "print_config")}
    if command != "train":
        return values
    resume = values.pop("resume")
    missing = [name for name in ("degradation", "out") if values[name] is None]
    if missing:
        raise TypeError(f"train needs {' and '.join('--' + name for name in missing)}")
    return {"config": TrainConfig(**values), "resume": resume}


# --- the arguments of each command -----------------------------------------------------------------------------------


def _list_arguments(p: Parser) -> None:
    p.add_argument("--json", action=SWITCH, default=False, help="as JSON")


def _degrade_arguments(p: Parser) -> None:
    p.add_argument("image", type=str, help="a picture")
    p.add_argument(
        "--degradation", type=str | dict, required=True, help="name; its fields as --degradation.FIELD VALUE"
    )
    p.add_argument("--out", type=str, default="strip.png", help="strip; an animation if it ends in .gif")
    p.add_argument("--steps", type=int, default=8, help="pictures from t = 0 to t = 1")
    _image_size(p, "side to which the picture is resized and cropped; its own size if left out")
    _device_and_seed(p)


def _train_arguments(p: Parser) -> None:
    p.add_argument("data", type=str, help="digits, photos, a folder of images, a parquet or array file")
    p.add_argument("--config", action="config", help="a YAML file with any of these settings")
    texts = argument_texts(TrainConfig)
    for field in dataclasses.fields(TrainConfig):
        if field.name == "data":
            continue
        default = None if field.default is dataclasses.MISSING else field.default
        annotation = field_types(TrainConfig)[field.name]
        names = dict.fromkeys([f"--{field.name.replace('_', '-')}", f"--{field.name}"])
        if annotation is bool:
            p.add_argument(*names, action=SWITCH, default=default, help=texts[field.name])
        else:
            p.add_argument(*names, type=_plain(annotation), default=default, help=texts[field.name])
    p.add_argument("--resume", action=SWITCH, default=False, help="go on from the last checkpoint")


def _restore_arguments(p: Parser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote, or digits")
    p.add_argument("images", type=str, nargs="+", help="pictures or folders of pictures")
    p.add_argument("--out", type=str, required=True, help="folder for the restored pictures")
    p.add_argument("--start", type=float, default=1.0, help="how damaged the pictures are, in (0, 1]")
    p.add_argument("--sampler", type=str, default=None, help="see `colddiff list`; what suits the run if left out")
    p.add_argument(
        "--steps", type=int | None, default=None, help="restorer calls; 20, or as many as there are levels, if left out"
    )
    p.add_argument("--mask", type=str, default=None, help="picture that is white where something is missing")
    p.add_argument(
        "--reference", type=str, default=None, help="the clean picture, or a folder of them by name: measure"
    )
    p.add_argument("--degrade", action=SWITCH, default=False, help="the pictures are clean: damage them first")
    p.add_argument("--beside", action=SWITCH, default=False, help="damaged and restored side by side in one picture")
    p.add_argument("--overwrite", action=SWITCH, default=False, help="replace pictures that are in the way in --out")
    p.add_argument(
        "--framed", action=SWITCH, default=False, help="resize and crop as the pictures of the training were"
    )
    _image_size(p, "side to which pictures are resized and cropped; their own size if left out")
    p.add_argument(
        "--tile", type=int, default=TILE, help="pixels per side that the network sees at once; bounds memory"
    )
    _speed(p)
    _device_and_seed(p)


def _sample_arguments(p: Parser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote, or digits")
    p.add_argument("-n", "--number", type=int, default=16, help="how many images")
    p.add_argument("--out", type=str, default="grid.png", help="picture of all of them")
    p.add_argument("--sampler", type=str, default=None, help="see `colddiff list`; what suits the run if left out")
    p.add_argument("--steps", type=int, default=50, help="restorer calls")
    _speed(p)
    _device_and_seed(p)


def _eval_arguments(p: Parser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote")
    p.add_argument("data", type=str, help="digits, photos, a folder of images, a parquet or array file")
    p.add_argument("--split", type=str, default="test", help="of the data: test, train or all")
    p.add_argument(
        "--damaged", type=str, default=None, help="the same pictures damaged, for a run that was trained on pairs"
    )
    p.add_argument("--start", type=str, default=".25,.5,.75,1", help="start severities in (0, 1]")
    p.add_argument("--steps", type=str, default="5,20", help="numbers of steps")
    p.add_argument("--images", type=str, default="500", help="how many, from the first; `all` for all")
    p.add_argument(
        "--input", type=typing.Literal["8bit", "float32"], default="8bit", help="precision of what is restored"
    )
    p.add_argument(
        "--perception", type=typing.Literal["auto", "none", "classifier", "inception", "lpips"], default="auto",
        help="what tells how real pictures look: FID and KID by features of a small classifier, which is trained on "
        "the training data once and kept with the run, or of Inception; or LPIPS",
    )  # fmt: skip
    p.add_argument("--generate", type=int, default=0, help="how many images to generate and compare with training ones")
    p.add_argument("--training", type=str, default=None, help="the training data; where the run says, if left out")
    p.add_argument("--json", type=str, default=None, help="write the report there as JSON")
    p.add_argument(
        "--out", type=str, default=None,
        help="folder of report.md, .json and .png; RUN/report, or ./report for digits, if left out",
    )  # fmt: skip
    p.add_argument("--batch-size", "--batch_size", type=int, default=128, help="images at a time")
    _speed(p)
    _device_and_seed(p)


def _inspect_arguments(p: Parser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote")


def _demo_arguments(p: Parser) -> None:
    p.add_argument("--out", type=str, default="demo", help="folder for the run and the pictures")
    p.add_argument("--minutes", type=float, default=1.0, help="of training")
    _device_and_seed(p)


def _image_size(p: Parser, text: str) -> None:
    p.add_argument("--image-size", "--image_size", type=int, default=None, help=text)


def _speed(p: Parser) -> None:
    p.add_argument(
        "--precision", type=typing.Literal["auto", "fp32", "bf16"], default="auto",
        help="of the network: as it was trained, where the hardware has it, if left out",
    )  # fmt: skip
    p.add_argument("--compile", action=SWITCH, default=False, help="compile the network first: pays on long work")


def _device_and_seed(p: Parser) -> None:
    p.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda")
    p.add_argument("--seed", type=int, default=0, help="of everything random")


@dataclasses.dataclass(frozen=True)
class Command:
    """A command: its line of help, what declares its arguments, what runs it."""

    help: str
    arguments: Callable[[Parser], None]
    run: Callable[..., None]


COMMANDS = {
    "list": Command("operators, schedules, samplers and data sets", _list_arguments, commands.list_names),
    "degrade": Command(
        "a picture at rising severities, as a strip or animation", _degrade_arguments, commands.degrade_picture
    ),
    "train": Command("train a restorer", _train_arguments, commands.train_restorer),
    "restore": Command("restore damaged pictures with a run", _restore_arguments, commands.restore_pictures),
    "sample": Command("generate new images with a run", _sample_arguments, commands.sample_images),
    "eval": Command("measure a run on images", _eval_arguments, commands.evaluate_run),
    "inspect": Command("what a run is and how its training went", _inspect_arguments, commands.inspect_run),
    "demo": Command("train on digits for a minute, measure, and draw every stage", _demo_arguments, commands.run_demo),
}


def argument_texts(cls: type) -> dict[str, str]:
    """What the `Args:` of a docstring say of each name."""
    section = (cls.__doc__ or "").partition("Args:")[2]
    found: dict[str, str] = {}
    for names, text in re.findall(r"^ {8}(\w[\w, ]*): (.*?)(?=^ {8}\w|\Z)", section, flags=re.MULTILINE | re.DOTALL):
        found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found | {f.name: found.get(f.name, "") for f in dataclasses.fields(cls)}


def _plain(annotation: Any) -> Any:
    """The type that the parser knows: configurable values arrive as a name or a mapping, the rest as it is."""
    options = [a for a in typing.get_args(annotation) or (annotation,) if a is not type(None)]
    if isinstance(options[0], type) and issubclass(options[0], Configurable):
        return str | dict
    return options[0] if len(options) == 1 else annotation


def _one_line_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"colddiff: warning: {_flat(message)}", file=sys.stderr)


def _flat(message: object) -> str:
    return " ".join(str(message).split())


def _say(line: str, code: int) -> int:
    print(f"colddiff: {line}", file=sys.stderr)
    return code
