"""The whole model on single images against the official code and against transformers, with shared seeded weights."""

import functools

import pytest
import torch

pytest.importorskip("sam2", reason="the official package is not installed")

from official_image import PROMPTS, compare_heads, compare_mask_prompts, largest, prompt_inputs
from oracle import official_view, pair, seeded_image, shared_pair

from sam2_ros.model.interface import Memories
from sam2_ros.model.sizes import BASE_PLUS, TINY

SIZES = [TINY.at(256), TINY.at(256).as_version_2_0(), BASE_PLUS.at(256)]
sizes = pytest.mark.parametrize("size", SIZES, ids=["tiny-2.1", "tiny-2.0", "base_plus-2.1"])


def tokens(maps):
    """(N, m, h, w) in raster order: (N, h w, m)."""
    return maps.flatten(2).transpose(1, 2)


@functools.lru_cache(maxsize=4)
@torch.no_grad()
def seen(size):
    """Both models of a size and what they see on the same image."""
    ours, theirs = shared_pair(size)
    images = seeded_image(size, 3)
    return ours, theirs, ours.encode_image(images), theirs.forward_image(images)


@sizes
@pytest.mark.parametrize("multimask", [True, False], ids=["three", "one"])
@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_finds_what_the_official_model_finds(size, name, multimask):
    compare_heads(*seen(size), name=name, multimask=multimask)


@pytest.mark.parametrize("name", ["several points", "nothing"])
@pytest.mark.parametrize("multimask", [True, False], ids=["three", "one"])
def test_a_correction_on_top_of_a_mask_finds_what_the_official_model_finds(name, multimask):
    compare_heads(*seen(SIZES[0]), name=name, multimask=multimask, with_mask=True)


def test_the_published_image_side_finds_what_the_official_model_finds():
    compare_heads(*seen(TINY), name="box and points", multimask=False)


@sizes
def test_a_mask_prompt_is_answered_as_by_the_official_model(size):
    compare_mask_prompts(*seen(size))


@torch.no_grad()
def test_an_absent_object_is_answered_as_by_the_official_model():
    ours, theirs = pair(TINY.at(256), 1, object_score=-20.0)
    images = seeded_image(ours.size, 3)
    features, expected = ours.encode_image(images), theirs.forward_image(images)["backbone_fpn"]
    found = ours.decode(ours.attend(features, None), features, multimask=True).best()
    their_view = expected[2] + theirs.no_mem_embed.view(1, -1, 1, 1)
    outputs = theirs._forward_sam_heads(their_view, None, None, expected[:2], True)
    assert outputs[6] < 0
    assert torch.equal(found.logits, outputs[3]) and torch.equal(found.pointer, outputs[5])


@torch.no_grad()
@sizes
@pytest.mark.parametrize("binarize", [False, True], ids=["soft", "hard"])
def test_memories_are_encoded_as_by_the_official_model(size, binarize):
    ours, theirs, features, outputs = seen(size)
    side = size.image_size
    logits = seeded_image(size.at(side // 4), seed=9, batch=2)[:, :1] * 4
    score = torch.tensor([2.0, -1.0])
    _, vision, _, sides = theirs._prepare_backbone_features(outputs)
    vision = [feature.expand(-1, 2, -1) for feature in vision]
    large = torch.nn.functional.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)
    if binarize:
        large = torch.where(large > 0, 100.0, -100.0)  # the official switch is another test's: its sigmoid saturates
    expected, _ = theirs._encode_new_memory(vision, sides, large, score[:, None], is_mask_from_pts=False)
    memory = ours.encode_memory(features, logits, score, binarize=binarize)
    assert largest(memory - tokens(expected)) < 1e-4


@torch.no_grad()
@sizes
def test_a_full_memory_is_attended_to_as_by_the_official_model(size):
    """Seven memories and sixteen pointers of two objects, one prompted frame 900 frames ago."""
    ours, theirs, features, outputs = seen(size)
    now, grid = 1000, size.grid
    frames = {index: (torch.randn(2, 64, grid, grid), torch.randn(2, 256)) for index in (100, *range(now - 15, now))}
    recent = list(range(now - 1, now - 7, -1))
    pointed = [100, *range(now - 1, now - 16, -1)]
    memories = Memories(
        torch.stack([tokens(frames[index][0]) for index in [100, *recent]], dim=1),
        torch.tensor([[6, *range(6)]] * 2),
        torch.stack([frames[index][1] for index in pointed], dim=1),
        torch.tensor([[float(now - index) for index in pointed]] * 2),
    )
    place = theirs.memory_encoder.position_encoding(frames[100][0])
    expected = official_view(theirs, outputs, frames, place, now)
    view = ours.attend(features, memories)
    assert largest(view[0] - view[1]) > 0.1, "memories that show nothing"
    assert largest(view - expected) < 2e-4


@torch.no_grad()
@pytest.mark.parametrize("size", [SIZES[0], SIZES[2]], ids=["tiny", "base_plus"])
def test_every_prompt_finds_what_transformers_finds(size):
    pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers_oracle import transformers_model

    ours, _, features, _ = seen(size)
    theirs = transformers_model(size, ours.state_dict())
    view, embeddings = ours.attend(features, None), theirs.get_image_embeddings(seeded_image(size, 3))
    for name in list(PROMPTS)[1:]:
        prompt, *_ = prompt_inputs(size, name, with_mask=False)
        for multimask in (True, False):
            candidates = ours.decode(view, features, prompt, multimask=multimask)
            expected = theirs(
                image_embeddings=embeddings,
                input_points=prompt.points[:, None],
                input_labels=prompt.labels[:, None],
                multimask_output=multimask,
            )
            assert largest(candidates.logits - expected.pred_masks[:, 0]) < 2e-4, name
            assert largest(candidates.iou - expected.iou_scores[:, 0]) < 1e-5, name
            assert largest(candidates.object_score - expected.object_score_logits[:, 0, 0]) < 2e-5, name
