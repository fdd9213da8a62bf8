"""Memory of the device that runs out: smaller batches, then a sentence; what was followed is followed further."""

import logging

import pytest
import torch
from fakes import BLUE, GREEN, RED, ColourModel, frame

from sam2_ros.errors import OutOfMemory
from sam2_ros.model import pixels
from sam2_ros.tracking import batches
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Prompt

SQUARES = {RED: (0, 0), GREEN: (24, 0), BLUE: (0, 32)}


class SmallDevice(ColourModel):
    """Raises what torch raises in a method that is given more objects than it has room for.

    room: by the name of the method; others have enough.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room: dict[str, int] = {}

    def encode_image(self, images):
        self.take("encode_image", 1)
        return super().encode_image(images)

    def attend(self, features, memories):
        self.take("attend", 0 if memories is None else len(memories.tokens))
        return super().attend(features, memories)

    def decode(self, view, features, prompt=None, **options):
        self.take("decode", len(view))
        return super().decode(view, features, prompt, **options)

    def encode_memory(self, features, mask_logits, object_score, **options):
        self.take("encode_memory", len(mask_logits))
        return super().encode_memory(features, mask_logits, object_score, **options)

    def take(self, method, objects):
        if objects > self.room.get(method, objects):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def click(name, x, y):
    return Prompt(name, points=[(x, y)], labels=[1])


def following(model):
    tracker = Tracker(model)
    tracker.track(frame(1, SQUARES))
    for name, place in zip(("red", "green", "blue"), SQUARES.values()):
        tracker.prompt(click(name, place[0] + 8, place[1] + 8))
    return tracker


def found(tracks):
    return [(track.name, track.state, track.mask.tobytes()) for track in tracks]


@pytest.mark.parametrize("method", ["attend", "decode", "encode_memory"])
@pytest.mark.parametrize("room", [1, 2])
def test_objects_that_do_not_fit_together_are_followed_in_smaller_batches(method, room, caplog):
    model = SmallDevice()
    tracker, other = following(model), following(ColourModel())
    model.room[method] = room
    with caplog.at_level(logging.WARNING):
        for stamp in (2, 3):
            assert found(tracker.track(frame(stamp, SQUARES))) == found(other.track(frame(stamp, SQUARES)))
    assert [record.getMessage() for record in caplog.records] == [
        "no memory for 3 objects at once; for now they are followed in batches of 1, which is slower"
    ]


def test_without_memory_for_one_object_the_image_is_refused_and_a_later_one_is_not():
    model = SmallDevice()
    tracker = following(model)
    model.room["attend"] = 0
    with pytest.raises(OutOfMemory, match=r"no memory for following red \(CUDA out of memory\); remove objects"):
        tracker.track(frame(2, SQUARES))
    model.room["attend"] = 1
    assert [track.name for track in tracker.track(frame(3, SQUARES))] == ["red", "green", "blue"]


def test_an_image_that_cannot_be_encoded_is_refused():
    model = SmallDevice()
    tracker = following(model)
    model.room["encode_image"] = 0
    with pytest.raises(OutOfMemory, match="no memory for another image"):
        tracker.track(frame(2, SQUARES))
    model.room["encode_image"] = 1
    assert len(tracker.track(frame(2, SQUARES))) == 3


@pytest.mark.parametrize("method", ["decode", "encode_memory", "attend"])
def test_a_new_object_for_which_there_is_no_memory_is_refused_and_the_others_stay(method):
    model = SmallDevice()
    tracker = following(model)
    tracker.forget("blue")
    for stamp in (2, 3):
        tracker.track(frame(stamp, SQUARES))
    model.room[method] = 0
    with pytest.raises(OutOfMemory, match="no memory for"):
        tracker.prompt(click("blue", 8, 40), stamp=2)
    assert list(tracker.objects) == ["red", "green"]
    model.room[method] = 2
    assert [track.name for track in tracker.track(frame(4, SQUARES))] == ["red", "green"]


def test_an_object_without_memory_costs_the_others_nothing():
    model = SmallDevice()
    tracker = following(model)
    attend = model.attend

    def lacking(features, memories):
        if memories is not None and (
            len(memories.tokens) > 1 or memories.pointers[0, 0, 0] > memories.pointers[0, 0, 1]
        ):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return attend(features, memories)

    model.attend = lacking
    with pytest.raises(OutOfMemory, match=r"following red \(CUDA out of memory\); [^;]*$"):
        tracker.track(frame(2, SQUARES))
    assert [track.name for track in tracker.current()] == ["green", "blue"]


def test_all_objects_without_memory_are_named():
    model = SmallDevice()
    tracker = following(model)
    model.room["attend"] = 0
    with pytest.raises(OutOfMemory, match="following red .*; also not followed: green, blue$"):
        tracker.track(frame(2, SQUARES))


def test_objects_that_are_brought_up_to_date_lose_no_image_silently():
    model = SmallDevice()
    tracker = following(model)
    for name in ("red", "green", "blue"):
        tracker.forget(name)
    for stamp in (2, 3, 4):
        tracker.track(frame(stamp, SQUARES))
    for name, x, y in (("red", 8, 8), ("green", 32, 8), ("blue", 8, 40)):
        tracker.prompt(click(name, x, y), stamp=2, later=True)
    attend = model.attend

    def lacking(features, memories):
        if len(memories.tokens) > 1 or memories.pointers[0, 0, 0] > memories.pointers[0, 0, 1]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return attend(features, memories)

    model.attend = lacking
    with pytest.raises(OutOfMemory, match="following red"):
        tracker.catch_up()
    assert [track.name for track in tracker.at(3)] == ["green", "blue"]


def test_later_more_objects_are_followed_at_once_again(monkeypatch):
    monkeypatch.setattr(batches, "PATIENCE", 3)
    model = SmallDevice()
    tracker = following(model)
    model.room["attend"] = 1
    tracker.track(frame(2, SQUARES))
    model.room["attend"] = 9
    largest = []
    for stamp in range(3, 11):
        model.calls.clear()
        assert len(tracker.track(frame(stamp, SQUARES))) == 3
        largest.append(max(count for method, count in model.calls if method == "attend"))
    assert largest == [1, 1, 1, 2, 2, 2, 2, 3]


@pytest.mark.parametrize("lacks", [1, 2])
def test_masks_for_which_there_is_no_memory_are_an_error_of_ours(monkeypatch, lacks):
    tracker, made = following(SmallDevice()), pixels.to_masks
    calls = []

    def lacking(*given):
        calls.append(1)
        if len(calls) <= lacks:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return made(*given)

    monkeypatch.setattr(pixels, "to_masks", lacking)
    tracks = tracker.newest()
    if lacks > 1:
        with pytest.raises(OutOfMemory, match="no memory for the masks"):
            list(tracks)
    assert len(list(tracks)) == 3


def test_another_error_stays_what_it_is():
    model = SmallDevice()
    tracker = following(model)
    model.decode = lambda *args, **options: torch.zeros(2) @ torch.zeros(3)
    with pytest.raises(RuntimeError, match="size"):
        tracker.track(frame(2, SQUARES))
