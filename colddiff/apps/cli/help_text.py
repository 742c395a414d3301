"""How `--help` is written: plain types, options in one spelling."""

from __future__ import annotations

import re
from argparse import Action

from jsonargparse import DefaultHelpFormatter

# What the parser says of types and defaults, and what a person reads.
PLAIN = [
    (r"type: Literal\[.*?\](, )?", ""),  # the choices stand beside the option
    (r"type: bool(, )?", ""),
    (r"type: str \| dict", "type: name"),
    (r"type: tuple\[float, \.\.\.\]", "type: numbers"),
    (r"type: (\w+) \| null", r"type: \1"),
    (r",? ?default: null", ""),
    (r"default: True", "default: yes"),
    (r"default: False", "default: no"),
    (r" \(\)", ""),
]


class PlainHelp(DefaultHelpFormatter):
    """Help in which types are words and every option has one spelling, the one with dashes."""

    def _expand_help(self, action: Action) -> str:
        text = super()._expand_help(action)
        for pattern, plain in PLAIN:
            text = re.sub(pattern, plain, text)
        return text

    def _format_action_invocation(self, action: Action) -> str:
        spelled = action.option_strings
        action.option_strings = [name for name in spelled if "_" not in name] or spelled
        try:
            return super()._format_action_invocation(action)
        finally:
            action.option_strings = spelled
