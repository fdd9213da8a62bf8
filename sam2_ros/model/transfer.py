"""What goes between the memory of the processor and that of a GPU, so that neither waits longer than it must."""

from __future__ import annotations

import functools
import logging

import torch
from torch import Tensor

from sam2_ros.errors import first_sentence

logger = logging.getLogger(__name__)


def upload(values: Tensor, device: torch.device | str) -> Tensor:
    """A tensor of the processor on ``device``; the processor does not wait until a GPU has taken it."""
    device = torch.device(device)
    if device.type != "cuda" or not _can_pin():
        return values.to(device)
    # torch uses pinned memory again only after the GPU has read it.
    return values.pin_memory().to(device, non_blocking=True)


class Download:
    """A tensor on its way to the processor; what is computed on the GPU from now on is not waited for."""

    def __init__(self, tensor: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if tensor.device.type == "cuda" and _can_pin():
            self._values = tensor.to("cpu", non_blocking=True)  # into pinned memory
            self._event = torch.cuda.current_stream(tensor.device).record_event()
        else:
            self._values = tensor.cpu()

    def values(self) -> Tensor:
        """The tensor on the processor, when it has arrived."""
        if self._event is not None:
            self._event.synchronize()
        return self._values


@functools.cache
def _can_pin() -> bool:
    """Whether this process may have memory that a GPU reads by itself; a container may forbid it."""
    try:
        torch.zeros(1, device="cpu").pin_memory()
    except RuntimeError as error:
        logger.warning("no pinned memory (%s); copies from and to the GPU are slower", first_sentence(error))
        return False
    return True
