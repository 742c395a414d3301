"""Files spoiled at random: JSON and safetensors, by their structure and by their bytes."""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Iterator
from typing import Any

from colddiff.utils.config import field_types, registered

NUMBERS = [
    0, 1, -1, 2, 3, 7, 64, 65, 1024, 10**5, 10**8, 2**31, 2**60, 2**63, 10**30, 10**400, 0.5, -0.5, 1e-300, 1e300, 1e308
]  # fmt: skip
WORDS = [
    "", "x", "../../../etc/passwd", "/dev/zero", "os.system", "trap", "\x00", "\ud800", "é" * 50, "A" * 10**5, "config",
    "digits", "owner/name", "1e999", "null", "{}", "\n\n",
]  # fmt: skip
TEXTS = [
    "NaN", "Infinity", "-Infinity", "1e999", "1" * 5000, "[" * 900, '{"a":' * 300, "tru", "", "\\", "\x00", "\u2028"
]  # fmt: skip
FAMILIES = ["degradations", "priors", "schedules", "restorers", "noise_schedules", "sigma_schedules"]


def mutated(name: str, content: bytes, rng: random.Random) -> bytes:
    """The content of a file, JSON or safetensors by its name, with one to four changes of structure or bytes."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        by_structure = rng.random() < 0.75
        if by_structure and name.endswith(".json"):
            content = of_json(content, rng)
        elif by_structure:
            content = of_tensors(content, rng)
        else:
            content = of_bytes(content, rng)
    return content


def of_json(content: bytes, rng: random.Random) -> bytes:
    """One value replaced, deleted, doubled, nested, or put elsewhere; or a piece of text that is no JSON at all."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return of_bytes(content, rng)
    holders = list(_holders(value))
    if not holders:
        return content
    holder, key = rng.choice(holders)
    kind = rng.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        other, place = rng.choice(holders)
        holder[key] = copy.deepcopy(other[place])
    elif kind == 2:
        depth, wrapped = rng.choice((1, 3, 40, 200)), holder[key]
        for _ in range(depth):
            wrapped = rng.choice(([wrapped], {"type": "compose", "parts": [wrapped]}, {"a": wrapped}))
        holder[key] = wrapped
    elif kind == 3:
        holder[key] = [holder[key]] * rng.choice((0, 2, 65, 3000))
    elif kind == 4:
        group = rng.choice(FAMILIES)
        name = rng.choice([*registered("colddiff." + group), "trap"])
        known = registered("colddiff." + group).get(name)
        holder[key] = {"type": name}
        if known is not None and rng.random() < 0.8:
            options = list(field_types(known))
            holder[key] |= {option: _value(rng) for option in rng.sample(options, rng.randrange(len(options) + 1))}
    else:
        holder[key] = _value(rng)
    text = json.dumps(value)
    if kind == 7 and rng.random() < 0.5:  # the same key twice, or a text that is no value
        marker = json.dumps(holder[key])
        text = (
            text.replace(marker, rng.choice(TEXTS), 1)
            if rng.random() < 0.5
            else text.replace("{", '{"type": 1, "type": 2, ', 1)
        )
    return text.encode(errors="surrogatepass")


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _holders(value[key])


def _value(rng: random.Random) -> Any:
    return rng.choice([
        rng.choice(NUMBERS), rng.choice(NUMBERS), rng.choice(NUMBERS), rng.choice(WORDS), rng.choice(WORDS), None, True,
        False, [], {}, [rng.choice(NUMBERS) for _ in range(rng.choice((1, 2, 3, 3000)))], {"type": rng.choice(WORDS)},
    ])  # fmt: skip


def of_tensors(content: bytes, rng: random.Random) -> bytes:
    """A change of a safetensors header, of the length of it, or of the numbers."""
    length = int.from_bytes(content[:8], "little")
    header, rest = content[8 : 8 + length], content[8 + length :]
    kind = rng.randrange(6)
    if kind == 0:
        length = rng.choice([0, 1, 2, length - 1, length + 1, len(content), 2**31, 2**60, 2**64 - 1])
        return (length % 2**64).to_bytes(8, "little") + content[8:]
    if kind == 1:  # numbers: not finite, huge, denormal
        place = rng.randrange(max(1, len(rest) // 4)) * 4
        bits = rng.choice([b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\xff\xff\x7f\x7f", b"\x01\x00\x00\x00"])
        return content[:8] + header + rest[:place] + bits + rest[place + 4 :]
    if kind == 2:
        rest = rest[: rng.randrange(len(rest) + 1)] + bytes(rng.choice((0, 0, 8, 5000)))
    else:
        header = of_json(header, rng)
        if rng.random() < 0.3:
            words = [(b"F32", b"F64"), (b"F32", b"I64"), (b"F32", b"BOOL"), (b"F32", b"F16"), (b"F32", b"F8_E4M3")]
            header = header.replace(*rng.choice(words))
    return len(header).to_bytes(8, "little") + header + rest


def of_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bits turned, bytes cut, doubled, put in; or another kind of file altogether."""
    place = rng.randrange(len(content) + 1)
    length = rng.choice((1, 4, 64, 1000))
    return rng.choice([
        lambda: content[:place],
        lambda: content[:place] + content[place + length :],
        lambda: content[:place] + rng.randbytes(length) + content[place:],
        lambda: content[:place] + rng.randbytes(length) + content[place + length :],
        lambda: content[:place] + content[max(0, place - length) : place] + content[place:],
        lambda: bytes(b ^ (1 << rng.randrange(8)) if i == place else b for i, b in enumerate(content)),
        lambda: pickle.dumps(Bomb()),
        lambda: b"",
        lambda: b"PK\x03\x04" + content,
    ])()  # fmt: skip


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("a pickle was executed",)
