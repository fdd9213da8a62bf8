"""The tracker's behaviour, with a model that follows colours and answers in microseconds."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from fakes import BLUE, GREEN, GRID, RED, ColourModel, frame, picture

from sam2_ros.errors import InvalidInput, InvalidPrompt, UnknownObject, UnknownStamp
from sam2_ros.model import checkpoint, pixels
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST
from sam2_ros.stamps import Place
from sam2_ros.tracking.memory import PROMPTED_TIME_CODE, MemoryBank
from sam2_ros.tracking.remembered import MAX_CLICKS
from sam2_ros.tracking.rules import RULES
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt, State

SECOND = 10**9


def click(name, x, y, label=1, **more):
    return Prompt(name, points=np.array([[x, y]]), labels=np.array([label]), **more)


def walk(tracker, stamps, x0=0, colour=RED):
    """A square that moves one pixel to the right each frame; the tracks of every frame."""
    return [tracker.track(frame(stamp, {colour: (x0 + n, 8)})) for n, stamp in enumerate(stamps)]


@pytest.fixture(params=RULES)
def tracker(request):
    return Tracker(ColourModel(), TrackerSettings(memory_rule=request.param))


def test_a_clicked_object_is_followed_where_it_goes(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    (track,) = tracker.track(frame(2, {RED: (32, 24)}))
    x, y = track.centroid
    assert (track.name, track.id, track.state) == ("cup", 1, State.VISIBLE)
    assert abs(x - 39.5) < 2 and abs(y - 31.5) < 2


def test_masks_have_the_size_of_their_frame_even_when_it_changes(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    assert tracker.track(frame(2, {RED: (8, 8)}, size=(96, 128)))[0].mask.shape == (96, 128)
    assert tracker.track(Frame(np.full((8, 8, 3), RED, np.uint8), 3))[0].mask.all()


def test_the_image_is_encoded_once_for_all_objects_and_objects_are_batched(tracker):
    tracker.track(frame(1, {RED: (0, 8), GREEN: (24, 8), BLUE: (48, 8)}))
    for name, x in (("a", 8), ("b", 32), ("c", 56)):
        tracker.prompt(click(name, x, 16))
    before = len(tracker._model.calls)
    tracker.track(frame(2, {RED: (0, 8), GREEN: (24, 8), BLUE: (48, 8)}))
    assert tracker._model.calls[before:] == [("encode_image", 1), ("attend", 3), ("decode", 3), ("encode_memory", 3)]


def test_a_prompt_does_not_encode_an_image_again(tracker):
    walk(tracker, [1, 2, 3])
    tracker.prompt(click("cup", 4, 16), stamp=1)
    assert tracker._model.count("encode_image") == 3


def test_a_prompt_is_applied_to_the_frame_of_its_stamp_and_reaches_the_newest_one(tracker):
    tracker.track(frame(10, {RED: (0, 0)}))
    tracker.track(frame(20, {RED: (24, 24)}))
    tracker.track(frame(30, {RED: (48, 48)}))
    answer = tracker.prompt(click("cup", 30, 30), stamp=20)
    assert answer.stamp == 20
    assert abs(answer.track.centroid[0] - 31.5) < 2
    assert abs(answer.newest[0].centroid[0] - 55.5) < 2


def test_the_next_frame_after_a_late_prompt_sees_every_frame_since():
    tracker = Tracker(ColourModel())
    walk(tracker, [1, 2, 3, 4])
    tracker.prompt(click("cup", 6, 16), stamp=2)
    tracker.track(frame(5, {RED: (4, 8)}))
    assert tracker._model.memories[-1].time_code.tolist() == [[PROMPTED_TIME_CODE, 1, 0]]
    assert tracker._model.memories[-1].pointer_distance.tolist() == [[3.0, 1.0, 2.0]]


def test_a_stamp_that_is_not_remembered_is_refused_and_nothing_changes():
    tracker = Tracker(ColourModel(), TrackerSettings(remembered_frames=3))
    with pytest.raises(UnknownStamp, match="no image has arrived"):
        tracker.prompt(click("cup", 4, 16))
    walk(tracker, [10, 20, 30, 40])
    for stamp, reason in ((10, "older than the oldest remembered"), (25, "never tracked"), (50, "newer than")):
        with pytest.raises(UnknownStamp, match=reason):
            tracker.prompt(click("cup", 4, 16), stamp=stamp)
    assert tracker.objects == {}


@pytest.mark.parametrize(
    "prompt, reason",
    [
        (click("cup", 64, 3), "outside the 64x64 image"),
        (click("cup", 3, 3, label=0), "only negative"),
        (Prompt("cup", box=(70, 70, 80, 80)), "outside"),
        (Prompt("cup", mask=np.ones((3, 3), bool)), "equal size"),
        (Prompt("cup", mask=np.zeros((64, 64), bool)), "empty"),
    ],
)
def test_a_prompt_that_means_nothing_on_its_image_is_refused(tracker, prompt, reason):
    tracker.track(frame(1, {RED: (0, 8)}))
    with pytest.raises(InvalidPrompt, match=reason):
        tracker.prompt(prompt)
    assert tracker.objects == {} and tracker.track(frame(2, {RED: (0, 8)})) == []


def test_a_box_a_mask_and_a_click_each_start_an_object(tracker):
    squares = {RED: (0, 8), GREEN: (24, 8), BLUE: (48, 8)}
    tracker.track(frame(1, squares))
    tracker.prompt(click("click", 8, 16))
    tracker.prompt(Prompt("box", box=(24, 8, 39, 23)))
    tracker.prompt(Prompt("mask", mask=picture({BLUE: (48, 8)})[..., 2] > 0))
    found = {track.name: track.centroid[0] for track in tracker.track(frame(2, squares))}
    assert {name: round((x - 7.5) / 24) for name, x in found.items()} == {"click": 0, "box": 1, "mask": 2}


def test_clicks_on_a_frame_add_up_and_carry_the_previous_mask(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    tracker.prompt(click("cup", 40, 40, label=0))
    first, second = tracker._model.prompts
    assert (first.mask_logits is None, first.labels.tolist()) == (True, [[1]])
    assert second.labels.tolist() == [[1, 0]]
    assert second.points.tolist() == [[[8, 16], [40, 40]]]
    assert second.mask_logits.shape == (1, 1, GRID, GRID) and second.mask_logits.abs().max() <= 32


def test_a_box_starts_over_and_clicks_add_to_it(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    tracker.prompt(Prompt("cup", box=(0, 8, 15, 23)))
    tracker.prompt(click("cup", 4, 12))
    assert [prompt.labels.tolist() for prompt in tracker._model.prompts] == [[[1]], [[2, 3]], [[2, 3, 1]]]
    assert [prompt.mask_logits is None for prompt in tracker._model.prompts] == [True, True, False]


def test_one_click_is_ambiguous_and_a_second_settles_it(tracker):
    asked = []
    decode = tracker._model.decode
    tracker._model.decode = lambda *a, multimask, **k: asked.append(multimask) or decode(*a, multimask=multimask, **k)
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    tracker.prompt(click("cup", 4, 12))
    assert asked == [True, False]


def test_a_correction_moves_the_object_and_becomes_a_prompted_frame(tracker):
    squares = {RED: (0, 8), GREEN: (32, 8)}
    tracker.track(frame(1, squares))
    tracker.prompt(click("cup", 8, 16))
    for stamp in range(2, 6):
        tracker.track(frame(stamp, squares))
    answer = tracker.prompt(click("cup", 40, 16), stamp=4)
    assert answer.track.centroid[0] > 30 and answer.track.prompted_frames == 2 and answer.track.id == 1


def test_a_correction_drops_the_unprompted_memories_around_it():
    for around, codes in ((True, [6, 6]), (False, [6, 6, 5, 4, 3, 2, 1])):
        tracker = Tracker(ColourModel(), TrackerSettings(forget_around_corrections=around))
        walk(tracker, [1])
        tracker.prompt(click("cup", 4, 16))
        walk(tracker, range(2, 10), x0=1)
        tracker.prompt(click("cup", 12, 16))
        tracker.track(frame(10, {RED: (9, 8)}))
        assert tracker._model.memories[-1].time_code.tolist() == [codes]


def test_a_correction_leaves_other_objects_untouched(tracker):
    squares = {RED: (0, 8), GREEN: (32, 8)}
    tracker.track(frame(1, squares))
    tracker.prompt(click("a", 8, 16))
    tracker.prompt(click("b", 40, 16))
    tracker.track(frame(2, squares))
    before = tracker.current()[1]
    tracker.prompt(click("a", 4, 12))
    after = tracker.current()[1]
    assert after.object_score == before.object_score and (after.mask == before.mask).all()
    assert after.prompted_frames == 1


def test_at_most_so_many_prompted_frames_take_part_and_the_first_is_among_them():
    tracker = Tracker(ColourModel(), TrackerSettings(max_prompted_frames=2))
    for stamp in range(1, 9):
        tracker.track(frame(stamp, {RED: (0, 8)}))
        tracker.prompt(click("cup", 8, 16))
    tracker.track(frame(9, {RED: (0, 8)}))
    memories = tracker._model.memories[-1]
    assert memories.time_code[0].tolist().count(PROMPTED_TIME_CODE) == 2
    assert memories.pointer_distance[0, :2].tolist() == [8, 1]


def test_an_object_that_leaves_comes_back_with_the_same_id(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    seen = [tracker.track(frame(stamp, {RED: (0, 8)} if stamp not in (3, 4) else {}))[0] for stamp in range(2, 7)]
    assert [t.state for t in seen] == [State.VISIBLE, State.OCCLUDED, State.OCCLUDED, State.VISIBLE, State.VISIBLE]
    assert [t.frames_since_seen for t in seen] == [0, 1, 2, 0, 0]
    assert {t.id for t in seen} == {1}
    assert [t.mask.any() for t in seen] == [True, False, False, True, True]
    assert seen[1].box is None and seen[1].centroid is None and seen[1].probability < 0.01


def test_a_late_correction_rewrites_the_states_since(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    tracker.track(frame(2, {GREEN: (0, 8)}))
    assert tracker.track(frame(3, {GREEN: (0, 8)}))[0].state == State.OCCLUDED
    model = tracker._model
    model.attend = lambda features, memories, attend=model.attend: attend(features, _newest_only(memories))
    assert tracker.prompt(click("cup", 8, 16), stamp=2).newest[0].state == State.VISIBLE


def _newest_only(memories):
    """The pointer with the smallest distance, so that the last correction decides the colour."""
    newest = memories.pointer_distance[0].argmin()
    return type(memories)(
        memories.tokens,
        memories.time_code,
        memories.pointers[:, newest : newest + 1],
        memories.pointer_distance[:, newest : newest + 1],
    )


def test_ids_are_never_used_twice(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    ids = [tracker.prompt(click("cup", 8, 16)).track.id]
    ids.append(tracker.prompt(click("cup", 8, 16, replace=True)).track.id)
    tracker.forget("cup")
    ids.append(tracker.prompt(click("cup", 8, 16)).track.id)
    tracker.reset()
    tracker.track(frame(2, {RED: (0, 8)}))
    ids.append(tracker.prompt(click("", 8, 16)).track.id)
    assert ids == [1, 2, 3, 4]
    assert tracker.objects == {"object_4": 4}


def test_an_object_without_a_name_gets_a_free_one(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("object_2", 8, 16))
    assert tracker.prompt(click("", 8, 16)).track.name == "object_3"


def test_forgetting_leaves_the_others_and_an_unknown_name_is_an_error(tracker):
    tracker.track(frame(1, {RED: (0, 8), GREEN: (32, 8)}))
    tracker.prompt(click("a", 8, 16))
    tracker.prompt(click("b", 40, 16))
    tracker.forget("a")
    assert [track.name for track in tracker.track(frame(2, {GREEN: (32, 8)}))] == ["b"]
    with pytest.raises(UnknownObject, match="no object is called 'a'; followed objects: b"):
        tracker.forget("a")


def test_a_rewound_tracker_follows_an_object_from_its_first_prompt_and_looks_ahead_to_later_ones(tracker):
    walk(tracker, (1, 2))
    tracker.prompt(click("cup", 8, 16))
    walk(tracker, (3, 4))
    tracker.prompt(click("cup", 8, 16))
    tracker.rewind()
    assert tracker.stamps == [] and tracker.objects == {"cup": 1}
    tracks = walk(tracker, (1, 2, 3))
    assert [[track.name for track in found] for found in tracks] == [[], ["cup"], ["cup"]]
    assert tracker._model.memories[-1].time_code.tolist() == [[PROMPTED_TIME_CODE] * 2]
    assert tracker._model.memories[-1].pointer_distance.tolist() == [[1]]


def test_a_rewound_tracker_gives_the_answers_that_were_given_on_prompted_frames(tracker):
    squares = {RED: (0, 8), GREEN: (32, 8)}
    for stamp in (1, 2, 3):
        tracker.track(frame(stamp, squares))
        if stamp == 1:
            first = tracker.prompt(click("cup", 8, 16)).track
        if stamp == 3:
            corrected = tracker.prompt(click("cup", 40, 16)).track
    tracker.rewind()
    passes = [tracker.track(frame(stamp, squares))[0] for stamp in (1, 2, 3)]
    assert (passes[0].mask == first.mask).all() and passes[0].object_score == first.object_score
    assert (passes[2].mask == corrected.mask).all() and passes[2].centroid[0] > 30
    assert [track.prompted_frames for track in passes] == [2, 2, 2]
    assert sum(estimate.prompted for estimate in tracker._objects["cup"].estimates.values()) == 2


def test_not_here_said_again_and_again_counts_from_when_the_object_was_last_seen():
    tracker = Tracker(ColourModel(), TrackerSettings(lost_after_frames=4))
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    nothing = Prompt("cup", mask=np.zeros((64, 64), bool))
    seen = []
    for stamp in range(2, 8):
        tracker.track(frame(stamp, {}))
        tracker.prompt(nothing)
        track = tracker.prompt(nothing).track  # twice on one image is one image
        seen.append((track.state, track.frames_since_seen))
    assert seen == [
        (State.OCCLUDED, 1),
        (State.OCCLUDED, 2),
        (State.OCCLUDED, 3),
        (State.LOST, 4),
        (State.LOST, 5),
        (State.LOST, 6),
    ]
    tracker.track(frame(8, {RED: (0, 8)}))
    back = tracker.prompt(click("cup", 8, 16)).track
    assert (back.state, back.frames_since_seen) == (State.VISIBLE, 0)


def test_not_here_on_the_only_remembered_image_counts_it_once(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    nothing = Prompt("cup", mask=np.zeros((64, 64), bool))
    assert [tracker.prompt(nothing).track.frames_since_seen for _ in range(3)] == [1, 1, 1]


def test_a_late_correction_counts_anew_what_was_said_after_it(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    for stamp in (2, 3, 4):
        tracker.track(frame(stamp, {GREEN: (0, 8)}))
    nothing = Prompt("cup", mask=np.zeros((64, 64), bool))
    assert tracker.prompt(nothing, 4).track.frames_since_seen == 3
    green = np.zeros((64, 64), bool)
    green[8:24, :16] = True
    newest = tracker.prompt(Prompt("cup", mask=green), 3).newest[0]
    assert (newest.state, newest.frames_since_seen) == (State.OCCLUDED, 1)
    assert tracker.track(frame(5, {}))[0].frames_since_seen == 2


def test_not_here_on_an_image_before_the_first_prompt_counts_from_there(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.track(frame(2, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    for stamp in (3, 4, 5):
        tracker.track(frame(stamp, {GREEN: (0, 8)}))
    tracker.prompt(click("cup", 8, 16), 1)
    nothing = Prompt("cup", mask=np.zeros((64, 64), bool))
    assert tracker.prompt(nothing, 1).track.frames_since_seen == 1


def test_an_absent_object_and_the_outside_are_never_filled_whatever_the_area():
    tracker = Tracker(ColourModel(), TrackerSettings(hole_area=4000))
    tracker.track(frame(1, {RED: (0, 8)}))
    assert tracker.prompt(click("cup", 8, 16)).track.area < 300
    assert tracker.track(frame(2, {RED: (24, 24)}))[0].area < 300
    (gone,) = tracker.track(frame(3, {}))
    assert gone.area == 0 and gone.occluded


# -- what one object costs beside others ------------------------------------------------------


def busy_tracker(count, size=(128, 128), apart=True, **settings):
    """A tracker that follows ``count`` objects: apart from one another, or all of them the same red square."""
    tracker = Tracker(ColourModel(), TrackerSettings(**settings))
    levels = (60, 150, 240)
    colours = [(levels[n % 3], levels[n // 3 % 3], levels[n // 9]) for n in range(count)] if apart else [RED] * count
    squares = {colour: (32 * (n % 4), 32 * (n // 4)) for n, colour in enumerate(colours)}
    tracker.track(frame(1, squares, size))
    for n, colour in enumerate(colours):
        x, y = squares[colour]
        tracker.prompt(click(f"object {n}", x + 8, y + 8))
    return tracker


def test_a_prompt_brings_no_other_object_to_the_size_of_the_camera(monkeypatch):
    brought = []
    to_masks = pixels.to_masks
    monkeypatch.setattr(
        pixels, "to_masks", lambda logits, *rest: brought.append(len(logits)) or to_masks(logits, *rest)
    )
    tracker = busy_tracker(12)
    assert brought == [1] * 12, "each prompt its own object, and nobody looked at the rest"
    brought.clear()
    answer = tracker.prompt(click("object 5", 40, 40))
    assert brought == [1] and len(answer.newest) == 12
    assert tracker.name_at(40, 40) == "object 5" and brought == [1]
    assert len(list(answer.newest)) == 12 and list(answer.newest)[5] is answer.newest[5]
    assert sum(brought) == 13


@pytest.mark.parametrize("late", [True, False])
def test_a_prompt_asks_the_model_no_more_when_other_objects_are_followed(late):
    """A correction of the same object, alone and among eight others, on the newest image and on an older one."""
    calls = {}
    for count in (1, 9):
        tracker = busy_tracker(count)
        squares = {(60, 60, 60): (0, 0)}
        for stamp in (2, 3):
            tracker.track(frame(stamp, squares, (128, 128)))
        before = len(tracker._model.calls)
        tracker.prompt(click("object 0", 8, 8), stamp=2 if late else 0)
        calls[count] = tracker._model.calls[before:]
    assert calls[9] == calls[1] and all(objects == 1 for _, objects in calls[1])
    assert ("decode", 1) in calls[1]


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("alone", [True, False])
def test_the_answer_to_a_prompt_is_the_object_as_it_is_among_all(apart, alone):
    tracker = busy_tracker(6, size=(96, 160), apart=apart, non_overlapping=alone)
    answer = tracker.prompt(click("object 3", *((104, 8) if apart else (40, 40))))
    among_all = next(track for track in tracker.current() if track.name == "object 3")
    assert (answer.track.mask == among_all.mask).all()
    for x, y in ((8, 8), (40, 8), (40, 40), (159, 95), (300, 2), (-5, 0)):
        there = [track.name for track in tracker.current() if 0 <= x < 160 and 0 <= y < 96 and track.mask[y, x]]
        assert tracker.name_at(x, y) == (there[-1] if there else "")


def test_the_newest_of_an_answer_stays_as_it_was(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    answer = tracker.prompt(click("cup", 8, 16))
    tracker.track(frame(2, {RED: (40, 40)}))
    tracker.forget("cup")
    assert answer.newest[0].centroid[0] < 12 and answer.newest[0].name == "cup"


# -- the library's door -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, part",
    [
        ({"remembered_frames": 10}, "remembered_frames cannot change"),
        ({"precision": "bfloat16"}, "precision"),
        ({"memory_rule": "distractor_aware"}, "memory_rule cannot change"),
        ({"max_prompted_frames": 2, "remembered_frames": 9}, "max_prompted_frames and remembered_frames"),
    ],
)
def test_settings_that_a_running_tracker_cannot_change_are_refused_by_name(changes, part):
    tracker = Tracker(ColourModel())
    with pytest.raises(InvalidInput, match=part):
        tracker.settings = TrackerSettings(**changes)
    assert tracker.settings == TrackerSettings()


def test_other_settings_take_effect_on_the_next_frame():
    tracker = Tracker(ColourModel())
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    tracker.settings = TrackerSettings(lost_after_frames=1)
    assert tracker.track(frame(2, {}))[0].state == State.LOST


@pytest.mark.parametrize(
    "call, part",
    [
        (lambda tracker: tracker.track(np.zeros((4, 4, 3), np.uint8)), "a frame must be a Frame"),
        (lambda tracker: tracker.prompt("cup"), "a prompt must be a Prompt"),
        (lambda tracker: setattr(tracker, "settings", {"hole_area": 0}), "TrackerSettings"),
        (lambda tracker: Tracker(tracker._model, {"hole_area": 0}), "TrackerSettings"),
        (lambda tracker: tracker.prompt(click("cup", 8, 16), 1.5), "whole number of nanoseconds"),
        (lambda tracker: tracker.at("now"), "whole number of nanoseconds"),
    ],
)
def test_what_is_of_another_kind_is_refused_by_name(tracker, call, part):
    tracker.track(frame(1, {RED: (0, 8)}))
    with pytest.raises(InvalidInput, match=part):
        call(tracker)
    assert tracker.prompt(click("cup", 8, 16), np.int64(1)).track.area


@pytest.mark.parametrize(
    "values",
    [
        {"remembered_frames": 2.5},
        {"non_overlapping": "false"},
        {"hole_area": True},
        {"visible_margin": float("nan")},
        {"precision": None},
        {"lost_after_frames": "10"},
        {"hole_area": -1},
    ],
)
def test_a_setting_of_another_kind_is_refused_by_name(values):
    with pytest.raises(InvalidInput, match=next(iter(values))):
        TrackerSettings(**values)


def test_numbers_of_numpy_are_good_settings():
    settings = TrackerSettings(hole_area=np.int64(3), visible_margin=np.float32(0.5), non_overlapping=np.bool_(False))
    assert not settings.non_overlapping
    Tracker(ColourModel(), settings).track(frame(1, {}))


@pytest.mark.parametrize("convert", [torch.nn.Module.half, torch.nn.Module.bfloat16, torch.nn.Module.double])
def test_a_model_that_was_converted_is_refused_and_works_again_in_float32(tracker, convert):
    tracker.track(frame(1, {RED: (0, 8)}))
    convert(tracker._model)
    for call in (
        lambda: tracker.track(frame(2, {})),
        lambda: tracker.prompt(click("cup", 8, 16)),
        lambda: Tracker(tracker._model),
    ):
        with pytest.raises(InvalidInput, match="keep them in torch.float32"):
            call()
    tracker._model.float()
    assert tracker.stamps == [1] and tracker.prompt(click("cup", 8, 16)).track.area


@pytest.mark.parametrize(
    "wrong, got",
    [
        ("embedded", "got str"),
        (None, "got NoneType"),
        (ColourModel, "got type"),
        (torch.nn.Linear(1, 1), "got Linear"),
        (torch.nn.DataParallel(ColourModel()), "got DataParallel; give its .module"),
        (torch.jit.script(torch.nn.Linear(1, 1)), "got RecursiveScriptModule"),
    ],
)
def test_what_is_no_model_of_ours_is_refused(wrong, got):
    with pytest.raises(InvalidInput, match=f"must be one that sam2_ros.model.checkpoint.load returns, .*{got}"):
        Tracker(wrong)


def test_a_compiled_model_is_a_model():
    compiled = Tracker(torch.compile(ColourModel(), backend="eager"))
    compiled.track(frame(1, {RED: (0, 8)}))
    assert compiled.prompt(click("cup", 8, 16)).track.area


@pytest.mark.parametrize("kind", ["float64", "meta", "deterministic", "inference", "thread", "autocast"])
def test_what_others_set_in_torch_changes_no_answer(kind, tmp_path):
    torch.manual_seed(0)
    checkpoint.save(SAM2(TEST), tmp_path / "model.safetensors")

    def answers():
        tracker = Tracker(checkpoint.load(tmp_path / "model.safetensors", "cpu"))
        image = np.random.RandomState(0).randint(0, 256, (48, 64, 3), np.uint8)
        tracker.track(Frame(image, 1))
        tracker.prompt(click("a", 20, 20))
        tracker.prompt(Prompt("b", box=(5, 5, 30, 30)))
        tracker.track(Frame(image[::-1], 2))
        tracker.prompt(click("a", 30, 30))
        tracker.prompt(Prompt("c", mask=image[..., 0] > 128))
        return [(track.object_score, track.predicted_iou, track.mask.tobytes()) for track in tracker.current()]

    expected = answers()
    with _as_others_set_it(kind) as run:
        assert run(answers) == expected


@contextmanager
def _as_others_set_it(kind):
    plain = lambda call: call()  # noqa: E731
    if kind == "float64":
        torch.set_default_dtype(torch.float64)
    if kind == "meta":
        torch.set_default_device("meta")
    if kind == "deterministic":
        torch.use_deterministic_algorithms(True)
    try:
        if kind == "thread":
            with ThreadPoolExecutor(1) as pool:
                yield lambda call: pool.submit(call).result()
        elif kind in ("inference", "autocast"):
            with torch.inference_mode() if kind == "inference" else torch.autocast("cpu", torch.bfloat16):
                yield plain
        else:
            yield plain
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
        torch.use_deterministic_algorithms(False)


def test_the_same_stamp_twice_writes_no_memory(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    first, again = tracker.track(frame(2, {RED: (8, 8)})), tracker.track(frame(2, {RED: (8, 8)}))
    assert tracker._model.count("encode_image") == 2
    assert (first[0].mask == again[0].mask).all()


def test_frames_without_a_stamp_are_all_new(tracker):
    walk(tracker, [0, 0, 0])
    assert tracker._model.count("encode_image") == 3
    assert tracker.prompt(click("cup", 8, 16)).stamp == 0


def test_a_stream_that_starts_over_keeps_its_objects_and_forgets_its_old_frames(tracker):
    walk(tracker, [10 * SECOND, 11 * SECOND])
    tracker.prompt(click("cup", 8, 16))
    (track,) = tracker.track(frame(5 * SECOND, {RED: (20, 8)}))
    assert track.id == 1 and track.state == State.VISIBLE and tracker.placed == Place.RESTART
    assert tracker.stamps == [5 * SECOND]
    with pytest.raises(UnknownStamp):
        tracker.prompt(click("cup", 8, 16), stamp=11 * SECOND)


def test_a_frame_that_comes_too_late_gets_the_newest_answer_and_changes_nothing(tracker):
    walk(tracker, [100, 200])
    tracker.prompt(click("cup", 8, 16))
    (track,) = tracker.track(frame(150, {RED: (40, 40)}))
    assert tracker.placed == Place.LATE and tracker.stamps == [100, 200] and tracker.newest_stamp == 200
    assert track.mask[16, 8] and tracker._model.count("encode_image") == 2


def test_a_stamp_of_the_far_future_costs_no_more_than_its_own_frame(tracker):
    walk(tracker, [10 * SECOND, 11 * SECOND, 10**9 * SECOND, 12 * SECOND])
    assert tracker.stamps == [10 * SECOND, 11 * SECOND, 12 * SECOND]
    assert tracker.prompt(click("cup", 4, 16), stamp=10 * SECOND).stamp == 10 * SECOND


def test_where_objects_overlap_one_of_them_has_the_pixel_unless_overlap_is_wanted():
    for alone, shared in ((True, 0), (False, 256)):
        tracker = Tracker(ColourModel(), TrackerSettings(non_overlapping=alone))
        tracker.track(frame(1, {RED: (0, 8)}))
        tracker.prompt(click("a", 8, 16))
        tracker.prompt(click("b", 4, 12))
        first, second = tracker.current()
        assert bool((first.mask & second.mask).sum()) == bool(shared)
        assert (first.mask | second.mask).sum() >= 150


def test_objects_with_memories_of_different_length_are_followed_in_groups(tracker):
    squares = {RED: (0, 8), GREEN: (32, 8)}
    tracker.track(frame(1, squares))
    tracker.prompt(click("old", 8, 16))
    tracker.track(frame(2, squares))
    tracker.prompt(click("young", 40, 16))
    before = len(tracker._model.calls)
    tracks = tracker.track(frame(3, squares))
    assert [call for call in tracker._model.calls[before:] if call[0] == "attend"] == [("attend", 1), ("attend", 1)]
    assert [track.name for track in tracks] == ["old", "young"]


def test_a_model_that_fails_on_a_new_object_leaves_no_object_behind(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    encode_memory = tracker._model.encode_memory
    tracker._model.encode_memory = lambda *_, **__: (_ for _ in ()).throw(RuntimeError("out of memory"))
    with pytest.raises(RuntimeError):
        tracker.prompt(click("cup", 8, 16))
    tracker._model.encode_memory = encode_memory
    assert tracker.objects == {}
    assert tracker.track(frame(2, {RED: (0, 8)})) == []


def test_holes_up_to_the_stated_area_are_filled():
    ring = picture({RED: (16, 16)})
    ring[20:24, 20:24] = 0  # one pixel of the model's mask
    for area, hole in ((8, False), (0, True)):
        tracker = Tracker(ColourModel(), TrackerSettings(hole_area=area))
        tracker.track(Frame(ring, 1))
        mask = tracker.prompt(Prompt("cup", points=[(17, 17)], labels=[1])).track.mask
        assert bool(mask[22, 22]) != hole


def test_settings_outside_their_range_name_the_value_and_the_bound():
    with pytest.raises(InvalidInput, match="remembered_frames must be at least 2, got 1"):
        TrackerSettings(remembered_frames=1)


def test_what_the_tracker_holds_does_not_grow_with_the_stream():
    tracker = Tracker(ColourModel(), TrackerSettings(remembered_frames=4))
    held = []
    for stamp in range(1, 301):
        tracker.track(frame(stamp, {RED: (0, 8), GREEN: (32, 8)}))
        if stamp % 50 == 1:
            tracker.prompt(click("a", 8, 16))
        if stamp % 20 == 1:
            tracker.prompt(click("b", 40, 16, replace=True))
        held.append(sum(len(o.bank) for o in tracker._objects.values()) + len(tracker._ring))
    assert max(held[200:]) == max(held[100:200]) < 60
    assert torch.is_inference_mode_enabled() is False


def test_what_the_tracker_holds_does_not_grow_while_time_starts_over_after_its_first_frame():
    tracker = Tracker(ColourModel(), TrackerSettings(remembered_frames=20))
    held = []
    for stamp in (1, *(5, 8, 11) * 40):
        tracker.track(frame(stamp * SECOND, {RED: (0, 8)}))
        if stamp == 1:
            tracker.prompt(click("cup", 8, 16))
        cup = tracker._objects["cup"]
        held.append(len(cup.bank) + len(cup.estimates) + len(tracker._ring))
    assert max(held[60:]) == max(held[30:60]) < 60


def test_a_negative_click_before_anything_is_known_of_the_object_is_refused(tracker):
    for stamp in (1, 2, 3):
        tracker.track(frame(stamp, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16), stamp=2)
    with pytest.raises(InvalidPrompt, match="before its first prompt"):
        tracker.prompt(click("cup", 8, 16, label=0), stamp=1)
    assert tracker.prompt(click("cup", 30, 30, label=0), stamp=3).track.area > 0


def test_warming_up_leaves_no_trace(tracker):
    tracker.warm_up()
    assert {kind for kind, _ in tracker._model.calls} == {"encode_image", "attend", "decode", "encode_memory"}
    assert tracker.objects == {} and tracker.stamps == []
    tracker.track(frame(1, {RED: (0, 8)}))
    assert tracker.prompt(click("cup", 8, 16)).track.id == 1


def test_what_a_caller_does_with_an_object_pointer_does_not_reach_the_memory(tracker):
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16)).track.object_pointer[:] = 0
    (track,) = tracker.track(frame(2, {RED: (0, 8)}))
    assert track.mask.any() and track.object_pointer.any()


def test_late_prompts_that_are_followed_in_parts_end_where_those_do_that_are_followed_at_once():
    def run(later):
        tracker = Tracker(ColourModel())
        for stamp in range(1, 11):
            tracker.track(frame(stamp, {RED: (stamp, 8), GREEN: (40, 40)}))
        tracker.prompt(click("cup", 6, 16), 2, later=later)
        tracker.prompt(click("can", 44, 44), 4, later=later)
        tracker.prompt(click("cup", 8, 16), 6, later=later)
        if later:
            assert tracker.is_behind() and len(tracker.current()) == 2, "an answer for the time being"
        steps = 0
        while tracker.is_behind():
            tracker.catch_up()
            steps += 1
        return tracker, steps

    (now, _), (later, steps) = run(False), run(True)
    assert steps == 8, "both objects together"
    for stamp in range(2, 11):
        ours, theirs = later.at(stamp), now.at(stamp)
        assert [(one.name, one.mask.tobytes()) for one in ours] == [(one.name, one.mask.tobytes()) for one in theirs]
    assert later._objects["can"].bank.past(11).lengths == now._objects["can"].bank.past(11).lengths


def test_an_object_that_is_behind_may_be_forgotten_or_leave_the_remembered_frames():
    tracker = Tracker(ColourModel(), TrackerSettings(remembered_frames=4))
    walk(tracker, [1, 2, 3, 4])
    tracker.prompt(click("cup", 4, 16), 1, later=True)
    walk(tracker, [5, 6, 7, 8, 9], x0=4)
    tracker.catch_up()
    assert tracker.is_behind() and len(tracker.current()) == 1
    tracker.forget("cup")
    assert not tracker.is_behind()
    tracker.catch_up()


def test_an_image_on_which_the_model_failed_may_be_sent_again(tracker, monkeypatch):
    tracker.track(frame(1, {RED: (0, 0)}))
    tracker.prompt(Prompt("cup", points=[(8, 8)], labels=[1]))
    with monkeypatch.context() as broken, pytest.raises(RuntimeError):
        broken.setattr(ColourModel, "attend", lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory")))
        tracker.track(frame(2, {RED: (32, 32)}))
    (track,) = tracker.track(frame(2, {RED: (32, 32)}))
    assert tracker.placed == Place.NEWER and track.mask[40, 40] and not track.mask[8, 8]
    assert tracker.stamps == [1, 2]


def test_clicks_on_one_image_have_a_bound_and_a_box_starts_over(tracker):
    tracker.track(frame(1, {RED: (0, 0)}))
    many = Prompt("cup", points=[(8, 8)] * MAX_CLICKS, labels=[1] * MAX_CLICKS)
    tracker.prompt(many)
    with pytest.raises(InvalidPrompt, match=f"cup would have {MAX_CLICKS + 1} clicks on this image"):
        tracker.prompt(Prompt("cup", points=[(8, 8)], labels=[1]))
    tracker.prompt(Prompt("cup", box=(0, 0, 16, 16)))
    tracker.prompt(Prompt("cup", points=[(8, 8)], labels=[1]))


# -- another memory rule ----------------------------------------------------------------------


class WhereItWasLargest(MemoryBank):
    """Remembers, besides what was prompted, the frame alone on which the object was largest."""

    name = "largest"

    def __init__(self) -> None:
        super().__init__()
        self.sightings, self.asked = [], []

    def keep(self, sighting, tokens, pointer):
        self.sightings.append((sighting, sighting.areas))
        largest = max(areas[seen.chosen] for seen, areas in self.sightings)
        if sighting.prompted or sighting.areas[sighting.chosen] == largest:
            self.forget_unprompted(0)
            super().keep(sighting, tokens, pointer)

    def past(self, index, seconds=None):
        self.asked.append((index, seconds))
        return super().past(index, seconds)


def test_a_memory_rule_is_told_of_every_candidate_and_decides_what_is_seen():
    tracker = Tracker(ColourModel(), memory_rule=lambda _: WhereItWasLargest())
    wide = np.zeros((64, 64, 3), np.uint8)
    wide[8:32, :40] = RED
    tracker.track(frame(10 * SECOND, {RED: (0, 8)}))
    tracker.prompt(click("cup", 8, 16))
    for stamp in (11 * SECOND, 12 * SECOND):
        tracker.track(frame(stamp, {RED: (0, 8)}))
    tracker.track(Frame(wide, 13 * SECOND))
    for stamp in (14 * SECOND, 0):
        tracker.track(frame(stamp, {RED: (0, 8)}))
    rule = tracker._objects["cup"].bank
    assert [(seen.index, seen.prompted, seen.seconds) for seen, _ in rule.sightings] == [
        (0, True, 10.0),
        (1, False, 11.0),
        (2, False, 12.0),
        (3, False, 13.0),
        (4, False, 14.0),
        (5, False, None),
    ]
    assert rule.asked == [(1, 11.0), (2, 12.0), (3, 13.0), (4, 14.0), (5, None)]
    assert all(areas == ((60,) * 3 if seen.index == 3 else (16,) * 3) for seen, areas in rule.sightings)
    assert all(seen.ious == pytest.approx((0.9,) * 3) and seen.object_score == 8 for seen, _ in rule.sightings)
    assert all(seen.logits.shape == (3, GRID, GRID) for seen, _ in rule.sightings)
    assert tracker._model.memories[-1].time_code.tolist() == [[PROMPTED_TIME_CODE, 1]], "the largest, two frames ago"


class OnlyPrompted(MemoryBank):
    """Remembers prompted frames alone."""

    name = "prompted"

    def keep(self, sighting, tokens, pointer):
        if sighting.prompted:
            super().keep(sighting, tokens, pointer)


def test_each_new_object_gets_a_memory_of_the_rule_that_was_given():
    given = []
    settings = TrackerSettings(max_prompted_frames=3)
    tracker = Tracker(ColourModel(), settings, memory_rule=lambda settings: given.append(settings) or OnlyPrompted())
    tracker.track(frame(1, {RED: (0, 8), GREEN: (32, 8)}))
    tracker.prompt(click("cup", 8, 16))
    tracker.prompt(click("mug", 40, 16))
    walk(tracker, [2, 3, 4])
    assert given == [settings, settings]
    assert [len(followed.bank) for followed in tracker._objects.values()] == [1, 1]
    assert tracker._model.memories[-1].time_code.tolist() == [[PROMPTED_TIME_CODE]] * 2
    assert tracker.export("cup").rule == "prompted"


def test_objects_with_memories_of_different_length_are_answered_together(tracker):
    squares = {RED: (0, 8), GREEN: (32, 8)}
    tracker.track(frame(1, squares))
    tracker.prompt(click("old", 8, 16))
    tracker.track(frame(2, squares))
    tracker.prompt(click("young", 40, 16))
    before = len(tracker._model.calls)
    tracker.track(frame(3, squares))
    assert tracker._model.calls[before + 3 :] == [("decode", 2), ("encode_memory", 2)]
