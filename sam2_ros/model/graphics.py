"""The GPUs of this machine."""

from __future__ import annotations

import torch


def graphics() -> list[str]:
    """Name and memory of each GPU that torch sees."""
    found = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return [f"{one.name}, {one.total_memory / 2**30:.0f} GB" for one in found]
