"""Which process of how many this is, and on which device."""

from __future__ import annotations

import torch


def pick_device(device: str) -> torch.device:
    """A device from its name; "auto" is a CUDA card where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return chosen
