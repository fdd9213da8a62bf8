"""The rules of one step, which the tracker and the training share."""

import dataclasses

import pytest
import torch
from fakes import SIDE, ColourModel

from sam2_ros.model.interface import PROMPT_LOGIT_BOUND, Found
from sam2_ros.tracking import step
from sam2_ros.tracking.memory import Past


@pytest.fixture
def model():
    return ColourModel()


@pytest.fixture
def features(model):
    return model.encode_image(torch.zeros(1, 3, SIDE, SIDE))


def told(model, method):
    """The keyword arguments that a method of the model is called with from now on."""
    calls, call = [], getattr(model, method)
    setattr(model, method, lambda *given, **named: calls.append(named) or call(*given, **named))
    return calls


@pytest.mark.parametrize("points, ambiguous", [(None, True), (1, True), (2, False), (5, False)])
def test_nothing_said_and_one_point_are_ambiguous_and_more_points_are_not(model, features, points, ambiguous):
    calls = told(model, "decode")
    view = step.look(model, features, [])
    prompt = None
    if points:
        prompt = step.prompt_inputs(torch.zeros(1, points, 2), torch.ones(1, points, dtype=torch.int32), None)
    candidates = step.answer(model, view, features, prompt, stability_fallback=False)
    assert calls == [{"multimask": ambiguous, "stability_fallback": False}]
    assert candidates.iou.shape == (1, 3 if ambiguous else 1)


def test_a_mask_prompt_is_its_own_and_only_answer(model, features):
    masks = torch.zeros(2, 1, SIDE, SIDE)
    masks[0, :, 8:40, 8:40] = 1
    candidates, found = step.answer_mask(model, features, masks), model.decode_mask(features, masks)
    assert candidates.iou.shape == (2, 1) and candidates.object_score.tolist() == [10, -10]
    for kept, given in zip(dataclasses.astuple(candidates.best()), dataclasses.astuple(found)):
        assert torch.equal(kept, given)


def test_a_previous_answer_is_clamped_where_it_becomes_a_prompt():
    points, labels = torch.zeros(1, 1, 2), torch.ones(1, 1)
    logits = step.prompt_inputs(points, labels, torch.tensor([-1024.0, -3.0, 50.0])).mask_logits
    assert logits.tolist() == [-PROMPT_LOGIT_BOUND, -3.0, PROMPT_LOGIT_BOUND]
    assert step.prompt_inputs(points, labels, None).mask_logits is None


@pytest.mark.parametrize(
    "prompted, asked, hard", [(True, True, True), (True, False, False), (False, True, False), (False, False, False)]
)
def test_only_the_mask_of_a_prompted_frame_is_remembered_with_a_hard_edge(model, features, prompted, asked, hard):
    calls = told(model, "encode_memory")
    found = Found(torch.zeros(1, 1, 16, 16), torch.ones(1), torch.ones(1), torch.ones(1, 4))
    step.remember(model, features, found, prompted=prompted, binarize_prompted=asked)
    assert calls == [{"binarize": hard}]


@pytest.mark.parametrize("rows", [1, 3])
def test_pasts_become_one_batch_with_the_rows_of_each_past_together(model, features, rows):
    def past(first):
        memories = [torch.full((rows, 5, 4), first + n) for n in range(2)]
        pointers = [torch.full((rows, 4), first + n) for n in range(3)]
        return Past(list(zip(memories, (6, 0))), list(zip(pointers, (9, 1, 2))))

    seen = step.look(model, features, [past(10.0), past(20.0)])
    memories = model.memories[-1]
    assert memories.tokens.shape == (2 * rows, 2, 5, 4) and seen.shape[0] == 2 * rows
    assert memories.tokens[:, :, 0, 0].tolist() == [[10, 11]] * rows + [[20, 21]] * rows
    assert memories.pointers[:, :, 0].tolist() == [[10, 11, 12]] * rows + [[20, 21, 22]] * rows
    assert memories.time_code.tolist() == [[6, 0]] * 2 * rows
    assert memories.pointer_distance.tolist() == [[9, 1, 2]] * 2 * rows
