"""The loss of SAM 2: focal and dice on the mask, L1 on the predicted IoU, cross-entropy on visibility.

Paper, appendix D.2.2: of three candidates only the one with the lowest focal + dice gets a loss on its
mask, all three get one on their IoU; an absent object gets the visibility loss only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_ros.model.interface import ABSENT_LOGIT, Candidates, PromptInputs

FOCAL_WEIGHT, DICE_WEIGHT, IOU_WEIGHT, VISIBILITY_WEIGHT = 20.0, 1.0, 1.0, 1.0
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


@dataclass(frozen=True, slots=True)
class Losses:
    """Means over objects, unweighted; scalars."""

    focal: Tensor
    dice: Tensor
    iou: Tensor
    visibility: Tensor

    def total(self, dice_weight: float = DICE_WEIGHT, visibility_weight: float = VISIBILITY_WEIGHT) -> Tensor:
        """What is minimised; a model that starts from nothing finds objects sooner with more weight on dice."""
        return (
            FOCAL_WEIGHT * self.focal
            + dice_weight * self.dice
            + IOU_WEIGHT * self.iou
            + visibility_weight * self.visibility
        )


def mean(losses: list[Losses]) -> Losses:
    """The mean over frames and clicks."""
    parts = zip(*((one.focal, one.dice, one.iou, one.visibility) for one in losses))
    return Losses(*(torch.stack(part).mean() for part in parts))


def answer_loss(answer: Candidates, truth: Tensor, cover: Tensor, emphasis: Tensor | float = 1.0) -> Losses:
    """The loss of K answers for N objects.

    truth: (N, S, S) bool.  cover: (N, 1, L, L) float in 0..1, the same at the side at which
    masks are compared; logits are brought to that side.  emphasis: as for ``focal_loss``.
    """
    visible = truth.flatten(1).any(dim=1)
    visibility = F.binary_cross_entropy_with_logits(answer.object_score, visible.float())
    # An object taken for absent has had its logits replaced: no mask is left to teach.
    decoded = answer.logits.detach().amax(dim=(1, 2, 3)) > ABSENT_LOGIT / 2
    taught = (visible & decoded).float()
    count = taught.sum().clamp(min=1.0)
    logits = F.interpolate(answer.logits, size=cover.shape[-2:], mode="bilinear", align_corners=False)
    logits = torch.where(decoded[:, None, None, None], logits, 0.0)
    focal, dice = focal_loss(logits, cover, emphasis), dice_loss(logits, cover)  # (N, K)
    best = (FOCAL_WEIGHT * focal + DICE_WEIGHT * dice).argmin(dim=1, keepdim=True)
    focal, dice = focal.gather(1, best)[:, 0], dice.gather(1, best)[:, 0]
    iou = (answer.iou - overlap(logits.detach(), cover)).abs().mean(dim=1)
    return Losses(
        (focal * taught).sum() / count, (dice * taught).sum() / count, (iou * taught).sum() / count, visibility
    )


def focal_loss(logits: Tensor, cover: Tensor, emphasis: Tensor | float = 1.0) -> Tensor:
    """Mean focal loss over the pixels of each answer: logits (N, K, L, L), cover (N, 1, L, L) -> (N, K).

    emphasis: how much each pixel counts, (N, 1, L, L), or the same for all.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, cover.expand_as(logits), reduction="none")
    probability = logits.sigmoid()
    miss = probability + cover - 2 * probability * cover  # 1 - p of the true class
    weight = (FOCAL_ALPHA * cover + (1 - FOCAL_ALPHA) * (1 - cover)) * emphasis
    return (weight * miss**FOCAL_GAMMA * entropy).mean(dim=(2, 3))


def edges(cover: Tensor) -> Tensor:
    """1 where object and background meet within a pixel or two, else 0: (N, 1, L, L)."""
    return (F.max_pool2d(cover, 5, stride=1, padding=2) + F.max_pool2d(-cover, 5, stride=1, padding=2) > 0.5).float()


def right(logits: Tensor, cover: Tensor) -> Tensor:
    """1 where an answer (N, 1, a, a) is right, else 0: (N, 1, L, L), as ``cover``."""
    logits = F.interpolate(logits, size=cover.shape[-2:], mode="bilinear", align_corners=False)
    return ((logits > 0) == (cover >= 0.5)).float()


def click_loss(answer: Candidates, prompt: PromptInputs | None, side: int) -> Tensor:
    """How far clicks are from being obeyed: cross-entropy of each answer at each of its clicks, a scalar.

    side: of the image in whose pixels the clicks are.
    """
    if prompt is None or prompt.points is None or prompt.labels is None:
        return answer.logits.new_zeros(())
    clicked = (prompt.labels == 0) | (prompt.labels == 1)
    if not clicked.any():
        return answer.logits.new_zeros(())
    places = ((prompt.points + 0.5) / side * 2 - 1)[:, :, None]  # (N, P, 1, 2) in -1..1
    logits = F.grid_sample(answer.logits, places, align_corners=False, padding_mode="border")[..., 0]  # (N, K, P)
    decoded = answer.logits.detach().amax(dim=(1, 2, 3)) > ABSENT_LOGIT / 2
    counted = (clicked & decoded[:, None])[:, None].expand_as(logits)
    wanted = (prompt.labels == 1).float()[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(torch.where(counted, logits, 0.0), wanted, reduction="none")
    return (entropy * counted).sum() / counted.sum().clamp(min=1)


def dice_loss(logits: Tensor, cover: Tensor) -> Tensor:
    """Dice loss of each answer: logits (N, K, L, L), cover (N, 1, L, L) -> (N, K)."""
    probability = logits.sigmoid()
    shared = (probability * cover).sum(dim=(2, 3))
    return 1 - (2 * shared + 1) / (probability.sum(dim=(2, 3)) + cover.sum(dim=(2, 3)) + 1)


def overlap(logits: Tensor, cover: Tensor) -> Tensor:
    """IoU of each answer with the truth, both made hard: (N, K)."""
    found, truth = logits > 0, cover >= 0.5
    shared = (found & truth).sum(dim=(2, 3))
    return shared / (found | truth).sum(dim=(2, 3)).clamp(min=1)
