"""Nested settings on the command line, `--degradation.sigma_max 20`, and files of settings that the line overrides."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import yaml
from jsonargparse import Namespace


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
            raise ValueError(f"{token} needs a value")
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


def merge(given: Namespace, overrides: dict[str, Any]) -> None:
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
