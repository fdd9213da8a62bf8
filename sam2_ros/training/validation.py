"""A small, quick check of a model on clips that training never draws, while it is trained.

The full protocols are in ``evaluation``; this one runs through the unrolled batch, with
the rules of the tracker, prompts in the middle and no corrections.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_ros.model.sam2 import SAM2
from sam2_ros.training.clips import Clip
from sam2_ros.training.unroll import Prompting, Unroller, collate

PROMPTS = ("mask", "box", "click")
#: Clips that go through the model together.
TOGETHER = 4


@dataclass(frozen=True, slots=True)
class Score:
    """How well clips were followed.

    j: mean IoU of the mask over the frames after the first (1 where rightly nothing is found).
    first: mean IoU on the prompted frame.  occlusion_f1: of the flag "absent" (0 where it never is).
    """

    j: float
    first: float
    occlusion_f1: float


@torch.no_grad()
def validate(model: SAM2, clips: list[Clip], device: torch.device) -> dict[str, Score]:
    """The score from each kind of first prompt.  The model's mode is restored."""
    was_training = model.training
    model.eval()
    try:
        return {prompt: _score(model, clips, prompt, device) for prompt in PROMPTS}
    finally:
        model.train(was_training)


def _score(model: SAM2, clips: list[Clip], prompt: str, device: torch.device) -> Score:
    ious, absent, flagged = [], [], []
    generator = torch.Generator().manual_seed(0)
    for start in range(0, len(clips), TOGETHER):
        batch = collate(clips[start : start + TOGETHER]).to(device)
        found = Unroller(model, batch, Prompting(prompt, exact=True), generator).run().found
        for number, answer in enumerate(found):
            truth = batch.masks[number]
            mask = (
                F.interpolate(answer.logits.float(), size=truth.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
                > 0
            )
            ious.append((number, _iou(mask, truth).cpu()))
            if number:
                absent.append(~truth.flatten(1).any(1).cpu())
                flagged.append(answer.object_score.cpu() <= 0)
    later = [iou for number, iou in ious if number] or [torch.zeros(1)]
    first = [iou for number, iou in ious if not number]
    return Score(float(torch.cat(later).mean()), float(torch.cat(first).mean()), _f1(absent, flagged))


def _iou(found: Tensor, truth: Tensor) -> Tensor:
    """(N, S, S) bool twice -> (N,); 1 where both are empty."""
    shared = (found & truth).flatten(1).sum(1).float()
    either = (found | truth).flatten(1).sum(1).float()
    return torch.where(either > 0, shared / either.clamp(min=1), 1.0)


def _f1(truth: list[Tensor], found: list[Tensor]) -> float:
    """The F1 score of bool tensors, all of them together."""
    if not truth:
        return 0.0
    real, said = torch.cat(truth), torch.cat(found)
    right = int((real & said).sum())
    return 2 * right / max(int(real.sum()) + int(said.sum()), 1)
