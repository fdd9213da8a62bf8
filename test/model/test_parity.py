"""The whole model on single images against the official code and against transformers, with shared seeded weights."""

import functools

import pytest
import torch

pytest.importorskip("sam2", reason="the official package is not installed")

from oracle import official_view, pair, seeded_image, shared_pair

from sam2_ros.model.interface import Memories, PromptInputs
from sam2_ros.model.sizes import BASE_PLUS, TINY

SIZES = [TINY.at(256), TINY.at(256).as_version_2_0(), BASE_PLUS.at(256)]
sizes = pytest.mark.parametrize("size", SIZES, ids=["tiny-2.1", "tiny-2.0", "base_plus-2.1"])


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
    mask = seeded_image(size.at(size.image_size // 4), seed=5)[:, :1] * 6 if with_mask else None
    if PROMPTS[name] is None:
        return PromptInputs(mask_logits=mask), None, mask
    places, labels = PROMPTS[name]
    places = places * size.image_size
    return PromptInputs(places, labels, mask), {"point_coords": places, "point_labels": labels}, mask


def tokens(maps):
    """(N, m, h, w) in raster order: (N, h w, m)."""
    return maps.flatten(2).transpose(1, 2)


def largest(difference):
    return difference.abs().max().item()


@functools.lru_cache(maxsize=4)
@torch.no_grad()
def seen(size):
    """Both models of a size and what they see on the same image."""
    ours, theirs = shared_pair(size)
    images = seeded_image(size, 3)
    return ours, theirs, ours.encode_image(images), theirs.forward_image(images)


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


@torch.no_grad()
@sizes
def test_a_mask_prompt_is_answered_as_by_the_official_model(size):
    ours, theirs, features, outputs = seen(size)
    masks = torch.zeros(2, 1, size.image_size, size.image_size)
    masks[0, :, 50:131, 77:200] = 1  # the second stays empty
    found = ours.decode_mask(features, masks)
    copies = [feature.expand(2, -1, -1, -1) for feature in outputs["backbone_fpn"]]
    logits, _, iou, _, _, pointer, score = theirs._use_mask_as_output(copies[2], copies[:2], masks)
    assert largest(found.logits - logits) < 1e-5 and torch.equal(found.iou, iou[:, 0])
    assert torch.equal(found.object_score, score[:, 0])
    assert largest(found.pointer - pointer) < 2e-5


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
