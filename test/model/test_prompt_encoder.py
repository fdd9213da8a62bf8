import pytest
import torch

pytest.importorskip("sam2", reason="the official package is not installed")

from oracle import shared_pair

from sam2_ros.model.sizes import TINY

SIZE = TINY.at(256)


@torch.no_grad()
def test_points_of_every_label_become_the_official_tokens():
    ours, theirs = (model.sam_prompt_encoder for model in shared_pair(SIZE))
    points, labels = torch.rand(2, 5, 2) * 256, torch.tensor([[1, 0, 2, 3, -1], [2, 3, 1, 1, 0]], dtype=torch.int32)
    expected, _ = theirs(points=(points, labels), boxes=None, masks=None)
    tokens = ours.embed_points(points, labels)
    assert tokens.shape == (2, 6, 256)
    assert (tokens - expected).abs().max() < 1e-5


@torch.no_grad()
def test_a_mask_becomes_the_official_map_and_none_is_the_same_everywhere():
    ours, theirs = (model.sam_prompt_encoder for model in shared_pair(SIZE))
    logits = torch.randn(2, 1, 64, 64) * 8
    _, expected = theirs(points=None, boxes=None, masks=logits)
    assert (ours.embed_masks(logits) - expected).abs().max() < 1e-5
    _, expected = theirs(points=None, boxes=None, masks=None)
    assert torch.equal(ours.embed_masks(None).expand_as(expected), expected)


@torch.no_grad()
def test_places_of_the_image_are_the_official_ones():
    ours, theirs = (model.sam_prompt_encoder for model in shared_pair(SIZE))
    assert (ours.image_positions() - theirs.get_dense_pe()).abs().max() < 1e-5
