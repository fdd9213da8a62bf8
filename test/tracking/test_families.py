"""What the tracker promises holds with every family of models: late prompts, corrections, objects beside each other.

That a bounded memory equals an unbounded one is in test_tracker_bounds, export and restore in test_exported, and the
agreement with the official predictors in the parity tests.
"""

import pytest
import torch
from edgetam_weights import edgetam_weights
from official_video import HEIGHT, WIDTH, answers, clicks, disk, video
from tiny_models import FAMILIES, tiny_model

from sam2_ros.model import checkpoint
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt, State

VIDEO = video()
#: The bias of the occlusion head at which a random model sees an object, or does not.
SEEN, HIDDEN = 5.0, -5.0


@pytest.fixture(scope="module", params=[*FAMILIES, pytest.param("edgetam.pt", marks=pytest.mark.slow)])
def family(request, tmp_path_factory):
    """Makes a model of one family from a bias of its occlusion head; edgetam.pt: a file in the published format."""
    if request.param in FAMILIES:
        return lambda score=SEEN: tiny_model(FAMILIES[request.param], score)
    path = tmp_path_factory.mktemp("weights") / "edgetam.pt"

    def load(score=SEEN):
        torch.save({"model": edgetam_weights(seed=2, object_score=score)}, path)
        return checkpoint.load(path, "cpu", image_side=256)

    return load


def follow(tracker, first, last):
    """Track the frames of the video from ``first`` up to ``last``, counted from 0; stamps count from 1."""
    for number in range(first, last):
        tracker.track(Frame(VIDEO[number], number + 1))


def assert_same(one, other, count):
    """Two trackers found the same, bit for bit, on ``count`` frames of their objects together."""
    ours, theirs = answers(one), answers(other)
    assert ours.keys() == theirs.keys() and len(ours) == count
    for key in ours:
        assert all(torch.equal(a, b) for a, b in zip(ours[key][:2], theirs[key][:2])) and ours[key][2] == theirs[key][2]


def assert_near(found, other):
    """The same but for rounding, which differs with the number of objects that are computed together."""
    assert torch.allclose(found[0], other[0], atol=1e-3) and torch.allclose(found[1], other[1], atol=1e-4)
    assert abs(found[2] - other[2]) < 1e-3


def test_a_prompt_that_comes_late_ends_where_one_in_time_does(family):
    model = family()
    in_time, late = Tracker(model), Tracker(model)
    follow(in_time, 0, 3)
    in_time.prompt(clicks("one", (60, 50, 1)), 3)
    follow(in_time, 3, 9)
    follow(late, 0, 9)
    late.prompt(clicks("one", (60, 50, 1)), 3)
    assert_same(in_time, late, 7)
    follow(in_time, 9, 11)
    follow(late, 9, 11)
    assert_same(in_time, late, 9)


def test_late_prompts_that_are_followed_in_parts_end_where_those_do_that_are_followed_at_once(family):
    model = family()
    at_once, in_parts = Tracker(model), Tracker(model)
    for tracker, later in ((at_once, False), (in_parts, True)):
        follow(tracker, 0, 8)
        tracker.prompt(clicks("one", (60, 50, 1)), 2, later=later)
        tracker.prompt(Prompt("two", box=(20, 30, 110, 90)), 4, later=later)
        while tracker.is_behind():
            tracker.catch_up()
    ours, theirs = answers(in_parts), answers(at_once)
    assert ours.keys() == theirs.keys() and len(ours) == 7 + 5
    for key, found in ours.items():
        assert_near(found, theirs[key])


def test_a_late_correction_counts_on_every_frame_since_and_leaves_other_objects_untouched(family):
    tracker = Tracker(family())
    follow(tracker, 0, 1)
    tracker.prompt(clicks("one", (60, 50, 1)), 1)
    tracker.prompt(Prompt("two", mask=disk(80, 60, 25)), 1)
    follow(tracker, 1, 8)
    before = answers(tracker)
    tracker.prompt(clicks("one", (40, 30, 0)), 5)
    after = answers(tracker)
    changed = {key for key in after if not torch.equal(before[key][0], after[key][0])}
    assert changed == {(0, frame) for frame in range(4, 8)}
    assert [track.prompted_frames for track in tracker.current()] == [2, 1]


def test_objects_beside_each_other_are_found_as_each_alone(family):
    model = family()
    prompts = [clicks("one", (60, 50, 1)), Prompt("two", box=(20, 30, 110, 90)), Prompt("three", mask=disk(80, 60, 25))]
    together, alone = Tracker(model, TrackerSettings(non_overlapping=False)), []
    follow(together, 0, 1)
    for prompt in prompts:
        together.prompt(prompt, 1)
        alone.append(Tracker(model))
        follow(alone[-1], 0, 1)
        alone[-1].prompt(prompt, 1)
    for tracker in (together, *alone):
        follow(tracker, 1, 6)
    found = answers(together)
    for number, tracker in enumerate(alone):
        for (_, frame), own in answers(tracker).items():
            assert_near(found[number, frame], own)


def test_an_object_that_is_not_seen_is_occluded_then_lost_and_has_no_mask(family):
    tracker = Tracker(family(HIDDEN), TrackerSettings(lost_after_frames=4))
    follow(tracker, 0, 1)
    tracker.prompt(Prompt("one", mask=disk(80, 60, 25)), 1)
    states = []
    for number in range(1, 6):
        follow(tracker, number, number + 1)
        (track,) = tracker.current()
        states.append(track.state)
        assert track.occluded and not track.mask.any() and track.mask.shape == (HEIGHT, WIDTH)
    assert states == [State.OCCLUDED] * 3 + [State.LOST] * 2
