"""Tensors in safetensors files, whole or not at all."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .files import check_plain, parsed, size_in_words, write_whole
from .memory import free_memory

# What a safetensors file calls the types that are read, and their bytes.
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
LARGEST_HEADER = 4 * 2**20  # bytes: some ten thousand tensors


def load_weights(net: nn.Module, file: Path) -> None:
    """Fill a module from a file; every name, shape and kind of number must fit, and parameters must be finite.

    A buffer may be infinite: a mask of attention is.
    """
    check_weights(net, file)
    found = _read(file)
    own = {name for name, _ in net.named_parameters(remove_duplicate=False)}
    _check_finite({name: tensor for name, tensor in found.items() if name in own}, file)
    net.load_state_dict(found)


def check_weights(net: nn.Module, file: Path) -> None:
    """Raise unless a file's header has the tensors of a module, which may be on "meta": nothing is allocated."""
    expected, found = net.state_dict(), read_header(file)
    wrong = [name for name in found | expected if not _fits(found.get(name), expected.get(name))]
    if wrong:
        name = wrong[0]
        told = (
            f"{name[:200]} is {_describe(found.get(name), 'missing')}, expected {_describe(expected.get(name), 'none')}"
        )
        raise ValueError(f"{len(wrong)} tensors in {str(file)!r} do not fit the network: {told}")


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        FileNotFoundError: no such file. ValueError: not such a file, one that is larger than the memory that is free,
            or numbers that are not finite.
    """
    found = _read(file)
    _check_finite(found, file)
    return found


def check_memory(file: Path, copies: int = 1) -> None:
    """Raise a ValueError where so many copies of a file are more than the memory that is free: holes cost no disk."""
    needed, free = copies * file.stat().st_size, free_memory()
    if needed > free:
        raise ValueError(
            f"{str(file)!r} takes {size_in_words(needed)} of memory, and {size_in_words(free)} is free: end other "
            "programs, or take a larger machine"
        )


def read_header(file: Path) -> dict[str, Tensor]:
    """What a safetensors file says it holds, as tensors on "meta"; all of it is checked, and none of it is allocated.

    Source: the format of the safetensors library: the length of the header in 8 bytes, JSON, the numbers.

    Raises:
        FileNotFoundError: no such file. ValueError: lengths, places or types that cannot be those of such a file.
    """
    check_plain(file)
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= size - 8:
            raise _unreadable(file, f"its header is said to have {length:,} bytes, the file has {size:,}")
        if length > LARGEST_HEADER:
            raise _unreadable(file, f"its header has {length:,} bytes, more than {LARGEST_HEADER:,}")
        entries = parsed(stream.read(length), file)
    if not isinstance(entries, dict):
        raise _unreadable(file, "its header names no tensors")
    entries.pop("__metadata__", None)
    found, places = {}, []
    for name, entry in entries.items():
        try:
            shape, (begin, end) = tuple(map(_count, entry["shape"])), map(_count, entry["data_offsets"])
            dtype = DTYPES[entry["dtype"]]
            if math.prod(shape) * dtype.itemsize != end - begin or end > size - 8 - length:
                raise ValueError
            found[name] = torch.empty(shape, dtype=dtype, device="meta")
        except (LookupError, TypeError, ValueError, RuntimeError):
            raise _unreadable(file, f"it cannot hold {name[:200]!r} as {repr(entry)[:200]}") from None
        places.append((begin, end))
    places.sort()
    if [0, *(end for _, end in places)] != [*(begin for begin, _ in places), size - 8 - length]:
        raise _unreadable(file, "its tensors overlap, or leave something between them")
    return found


def check_types(tensors: dict[str, Tensor]) -> None:
    """Raise for what would be written and could not be read again.

    Raises:
        TypeError: of such a type, or no tensor.
    """
    for name, value in tensors.items():
        if not isinstance(value, Tensor) or value.dtype not in DTYPES.values():
            kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(
                f"a run holds tensors of numbers, {name!r} is {kind}: keep it as real numbers, or out of the state "
                "(persistent=False)"
            )


def write_tensors(file: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file, whole or not at all.

    Raises:
        OSError: the disk is full, say. TypeError: see `check_types`.
    """
    check_types(tensors)
    # Copies, as safetensors refuses weights that are tied.
    plain = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}

    def write(part: Path) -> None:
        try:
            save_file(plain, part)
        except SafetensorError as error:  # its words for what the system said: "... (os error 28)"
            code = re.search(r"os error (\d+)", str(error))
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(file)) if code else error from None

    write_whole(file, write)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _read(file: Path) -> dict[str, Tensor]:
    read_header(file)
    check_memory(file)
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise _unreadable(file, str(error)) from None


def _check_finite(tensors: dict[str, Tensor], file: Path) -> None:
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{str(file)!r} holds numbers that are not finite, in {name[:200]}: it cannot be used")


def _unreadable(file: Path, why: str) -> ValueError:
    return ValueError(f"{str(file)!r} is not a readable safetensors file: {why}; copy it again, or train anew")


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError
    return value


def _fits(found: Tensor | None, expected: Tensor | None) -> bool:
    """Of one shape, and both fractions or both not."""
    if found is None or expected is None or found.shape != expected.shape:
        return False
    return found.is_floating_point() == expected.is_floating_point()


def _describe(tensor: Tensor | None, absent: str) -> str:
    return absent if tensor is None else f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
