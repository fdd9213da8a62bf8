"""PyTorch on a CPU in a lower precision, where the processor has instructions for it and a trial finds it right."""

from __future__ import annotations

import logging
from functools import partial

import torch

from sam2_ros.cpu_threads import on_passing_thread
from sam2_ros.engines.trial import BOUNDS, deviations
from sam2_ros.errors import first_sentence
from sam2_ros.model.interface import Model
from sam2_ros.model.precision import InPrecision, precision
from sam2_ros.model.sizes import EMBEDDED, EMBEDDED_LITE

logger = logging.getLogger(__name__)

#: Models that "auto" leaves in float32: most of their time goes into small layers, which gain little or are not
#: lowered.  This is a rule and not a timing, so that a robot that is busy when the node starts finds the same masks
#: as ever, and a large model does not start later by many images.
NOT_WORTH_IT = frozenset({EMBEDDED.name, EMBEDDED_LITE.name})
#: What torch calls the instructions for products in bfloat16: AVX-512 BF16 and AMX.
INSTRUCTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16; no where torch is too old to say."""
    return any(getattr(torch.cpu, name, lambda: False)() for name in INSTRUCTIONS)


def tried(wanted: str, device: torch.device, size_name: str) -> torch.dtype:
    """The precision of that name, or what "auto" stands for: what is used for a model of this size if it is right."""
    if wanted == "auto" and device.type == "cpu":
        return torch.bfloat16 if has_bfloat16() and size_name not in NOT_WORTH_IT else torch.float32
    return precision(wanted, device)


def prepare(model: Model, wanted: str) -> Model:
    """A model in the precision of that name.  On a CPU it is tried first; if it is wrong, float32 is used.

    On another device, and in float32, this is the model itself: its tracker computes it in what the setting says.
    """
    if model.device.type != "cpu":
        return model
    dtype = tried(wanted, model.device, model.size.name)
    if dtype == torch.float32:
        return model
    if dtype == torch.bfloat16 and not has_bfloat16():
        logger.warning("bfloat16 was chosen, but this processor has no instructions for it; float32 is much faster")
    lowered, name = InPrecision(model, dtype), str(dtype).removeprefix("torch.")
    try:
        wrong = on_passing_thread(partial(deviations, model, lowered, BOUNDS["bfloat16"]))
    except RuntimeError as error:  # an operation that torch has not in this precision
        wrong = [first_sentence(error)]
    if not wrong:
        return lowered
    logger.warning("PyTorch is wrong in %s on this processor: %s; float32 is used", name, ", ".join(wrong))
    return InPrecision(model, torch.float32)
