"""Tensors in safetensors files, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .files import write_whole


def load_weights(net: nn.Module, file: Path) -> None:
    """Fill a module from a file; every name and shape must fit."""
    found = read_tensors(file)
    shapes, expected = ({name: tuple(t.shape) for name, t in s.items()} for s in (found, net.state_dict()))
    wrong = [name for name in shapes | expected if shapes.get(name) != expected.get(name)]
    if wrong:
        first = f"{wrong[0]} is {shapes.get(wrong[0], 'missing')}, expected {expected.get(wrong[0], 'none')}"
        raise ValueError(f"{len(wrong)} tensors in {str(file)!r} do not fit the network: {first}")
    net.load_state_dict(found)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU."""
    try:
        return load_file(file)
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {str(file)!r}") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{str(file)!r} is not a readable safetensors file: {error}") from None


def write_tensors(file: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file, whole or not at all."""
    # Copies, as safetensors refuses weights that are tied.
    plain = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    write_whole(file, lambda part: save_file(plain, part))
