"""EdgeTAM on single images against its official code, with shared seeded weights."""

import functools

import pytest
import torch
from edgetam_oracle import official_edgetam
from edgetam_weights import edgetam_weights
from official_image import PROMPTS, compare_heads, compare_mask_prompts, largest
from oracle import official_view, seeded_image

from sam2_ros.model.repvit import folded
from sam2_ros.model.sam2 import SAM2, Memories
from sam2_ros.model.sizes import EDGETAM

sides = pytest.mark.parametrize("side", [512, pytest.param(1024, marks=pytest.mark.slow)])


@functools.lru_cache(maxsize=2)
@torch.no_grad()
def seen(side):
    """Both models and what they see on the same image."""
    weights = edgetam_weights(seed=1, object_score=4.0)
    stable = "sam_mask_decoder_extra_args.dynamic_multimask"
    theirs = official_edgetam(side, overrides={f"{stable}_via_stability": True})
    theirs.load_state_dict(weights, strict=True)
    with torch.device("meta"):
        ours = SAM2(EDGETAM.at(side))
    ours.load_state_dict(folded(weights), strict=True, assign=True)
    ours = ours.to(memory_format=torch.channels_last).eval()
    images = seeded_image(ours.size, 3)
    return ours, theirs, ours.encode_image(images), theirs.forward_image(images)


@sides
@pytest.mark.parametrize("multimask", [True, False], ids=["three", "one"])
@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_finds_what_the_official_model_finds(side, name, multimask):
    compare_heads(*seen(side), name=name, multimask=multimask)


@sides
@pytest.mark.parametrize("name", ["several points", "nothing"])
@pytest.mark.parametrize("multimask", [True, False], ids=["three", "one"])
def test_a_correction_on_top_of_a_mask_finds_what_the_official_model_finds(side, name, multimask):
    compare_heads(*seen(side), name=name, multimask=multimask, with_mask=True)


@sides
def test_a_mask_prompt_is_answered_as_by_the_official_model(side):
    compare_mask_prompts(*seen(side))


@torch.no_grad()
@sides
@pytest.mark.parametrize("score", [2.0, -1.0], ids=["visible", "absent"])
def test_memories_are_encoded_as_by_the_official_model(side, score):
    ours, theirs, features, outputs = seen(side)
    logits = seeded_image(ours.size.at(256), seed=9)[:, :1] * 4
    logits = torch.nn.functional.interpolate(logits, size=(side // 4, side // 4), mode="bilinear")
    score = torch.tensor([score])
    _, vision, _, sides = theirs._prepare_backbone_features(outputs)
    large = torch.nn.functional.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)
    expected, _ = theirs._encode_new_memory(vision, sides, large, score[:, None], is_mask_from_pts=False)
    memory = ours.encode_memory(features, logits, score, binarize=False)
    assert expected.std() > 0.3, "memories that show nothing"
    assert memory.shape == (1, 512, 64) and largest(memory - expected) < 3e-4


@torch.no_grad()
@sides
def test_a_full_memory_is_attended_to_as_by_the_official_model(side):
    """Seven memories and sixteen pointers of two objects, one prompted frame 900 frames ago."""
    ours, theirs, features, outputs = seen(side)
    now = 1000
    frames = {index: (torch.randn(2, 512, 64), torch.randn(2, 256)) for index in (100, *range(now - 15, now))}
    recent = list(range(now - 1, now - 7, -1))
    pointed = [100, *range(now - 1, now - 16, -1)]
    memories = Memories(
        torch.stack([frames[index][0] for index in [100, *recent]], dim=1),
        torch.tensor([[6, *range(6)]] * 2),
        torch.stack([frames[index][1] for index in pointed], dim=1),
        torch.tensor([[float(now - index) for index in pointed]] * 2),
    )
    place = ours.spatial_perceiver.positions.expand(2, -1, -1)
    expected = official_view(theirs, outputs, frames, place, now)
    view = ours.attend(features, memories)
    assert largest(view[0] - view[1]) > 0.1, "memories that show nothing"
    assert largest(view - expected) < 2e-4
