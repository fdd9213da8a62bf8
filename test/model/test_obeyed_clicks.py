"""Which of the four masks for a clear prompt is used by a size that obeys clicks."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from sam2_ros.model.interface import PromptInputs
from sam2_ros.model.mask_decoder import most_obedient
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EMBEDDED_LITE, TEST, TINY

SIDE, LOGITS = 64, 16


def lit(*columns):
    """Logits (16, 16) that are positive in some columns."""
    logits = torch.full((LOGITS, LOGITS), -5.0)
    logits[:, list(columns)] = 5.0
    return logits


LEFT, RIGHT, BOTH = range(8), range(8, 16), range(16)
ON_LEFT, ON_RIGHT = (10.0, 30.0), (50.0, 30.0)


@pytest.mark.parametrize(
    "clicks, labels, chosen",
    [
        ([ON_LEFT], [1], 0),  # right; that others have a higher IoU does not matter
        ([ON_RIGHT], [1], 2),  # of the two that have it right the one of the higher IoU
        ([ON_LEFT, ON_RIGHT], [1, 1], 3),
        ([ON_LEFT, ON_RIGHT], [0, 1], 2),
        ([ON_LEFT, ON_LEFT], [1, 0], 0),  # cannot both be right
        ([(0.0, 0.0), (63.0, 63.0)], [2, 3], 0),  # corners of a box are no clicks
        ([ON_RIGHT, ON_RIGHT], [-1, -1], 0),  # padding
        ([(63.0, 63.0)], [1], 2),  # the last pixel
    ],
)
def test_a_single_mask_that_misses_a_click_gives_way_to_one_that_does_not(clicks, labels, chosen):
    logits = torch.stack([lit(*LEFT), lit(*LEFT), lit(*RIGHT), lit(*BOTH)])[None]
    iou = torch.tensor([[0.1, 0.9, 0.8, 0.7]])
    points, labels = torch.tensor([clicks]), torch.tensor([labels], dtype=torch.int32)
    mask, predicted = most_obedient(logits, iou, points, labels, SIDE)
    assert torch.equal(mask[0, 0], logits[0, chosen]) and predicted.item() == iou[0, chosen].item()


def test_a_click_is_right_where_the_enlarged_mask_has_its_label():
    logits, iou = torch.randn(5, 4, LOGITS, LOGITS), torch.rand(5, 4)
    points, labels = torch.randint(0, SIDE, (5, 3, 2)).float(), torch.randint(0, 2, (5, 3), dtype=torch.int32)
    masks = F.interpolate(logits, size=(SIDE, SIDE), mode="bilinear") > 0
    for row, (mask, _) in enumerate(zip(*most_obedient(logits, iou, points, labels, SIDE))):
        wrong = []
        for candidate in masks[row]:
            at = [bool(candidate[int(y), int(x)]) for x, y in points[row]]
            wrong.append(sum(one != bool(label) for one, label in zip(at, labels[row])))
        least = [number for number in range(4) if wrong[number] == min(wrong)]
        expected = 0 if 0 in least else max(least, key=lambda number: float(iou[row, number]))
        assert torch.equal(mask[0], logits[row, expected])


def test_the_embedded_model_obeys_clicks_and_the_published_ones_do_not():
    assert EMBEDDED_LITE.obeys_clicks and not TINY.obeys_clicks


@pytest.mark.parametrize("obeys, chosen", [(True, 2), (False, 0)])
def test_the_model_decodes_by_the_rule_of_its_size(monkeypatch, obeys, chosen):
    model = SAM2(dataclasses.replace(TEST, obeys_clicks=obeys)).eval()
    logits = torch.stack([lit(*LEFT), lit(*LEFT), lit(*RIGHT), lit(*BOTH)])[None]
    iou, score = torch.tensor([[0.1, 0.9, 0.8, 0.7]]), torch.tensor([5.0])
    tokens = torch.zeros(1, 4, TEST.hidden_dim)
    monkeypatch.setattr(model, "_decode_masks", lambda *given: (logits, iou, tokens, score))
    view = torch.zeros(1, TEST.hidden_dim, TEST.grid, TEST.grid)
    at_the_right = PromptInputs(torch.tensor([[[100.0, 60.0]]]), torch.tensor([[1]], dtype=torch.int32))
    with torch.no_grad():
        found = model.decode(view, None, at_the_right, multimask=False)
    assert torch.equal(found.logits[0, 0], logits[0, chosen])
