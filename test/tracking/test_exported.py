"""One object's memory outside of its tracker."""

import dataclasses

import numpy as np
import pytest
import torch
from fakes import BLUE, GREEN, RED, ColourModel, frame
from tiny_models import EDGETAM_TEST, tiny_model

from sam2_ros.errors import InvalidInput, UnknownObject
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST
from sam2_ros.tracking.exported import ObjectMemory
from sam2_ros.tracking.memory import MemoryBank
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt, State


@pytest.fixture(scope="module")
def model():
    return tiny_model(object_score=1.0)


def noise(seed):
    return np.random.RandomState(seed).randint(0, 256, (48, 64, 3), np.uint8)


def follow(tracker, numbers):
    """What is found of every object on each of these frames."""
    found = []
    for number in numbers:
        tracks = tracker.track(Frame(noise(number), number + 1))
        found.append([(t.object_score, t.state, t.mask.tobytes()) for t in tracks])
    return found


def followed(model, corrected_on=(), frames=20, **settings):
    """A tracker that has followed one object, prompted on the first frame and on some others."""
    tracker = Tracker(model, TrackerSettings(**settings))
    for number in range(frames):
        follow(tracker, [number])
        if number == 0 or number in corrected_on:
            tracker.prompt(Prompt("cup", points=[(20 + number, 20)], labels=[1]))
    return tracker


@pytest.mark.parametrize("corrected_on", [(), (3, 8, 12, 15, 19)], ids=["prompted once", "corrected"])
@pytest.mark.parametrize("before", [0, 5], ids=["new tracker", "tracker of another stream"])
def test_a_restored_object_is_followed_as_the_original_is(model, corrected_on, before):
    original, other = followed(model, corrected_on), Tracker(model)
    follow(other, range(100, 100 + before))
    assert other.restore(original.export("cup")) == 1
    expected, found = follow(original, range(200, 220)), follow(other, range(200, 220))
    assert found == expected
    assert len({mask for ((*_, mask),) in found}) > 10, "masks that show nothing"


def test_a_restored_memory_of_edgetam_is_followed_as_the_original_is():
    model = tiny_model(EDGETAM_TEST, object_score=1.0)
    original, other = followed(model, (3, 8), frames=12), Tracker(model)
    other.restore(original.export("cup"))
    assert follow(original, range(200, 206)) == follow(other, range(200, 206))


def test_an_object_that_was_forgotten_comes_back_under_another_name_and_id(model):
    tracker, twin = followed(model), followed(model)
    memory = tracker.export("cup")
    tracker.forget("cup")
    assert tracker.restore(memory, "mug") == 2 and tracker.objects == {"mug": 2}
    assert follow(tracker, range(30, 36)) == follow(twin, range(30, 36))


def test_what_is_exported_does_not_change_with_the_tracker_that_it_came_from(model):
    tracker, twin = followed(model), followed(model)
    memory = tracker.export("cup")
    follow(tracker, range(40, 60))
    tracker.reset()
    other = Tracker(model)
    other.restore(memory)
    assert follow(other, range(30, 36)) == follow(twin, range(30, 36))


def test_it_holds_what_the_next_frame_sees_in_plain_tensors_that_can_be_saved(model, tmp_path):
    memory = followed(model, (3, 8, 12, 15, 19), frames=40, remembered_frames=30).export("cup")
    assert sorted(memory.contents["prompted"]) == [-39, -27, -24, -20]
    assert sorted(memory.contents["tokens"]) == [-5, -4, -3, -2, -1, 0]
    assert sorted(memory.contents["pointers"]) == list(range(-14, 1))
    tensors = [tensor for pair in memory.contents["prompted"].values() for tensor in pair]
    assert all(type(tensor) is torch.Tensor and not tensor.is_inference() for tensor in tensors)
    fields = {field.name: getattr(memory, field.name) for field in dataclasses.fields(memory)}
    torch.save(fields, tmp_path / "cup.pt")
    loaded = torch.load(tmp_path / "cup.pt", weights_only=True)
    restored = ObjectMemory(**loaded)
    one, other = Tracker(model), Tracker(model)
    one.restore(memory)
    other.restore(restored)
    assert follow(one, range(3)) == follow(other, range(3))


def test_an_object_that_is_behind_is_brought_up_to_date_before_it_is_exported(model):
    trackers = Tracker(model), Tracker(model)
    exported = []
    for tracker, later in zip(trackers, (False, True)):
        follow(tracker, range(8))
        tracker.prompt(Prompt("cup", points=[(20, 20)], labels=[1]), 3, later=later)
        exported.append(tracker.export("cup"))
    tokens = [memory.contents["tokens"] for memory in exported]
    assert sorted(tokens[0]) == sorted(tokens[1]) == [-4, -3, -2, -1, 0]
    assert all(torch.equal(tokens[0][index], tokens[1][index]) for index in tokens[0])


def test_the_state_goes_on_where_it_was():
    tracker = Tracker(ColourModel())
    tracker.track(frame(1, {RED: (0, 8)}))
    tracker.prompt(Prompt("cup", points=[(8, 16)], labels=[1]))
    for stamp in (2, 3, 4):
        tracker.track(frame(stamp, {GREEN: (0, 8)}))
    other = Tracker(ColourModel())
    other.track(frame(1, {BLUE: (0, 8)}))
    other.restore(tracker.export("cup"))
    assert other.current() == []
    (track,) = other.track(frame(2, {BLUE: (0, 8)}))
    assert (track.name, track.state, track.frames_since_seen) == ("cup", State.OCCLUDED, 4)
    (track,) = other.track(frame(3, {RED: (40, 8)}))
    assert track.state == State.VISIBLE and track.mask[16, 48]


def test_a_memory_of_another_model_size_weights_or_rule_is_refused_with_the_remedy(model):
    memory = followed(model).export("cup")
    larger = SAM2(TEST.at(192)).eval()
    with pytest.raises(InvalidInput, match="by the model test at 128 pixels, but this is test at 192 pixels; restore"):
        Tracker(larger).restore(memory)
    with pytest.raises(InvalidInput, match="by the model test at 128 pixels, but this is colours at 64 pixels"):
        Tracker(ColourModel()).restore(memory)
    torch.manual_seed(1)
    with pytest.raises(InvalidInput, match=r"other weights of the model test \(checksum [0-9a-f]{8}, these have"):
        Tracker(SAM2(TEST).eval()).restore(memory)
    with pytest.raises(InvalidInput, match="by the memory rule nearest, but this tracker's is sam2"):
        Tracker(model).restore(dataclasses.replace(memory, rule="nearest"))


def test_a_refused_memory_changes_nothing(model):
    tracker = followed(model)
    memory = tracker.export("cup")
    for given, name, part in (
        (memory, "", "cup is followed already; forget it first"),
        (dataclasses.replace(memory, rule="nearest"), "mug", "memory rule"),
        (memory.contents, "mug", "a memory must be a ObjectMemory"),
    ):
        with pytest.raises(InvalidInput, match=part):
            tracker.restore(given, name)
    assert tracker.objects == {"cup": 1}
    with pytest.raises(UnknownObject, match="no object is called 'mug'; followed objects: cup"):
        tracker.export("mug")


def test_a_restored_object_can_be_corrected_and_gone_through_again(model):
    tracker = Tracker(model)
    tracker.restore(followed(model).export("cup"))
    follow(tracker, range(5))
    assert tracker.prompt(Prompt("cup", points=[(30, 20)], labels=[1]), 3).track.prompted_frames == 2
    tracker.rewind()
    assert [len(found) for found in follow(tracker, range(5))] == [1] * 5
    assert isinstance(tracker._objects["cup"].bank, MemoryBank)
