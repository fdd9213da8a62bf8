"""How much memory of the GPUs this process uses, to give it back, and what to do where it is not enough."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from sam2_ros.errors import OutOfMemory, first_sentence

#: In the messages of torch and CUDA for memory that is not there.
_EXHAUSTED = ("out of memory", "alloc_failed", "not enough memory", "can't allocate memory")

T = TypeVar("T")


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


def fits(work: Callable[[], object]) -> bool:
    """Do some work; False where the device has no memory for it, and then memory that nothing uses is given back."""
    try:
        work()
    except RuntimeError as error:
        if not _is_exhausted(error):
            raise
    else:
        return True
    release()  # not before the error is gone, which holds what was computed so far
    return False


def with_room(work: Callable[[], T], purpose: str, give_way: Callable[[], object] = lambda: None) -> T:
    """What ``work`` returns; it is tried again after memory that nothing uses was given back.

    purpose: what the memory is for, in words.  give_way: gives back memory that ``work`` can do without.
    Raises OutOfMemory.
    """
    for _ in range(2):
        try:
            return work()
        except RuntimeError as error:
            if not _is_exhausted(error):
                raise
            reason = first_sentence(error)
        give_way()
        release()
    raise OutOfMemory(
        f"there is no memory for {purpose} ({reason}); remove objects, or use a smaller model or image_side", reason
    )


def _is_exhausted(error: RuntimeError) -> bool:
    words = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(one in words for one in _EXHAUSTED)
