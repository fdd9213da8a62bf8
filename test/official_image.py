"""Prompts on one image for our model and an official one, and how far their answers are apart."""

from __future__ import annotations

import torch
from oracle import seeded_image

from sam2_ros.model.interface import PromptInputs
from sam2_ros.model.sizes import TINY


def points(*rows):
    """A prompt of points (x, y, label), with coordinates as fractions of the image."""
    return torch.tensor([[row[:2] for row in rows]]), torch.tensor([[row[2] for row in rows]], dtype=torch.int32)


PROMPTS = {
    "nothing": None,
    "one point": points((0.4, 0.25, 1)),
    "several points": points((0.4, 0.25, 1), (0.7, 0.6, 1), (0.1, 0.9, 0)),
    "box": points((0.2, 0.3, 2), (0.7, 0.8, 3)),
    "box and points": points((0.2, 0.3, 2), (0.7, 0.8, 3), (0.4, 0.5, 1), (0.6, 0.4, 0)),
}


def prompt_inputs(size, name, with_mask):
    """The prompt for our model, and the official model's two arguments for the same."""
    mask = seeded_image(TINY.at(size.image_size // 4), seed=5)[:, :1] * 6 if with_mask else None
    if PROMPTS[name] is None:
        return PromptInputs(mask_logits=mask), None, mask
    places, labels = PROMPTS[name]
    places = places * size.image_size
    return PromptInputs(places, labels, mask), {"point_coords": places, "point_labels": labels}, mask


def largest(difference):
    return difference.abs().max().item()


@torch.no_grad()
def compare_heads(ours, theirs, features, outputs, *, name, multimask, with_mask=False):
    """Assert equality of every output of the prompt encoder and the mask decoder on a first frame."""
    expected = outputs["backbone_fpn"]
    view = ours.attend(features, None)
    prompt, point_inputs, mask_inputs = prompt_inputs(ours.size, name, with_mask)
    candidates = ours.decode(view, features, prompt, multimask=multimask)
    logits, _, iou, best_logits, _, pointer, score = theirs._forward_sam_heads(
        expected[2] + theirs.no_mem_embed.view(1, -1, 1, 1), point_inputs, mask_inputs, expected[:2], multimask
    )
    found = candidates.best()
    assert score.item() > 0 and 0.01 < (best_logits > 0).float().mean() < 0.99, "a prompt that shows nothing"
    assert largest(candidates.logits - logits) < 2e-4
    assert largest(found.logits - best_logits) < 2e-4
    assert largest(candidates.iou - iou) < 1e-5
    assert largest(found.pointer - pointer) < 2e-5
    assert largest(candidates.object_score - score[:, 0]) < 2e-5


@torch.no_grad()
def compare_mask_prompts(ours, theirs, features, outputs):
    """Assert equality of what is made of two masks that are given: one of a rectangle, and an empty one."""
    side = ours.size.image_size
    masks = torch.zeros(2, 1, side, side)
    masks[0, :, 50 * side // 256 : 131 * side // 256, 77 * side // 256 : 200 * side // 256] = 1
    found = ours.decode_mask(features, masks)
    copies = [feature.expand(2, -1, -1, -1) for feature in outputs["backbone_fpn"]]
    logits, _, iou, _, _, pointer, score = theirs._use_mask_as_output(copies[2], copies[:2], masks)
    assert largest(found.logits - logits) < 1e-5 and torch.equal(found.iou, iou[:, 0])
    assert torch.equal(found.object_score, score[:, 0])
    assert largest(found.pointer - pointer) < 2e-5
