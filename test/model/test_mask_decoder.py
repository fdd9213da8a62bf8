import pytest
import torch

pytest.importorskip("sam2", reason="the official package is not installed")

from oracle import shared_pair

from sam2_ros.model.mask_decoder import most_stable
from sam2_ros.model.sizes import TINY

SIZE = TINY.at(256)


@torch.no_grad()
@pytest.mark.parametrize("masks", [slice(None), slice(1), slice(1, None)], ids=["all", "single", "ambiguous"])
def test_masks_tokens_and_scores_are_the_official_ones(masks):
    ours, theirs = (model.sam_mask_decoder for model in shared_pair(SIZE))
    image, position, prompts = torch.randn(2, 256, 16, 16), torch.randn(1, 256, 16, 16), torch.randn(2, 3, 256)
    skips = torch.randn(2, 32, 64, 64), torch.randn(2, 64, 32, 32)
    logits, iou, tokens, score = ours(image, position, prompts, skips, masks)
    expected = theirs.predict_masks(image, position, prompts, torch.zeros(1), False, list(skips))
    assert (logits - expected[0][:, masks]).abs().max() < 1e-4
    assert (iou - expected[1][:, masks]).abs().max() < 1e-5
    assert (tokens - expected[2][:, masks]).abs().max() < 1e-4
    assert (score - expected[3][:, 0]).abs().max() < 1e-5


@torch.no_grad()
def test_the_skips_of_one_image_are_shared_by_all_objects():
    decoder = shared_pair(SIZE)[0].sam_mask_decoder
    image, position, prompts = torch.randn(3, 256, 16, 16), torch.randn(1, 256, 16, 16), torch.randn(3, 3, 256)
    skips = torch.randn(1, 32, 64, 64), torch.randn(1, 64, 32, 32)
    copies = tuple(skip.expand(3, -1, -1, -1) for skip in skips)
    shared, copied = (decoder(image, position, prompts, s, slice(None))[0] for s in (skips, copies))
    assert (shared - copied).abs().max() < 1e-4


def test_an_unstable_single_mask_gives_way_to_the_best_of_three_as_in_the_official_code():
    theirs = shared_pair(SIZE)[1].sam_mask_decoder
    logits = torch.randn(6, 4, 32, 32)
    logits[::2, 0] += torch.where(logits[::2, 0] > 0, 1.0, -1.0)  # no logit near the threshold: stable
    logits[5, 0] = -50  # no pixel at all counts as stable
    iou = torch.rand(6, 4)
    chosen, chosen_iou = most_stable(logits, iou)
    expected, expected_iou = theirs._dynamic_multimask_via_stability(logits, iou)
    assert torch.equal(chosen, expected) and torch.equal(chosen_iou, expected_iou)
    kept = (chosen[:, 0] == logits[:, 0]).flatten(1).all(1)
    assert kept.tolist() == [True, False, True, False, True, True]
