"""One step of the model, for any number of objects: look with their memories, answer, encode the new memory.

The tracker uses it on a live stream and the training on clips, with gradients, so both do the same.  There are no
object names, streams or settings here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sam2_ros.model.interface import (
    PROMPT_LOGIT_BOUND,
    Candidates,
    Found,
    ImageFeatures,
    Memories,
    Model,
    PromptInputs,
)
from sam2_ros.model.transfer import upload
from sam2_ros.tracking.memory import Past

#: A prompt of at most this many points is ambiguous: three masks compete by their predicted IoU.
#: A box, which is two points, or a second click settles which one is meant.
AMBIGUOUS_POINTS = 1


def look(model: Model, features: ImageFeatures, pasts: Sequence[Past[Tensor, Tensor]]) -> Tensor:
    """The image as objects see it that have these ``pasts``, equally long: (N, C, h, w).

    No pasts: the first frame of an object, which is seen without memory; (B, C, h, w).
    """
    return model.attend(features, _stacked(pasts, features.stride16.device) if pasts else None)


def prompt_inputs(points: Tensor, labels: Tensor, previous: Tensor | None) -> PromptInputs:
    """Points (N, K, 2) and labels (N, K), on top of the ``previous`` logits (N, 1, a, a) if there are any."""
    if previous is not None:
        previous = previous.clamp(-PROMPT_LOGIT_BOUND, PROMPT_LOGIT_BOUND)
    return PromptInputs(points, labels, previous)


def answer(
    model: Model, view: Tensor, features: ImageFeatures, prompt: PromptInputs | None, *, stability_fallback: bool = True
) -> Candidates:
    """Where the objects are: three candidates without a prompt or after an ambiguous one, else one."""
    count = 0 if prompt is None or prompt.points is None else prompt.points.shape[1]
    return model.decode(
        view, features, prompt, multimask=count <= AMBIGUOUS_POINTS, stability_fallback=stability_fallback
    )


def answer_mask(model: Model, features: ImageFeatures, masks: Tensor) -> Candidates:
    """A mask prompt is its own answer, the only candidate: masks (N, 1, S, S), 0 or 1.  Clicks may correct it."""
    return model.decode_mask(features, masks).as_candidates()


def remember(
    model: Model, features: ImageFeatures, found: Found, *, prompted: bool, binarize_prompted: bool = True
) -> Tensor:
    """The new memory of the frame: (N, T, m).

    On a prompted frame the mask is what a person saw and accepted, so by default its edge is hard.
    """
    return model.encode_memory(features, found.logits, found.object_score, binarize=prompted and binarize_prompted)


def _stacked(pasts: Sequence[Past[Tensor, Tensor]], device: torch.device) -> Memories:
    """Equally long pasts as one batch.  A past holds tensors of one or more objects, as their first dimension."""
    codes = [[code for _, code in past.tokens] for past in pasts]
    distances = [[float(distance) for _, distance in past.pointers] for past in pasts]
    tokens = _rows([[memory for memory, _ in past.tokens] for past in pasts])
    pointers = _rows([[pointer for pointer, _ in past.pointers] for past in pasts])
    rows = tokens.shape[0] // len(pasts)
    return Memories(
        tokens,
        upload(torch.tensor(codes, dtype=torch.int64, device="cpu"), device).repeat_interleave(rows, dim=0),
        pointers,
        upload(torch.tensor(distances, dtype=torch.float32, device="cpu"), device).repeat_interleave(rows, dim=0),
    )


def _rows(parts: list[list[Tensor]]) -> Tensor:
    """One list of tensors (R, ...) for each past to one tensor (R for each past, tensors, ...)."""
    stacks = [torch.stack(tensors, dim=1) for tensors in parts]
    return stacks[0] if len(stacks) == 1 else torch.cat(stacks)
