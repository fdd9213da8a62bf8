"""How much memory of the GPUs this process uses, and to give it back."""

from __future__ import annotations

import gc

import torch


def gpu_memory() -> dict[str, tuple[int, int]]:
    """Bytes in tensors and bytes reserved for them, by device; empty while no GPU is used."""
    if not torch.cuda.is_available():
        return {}
    found = {
        f"cuda:{number}": (torch.cuda.memory_allocated(number), torch.cuda.memory_reserved(number))
        for number in range(torch.cuda.device_count())
    }
    return {name: (used, reserved) for name, (used, reserved) in found.items() if reserved}


def release() -> None:
    """Give back what belonged to a model that nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
