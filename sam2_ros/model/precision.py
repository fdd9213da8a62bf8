"""The fast arithmetic of a device."""

from __future__ import annotations

import torch

#: The first GPUs that compute in bfloat16 (Ampere).
BFLOAT16_SINCE = (8, 0)


def precision(wanted: str, device: torch.device) -> torch.dtype:
    """The dtype of that name; "auto" is bfloat16 on a GPU that computes in it, float32 elsewhere.

    ``torch.cuda.is_bf16_supported`` would not do: older GPUs emulate it, and are slower than in float32.
    """
    if wanted != "auto":
        named: torch.dtype = getattr(torch, wanted)
        return named
    fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= BFLOAT16_SINCE
    return torch.bfloat16 if fast else torch.float32


def autocast(device: torch.device, wanted: str = "auto") -> torch.autocast:
    """The context in which a model on ``device`` computes in ``precision``."""
    dtype = precision(wanted, device)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
