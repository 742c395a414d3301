"""Which process of how many this is, on which device, and what they share."""

from __future__ import annotations

import os
import pickle
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")
AGREE_EVERY = 2.0  # seconds after which several processes ask each other about signals, which waits for the device


def pick_device(device: str) -> torch.device:
    """A device from its name; "auto" is a CUDA card where there is one, under torchrun the one of this process."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}; give auto or cpu") from None
    return chosen


def join(device: str) -> Any:
    """An accelerate engine on that device, which makes this one of torchrun's processes where there are some.

    Raises:
        ValueError: accelerate has no such device. RuntimeError: it does not see torchrun's processes.
    """
    from accelerate import Accelerator  # a second to import
    from accelerate.utils import GradientAccumulationPlugin

    where = pick_device(device)
    if where.type == "cuda" and where.index is not None:
        torch.cuda.set_device(where)
    accelerator = Accelerator(
        cpu=where.type == "cpu", mixed_precision="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # the loop does both, whoever set others
    )  # fmt: skip
    if accelerator.device.type != where.type:
        raise ValueError(f"cannot work on device {device!r}: accelerate offers {accelerator.device.type!r} here")
    # Under torchrun without a GPU a plain Accelerator silently gives every process a world of its own.
    if int(os.environ.get("WORLD_SIZE", "1")) != accelerator.num_processes:
        raise RuntimeError(
            f"torchrun started {os.environ['WORLD_SIZE']} processes, accelerate sees {accelerator.num_processes}: "
            "unset the ACCELERATE_ variables of the environment, or leave out torchrun"
        )
    return accelerator


def rank_and_world() -> tuple[int, int]:
    """(rank, number) of this process; (0, 1) where it is alone."""
    if not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def is_first() -> bool:
    """Whether this is the process that writes files and talks."""
    return rank_and_world()[0] == 0


def warn_main(message: str) -> None:
    """Warn the user, once for all processes."""
    if is_first():
        warnings.warn(message, stacklevel=3)


def all_reduce(value: int, choose: Callable[[list[int]], int]) -> int:
    """One number for all processes, chosen from those that each has."""
    return choose(_from_all(value))


def map_over_processes(work: Callable[[int], T], number: int) -> list[T]:
    """work(0), work(1), ... work(number - 1), each done by one of the processes; all of them get all, in order."""
    rank, world = rank_and_world()
    mine = {i: work(i) for i in range(rank, number, world)}
    everyones = {i: result for part in _from_all(mine) for i, result in part.items()}
    return [everyones[i] for i in range(number)]


def main_process_first(work: Callable[[], T]) -> T:
    """What the first process made of some work, then the others, who find the files that it left.

    Raises:
        What the work of the first raised, in all of them.
    """
    made, error = None, None
    if is_first():
        try:
            made = work()
        except Exception as caught:
            error = _portable(caught)
    for raised in _from_all(error):
        if raised is not None:
            raise raised
    return work() if made is None else made


def on_main_process(work: Callable[[Callable[[], int]], None], signalled: Callable[[], int]) -> int:
    """Let the first process do some work by itself; what signal has come to any of them by its end, or 0.

    They ask each other every few seconds, so that nobody waits in a collective until it runs out.

    Args:
        work: is given what tells the signal that has come to any process by now, to be asked now and then.
        signalled: the signal that has come to this process, or 0.
    """
    rank, world = rank_and_world()
    asked, found, busy = time.monotonic(), 0, 1

    def told(working: bool = True) -> int:
        nonlocal asked, found, busy
        if world == 1:
            found = signalled()
        elif not working or rank > 0 or time.monotonic() - asked >= AGREE_EVERY:
            busy, found = all_reduce(int(working and rank == 0), max), all_reduce(signalled(), max)
            asked = time.monotonic()
        return found

    if rank == 0:
        work(told)
        told(working=False)
    while rank > 0 and busy:
        told()
    return found


def _portable(error: Exception) -> Exception:
    """An error that can be sent to other processes."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def broadcast_weights(net: nn.Module) -> None:
    """Give every process the weights that the first has."""
    if rank_and_world()[1] > 1:
        for tensor in net.state_dict().values():
            torch.distributed.broadcast(tensor, 0)


def _from_all(value: Any) -> list[Any]:
    """What every process has; they trust each other."""
    _, world = rank_and_world()
    if world == 1:
        return [value]
    found: list[Any] = [None] * world
    torch.distributed.all_gather_object(found, value)
    return found
