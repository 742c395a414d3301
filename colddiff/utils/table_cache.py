"""Tables kept between calls, within a bound of memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

# Bytes of tables kept between calls, all operators together.
CACHE_BYTES = 256 * 2**20


_TABLES: dict[Hashable, dict[str, Tensor]] = {}
_TABLES_LOCK = threading.Lock()  # several threads of a server degrade at once


def cached_tables(key: Hashable, build: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """`build()`, remembered by key; the oldest tables leave when all together exceed CACHE_BYTES.

    A plain dictionary: Dynamo ignores functools' caches.
    """
    if torch.compiler.is_compiling():
        return build()
    tables = _TABLES.get(key)
    if tables is None:
        # Tables outlive the caller's inference mode, in which they would be unfit for gradients ever after.
        with torch.inference_mode(False):
            tables = build()
    with _TABLES_LOCK:
        _TABLES.pop(key, None)
        _TABLES[key] = tables  # newest last
        while len(_TABLES) > 1 and sum(_nbytes(t) for t in _TABLES.values()) > CACHE_BYTES:
            del _TABLES[next(iter(_TABLES))]
    return tables


def _nbytes(tables: dict[str, Tensor]) -> int:
    return sum(t.nbytes for t in tables.values())
