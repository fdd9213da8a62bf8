from dataclasses import replace

import numpy as np
import pytest
import torch

from sam2_ros.evaluation.protocols import TrueObject, click, give_first
from sam2_ros.model import precision
from sam2_ros.model.interface import PROMPT_LOGIT_BOUND, Found
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.training.clips import Clip
from sam2_ros.training.start import initialise
from sam2_ros.training.unroll import SPOILED, Prompting, Unroller, collate
from sam2_ros.types import Frame

SIDE = TEST.image_size


def clip(seed, objects, frames=4):
    random = np.random.default_rng(seed)
    masks = np.zeros((frames, objects, SIDE, SIDE), bool)
    for one in range(objects):
        masks[:, one, 12 + 20 * one : 40 + 20 * one, 20:60] = True
    return Clip(random.integers(0, 255, (frames, SIDE, SIDE, 3), dtype=np.uint8), masks)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return initialise(SAM2(TEST)).eval()


def run(model, clips, prompting):
    with torch.no_grad():
        return Unroller(model, collate(clips), replace(prompting, exact=True), torch.Generator().manual_seed(0)).run()


def test_every_object_of_every_clip_gets_an_answer_on_every_frame(model):
    unrolled = run(model, [clip(0, 2), clip(1, 1)], Prompting("click"))
    assert len(unrolled.found) == 4
    assert all(found.logits.shape == (3, 1, SIDE // 4, SIDE // 4) for found in unrolled.found)


def test_objects_and_clips_do_not_touch_one_another(model):
    together = run(model, [clip(0, 2), clip(1, 1)], Prompting("box", (2,), 2))
    alone = run(model, [clip(1, 1)], Prompting("box", (2,), 2))
    for both, one in zip(together.found, alone.found):
        torch.testing.assert_close(both.logits[2:], one.logits, atol=1e-3, rtol=1e-3)


def test_a_given_mask_is_its_own_answer_and_is_not_taught(model):
    unrolled = run(model, [clip(0, 1)], Prompting("mask"))
    assert [answer.frame for answer in unrolled.answers] == [1, 2, 3]
    assert (unrolled.found[0].logits[0, 0] > 0).sum() == 28 * 40 / 16


def test_each_click_of_a_correction_is_an_answer_of_its_own(model):
    unrolled = run(model, [clip(0, 1)], Prompting("click", (0, 2), 3))
    assert [answer.frame for answer in unrolled.answers] == [0] * 4 + [1] + [2] * 4 + [3]


def test_a_correction_knows_what_it_corrects_and_nothing_else_does(model):
    answers = run(model, [clip(0, 1)], Prompting("click", (0, 2), 2)).answers
    assert [answer.before is not None for answer in answers] == [False, True, True, False, False, True, True, False]
    best = answers[1].candidates.best().logits
    torch.testing.assert_close(answers[2].before, best.clamp(-PROMPT_LOGIT_BOUND, PROMPT_LOGIT_BOUND))


def test_one_click_gives_three_masks_and_several_give_one(model):
    counts = [
        answer.candidates.logits.shape[1] for answer in run(model, [clip(0, 1)], Prompting("click", (0,), 2)).answers
    ]
    assert counts == [3, 1, 1, 3, 3, 3]


def test_a_correction_changes_the_frames_after_it_and_none_before(model):
    plain, corrected = run(model, [clip(0, 1)], Prompting("box")), run(model, [clip(0, 1)], Prompting("box", (2,), 1))
    same = [torch.equal(one.pointer, other.pointer) for one, other in zip(plain.found, corrected.found)]
    assert same == [True, True, False, False]


@pytest.mark.parametrize("first", ["click", "box"])
def test_the_tracker_answers_alike_also_after_a_correction(model, first):
    """What is learned is what is done: the same rules for memories, prompts and what a correction drops."""
    one = clip(0, 1, frames=12)
    unrolled = run(model, [one], Prompting(first, (6,), 2))
    tracker = Tracker(model, TrackerSettings(hole_area=0, stability_fallback=False))
    for number, image in enumerate(one.frames):
        tracks = tracker.track(Frame(image, number + 1))
        if number == 0:
            give_first(TrueObject("object", one.masks[0, 0]), {"click": "1-click"}.get(first, first), tracker.prompt)
        elif number == 6:
            click(TrueObject("object", one.masks[6, 0]), tracks[0].mask, 2, tracker.prompt)
        track, found = tracker.current()[0], unrolled.found[number]
        assert track.object_score == pytest.approx(float(found.object_score), abs=1e-4), number
        np.testing.assert_allclose(track.object_pointer, found.pointer[0], atol=1e-4, err_msg=str(number))


@pytest.mark.parametrize("wrong", SPOILED)
def test_a_spoiled_memory_changes_what_follows_for_some_objects_and_not_the_answer_itself(model, wrong):
    clips = [clip(0, 2, frames=5), clip(1, 2, frames=5)]
    plain = run(model, clips, Prompting("mask"))
    spoiled = run(model, clips, Prompting("mask", spoiled=(1, 2), wrong=wrong))
    before, after = (
        [
            (one - other).abs().amax(1)
            for one, other in zip((found.pointer for found in plain.found), (found.pointer for found in spoiled.found))
        ][part]
        for part in (1, 2)
    )
    assert torch.equal(before, torch.zeros(4))
    assert (after > 1e-4).any() and (after < 1e-4).any()


def test_another_object_is_one_of_the_same_clip(model):
    batch = collate([clip(0, 2), clip(1, 1), clip(2, 3)])
    found = Found(*(torch.arange(6.0).view(6, *shape) for shape in ((1, 1, 1), (), (), (1,))))
    other = Unroller(model, batch, Prompting("mask", wrong="other"), torch.Generator())._wrong(found)
    assert other.object_score.tolist() == [1, 0, 2, 4, 3, 4]


def test_a_prompted_frame_is_never_remembered_wrongly(model):
    prompting = Prompting("mask", (1,), 1)
    plain, spoiled = (run(model, [clip(0, 2)], replace(prompting, spoiled=frames)) for frames in ((), (0, 1)))
    assert torch.equal(plain.found[3].pointer, spoiled.found[3].pointer)


def test_an_older_prompt_is_seen_from_farther_away_and_nothing_else_changes(model):
    young, old = (
        Unroller(model, collate([clip(0, 1)]), Prompting("mask", age=age), torch.Generator()) for age in (0, 30)
    )
    with torch.no_grad():
        young.run(), old.run()
    views = [one.bank.past(one._index(3)) for one in (young, old)]
    assert [[distance for _, distance in view.pointers] for view in views] == [[3, 1, 2], [33, 1, 2]]
    codes = [[code for _, code in view.tokens] for view in views]
    assert codes[0] == codes[1]


def test_frames_of_a_lead_teach_nothing_and_are_tracked_as_others(model):
    clips = [clip(0, 2), clip(1, 1)]
    led = run(model, clips, Prompting("box", (0, 1), 2).after(2))
    whole = run(model, clips, Prompting("box", (3,), 2))
    assert [answer.frame for answer in led.answers] == [2] + [3] * 3 and len(led.found) == 2
    for ours, theirs in zip(led.found, whole.found[2:]):
        torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-3, rtol=1e-3)


def test_gradients_reach_every_part_of_the_model():
    torch.manual_seed(0)
    learner = initialise(SAM2(TEST)).train()
    total = torch.zeros(())
    for prompting in (Prompting("mask"), Prompting("click", (1,), 2), Prompting("box")):
        unrolled = Unroller(learner, collate([clip(0, 2)]), prompting, torch.Generator().manual_seed(0)).run()
        total = total + sum(
            answer.candidates.logits.pow(2).mean() + answer.candidates.iou.sum() + answer.candidates.object_score.sum()
            for answer in unrolled.answers
        )
    total.backward()
    silent = {name for name, value in learner.named_parameters() if value.grad is None or not value.grad.any()}
    # Read by nobody; or only where an object is absent or a single mask is bad; or lost in a softmax.
    assert {name for name in silent if "k_proj.bias" not in name} <= {
        "no_mem_pos_enc",
        "no_obj_ptr",
        "no_obj_embed_spatial",
        "sam_prompt_encoder.point_embeddings.0.weight",
    }


def test_what_learns_is_computed_in_the_precision_that_the_tracker_computes_in(model, monkeypatch):
    lowered = {}
    for name in ("encode_image", "attend", "decode", "encode_memory"):

        def noted(self, *given, right=getattr(SAM2, name), name=name, **options):
            lowered[name] = torch.is_autocast_enabled("cpu")
            return right(self, *given, **options)

        monkeypatch.setattr(SAM2, name, noted)
    run(model, [clip(0, 1, frames=2)], Prompting("click"))
    assert not any(lowered.values())
    monkeypatch.setattr(precision, "precision", lambda wanted, device: torch.bfloat16)  # as on a GPU
    found = run(model, [clip(0, 1, frames=2)], Prompting("click", spoiled=(1,))).found
    assert lowered == {"encode_image": True, "attend": True, "decode": False, "encode_memory": True}
    assert all(answer.logits.dtype == torch.float32 for answer in found)
