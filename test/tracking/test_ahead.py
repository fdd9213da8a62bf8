"""The next image is encoded beside the present one: in which order, and without a difference in any result."""

import logging

import numpy as np
import pytest
import torch
from fakes import GREEN, RED, ColourModel, frame
from tiny_models import FAMILIES, tiny_model
from tracking.test_out_of_memory import SmallDevice

from sam2_ros.errors import InvalidInput, OutOfMemory
from sam2_ros.tracking import ahead
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame, Prompt

SQUARES = {RED: (0, 0), GREEN: (24, 0)}


class AtOnce:
    """In the place of a GPU's second stream: computes when it is begun; notes what was begun and what was used."""

    def __init__(self):
        self.begun, self.used = 0, 0

    def begin(self, encode):
        self.begun += 1
        return Come(self, encode())


class Come:
    def __init__(self, stream, found):
        self.stream, self.found = stream, found

    def features(self):
        self.stream.used += 1
        return self.found


@pytest.fixture
def stream(monkeypatch):
    made = AtOnce()
    monkeypatch.setattr(ahead, "side_stream", lambda device: made)
    return made


def track_all(tracker, frames):
    """Track frames, each prepared before the one in front of it is tracked."""
    found = []
    for present, following in zip(frames, [*frames[1:], None]):
        if following is not None:
            tracker.prepare(following)
        found.append(tracker.track(present))
    return found


def click(name, x, y):
    return Prompt(name, points=[(x, y)], labels=[1])


def recording(model, prepares):
    """Twenty images with objects that come, go and are corrected: the tracks after each image and each prompt."""
    pictures = np.random.default_rng(3).integers(0, 255, (20, 64, 64, 3), np.uint8)
    frames = [Frame(picture, number) for number, picture in enumerate(pictures, start=1)]
    tracker, found = Tracker(model), []
    for number, present in enumerate(frames, start=1):
        if prepares and number < len(frames):
            tracker.prepare(frames[number])
        found.append(tracker.track(present))
        if number in (1, 4, 9):
            found.append(tracker.prompt(Prompt(f"object {number}", box=(5, 5, 20 + number, 30))).newest)
        if number == 12:
            tracker.forget("object 4")
        if number == 15:
            found.append(tracker.prompt(Prompt("object 9", points=[(12, 12)], labels=[0]), stamp=13).newest)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_results_are_the_same_bit_by_bit(family, stream):
    model = tiny_model(FAMILIES[family], 5.0)
    expected, found = recording(model, prepares=False), recording(model, prepares=True)
    assert stream.begun == stream.used == 19
    for one, other in zip(found, expected, strict=True):
        assert [(track.name, track.state, track.object_score, track.predicted_iou) for track in one] == [
            (track.name, track.state, track.object_score, track.predicted_iou) for track in other
        ]
        assert all((track.mask == same.mask).all() for track, same in zip(one, other))
        assert all((track.object_pointer == same.object_pointer).all() for track, same in zip(one, other))


def test_it_is_begun_when_all_of_the_present_image_was_asked_for_and_before_that_is_waited_for(stream):
    model = ColourModel()
    tracker, frames = Tracker(model), [frame(stamp, SQUARES) for stamp in (1, 2, 3)]
    tracker.track(frames[0])
    tracker.prompt(click("red", 8, 8))
    model.calls.clear()
    track_all(tracker, frames[1:])
    methods = [method for method, _ in model.calls]
    one = ["attend", "decode", "encode_memory"]
    assert methods == ["encode_image", *one, "encode_image", *one]  # each image once, the second one beside the first


def test_without_objects_it_is_begun_too(stream):
    track_all(Tracker(ColourModel()), [frame(stamp, SQUARES) for stamp in (1, 2, 3)])
    assert stream.begun == stream.used == 2


def test_an_image_that_is_not_tracked_after_all_is_dropped(stream):
    model = ColourModel()
    tracker = Tracker(model)
    tracker.prepare(frame(2, {RED: (40, 40)}))
    tracker.track(frame(1, SQUARES))
    tracker.prompt(click("red", 8, 8))
    (track,) = tracker.track(frame(3, SQUARES))
    assert track.mask[8, 8] and not track.mask[48, 48]
    assert (stream.begun, stream.used, model.count("encode_image")) == (1, 0, 3)
    assert tracker._finder.ahead._begun is None


@pytest.mark.parametrize("stamp", [5, 4])
def test_an_image_that_will_not_be_looked_at_is_not_encoded(stream, stamp):
    tracker = Tracker(ColourModel())
    tracker.prepare(frame(stamp, SQUARES))
    tracker.track(frame(5, SQUARES))
    assert stream.begun == 0


def test_an_image_is_not_encoded_again_after_its_turn(stream):
    model = SmallDevice()
    tracker, following = Tracker(model), frame(2, SQUARES)
    tracker.prepare(following)
    model.encode_image = lambda images: 1 / 0
    with pytest.raises(ZeroDivisionError):
        tracker.track(frame(1, SQUARES))
    del model.encode_image
    tracker.track(following)
    assert stream.begun == 0 and model.count("encode_image") == 1


@pytest.mark.parametrize("act", ["reset", "rewind"])
def test_what_starts_again_drops_it(stream, act):
    tracker, following = Tracker(ColourModel()), frame(2, SQUARES)
    tracker.prepare(following)
    tracker.track(frame(1, SQUARES))
    getattr(tracker, act)()
    tracker.track(following)
    assert stream.begun == 1 and stream.used == 0


def test_memory_that_is_too_small_for_two_images_costs_nothing_but_time(stream, caplog, monkeypatch):
    monkeypatch.setattr(ahead, "PAUSE", 3)
    model = SmallDevice()
    tracker, frames = Tracker(model), [frame(stamp, SQUARES) for stamp in range(1, 8)]
    begin = stream.begin

    def lacking(encode):
        if stream.begun:
            return begin(encode)
        stream.begun += 1
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    stream.begin = lacking
    with caplog.at_level(logging.WARNING):
        assert len(track_all(tracker, frames)) == 7
    assert [record.getMessage() for record in caplog.records] == [
        "no memory to encode the next image ahead; 3 images are encoded in their turn"
    ]
    assert stream.begun == 1 + stream.used and stream.used == 3  # of images 2 to 7, three in their turn


def test_an_image_that_is_ahead_gives_way_to_objects_that_need_its_memory(stream):
    model = SmallDevice()
    tracker, frames = Tracker(model), [frame(stamp, SQUARES) for stamp in (1, 2, 3)]
    tracker.track(frames[0])
    for name, x in (("red", 8), ("green", 32)):
        tracker.prompt(click(name, x, 8))
    model.room["attend"] = 1
    found = track_all(tracker, frames[1:])
    assert [len(tracks) for tracks in found] == [2, 2] and stream.used == 0


def test_an_error_ahead_is_raised_by_the_image_that_has_it(stream, caplog):
    model = SmallDevice()
    tracker, frames = Tracker(model), [frame(stamp, SQUARES) for stamp in (1, 2, 3)]
    tracker.track(frames[0])
    tracker.prompt(click("red", 8, 8))
    encode = model.encode_image
    model.encode_image = lambda images: encode(images if images.amax() > 0 else torch.zeros(2) @ torch.zeros(3))
    present, following = frame(2, SQUARES), frame(3, {})
    tracker.prepare(following)
    with caplog.at_level(logging.WARNING):
        assert len(tracker.track(present)) == 1
    assert "the next image cannot be encoded ahead (" in caplog.text
    with pytest.raises(RuntimeError, match="size"):
        tracker.track(following)
    model.encode_image = encode
    assert len(tracker.track(frame(4, SQUARES))) == 1


def test_an_image_without_memory_in_its_turn_is_refused_then(stream):
    model = SmallDevice()
    tracker, following = Tracker(model), frame(2, SQUARES)
    encode = model.encode_image
    tracker.prepare(following)
    calls = []

    def lacking(images):
        calls.append(1)
        model.room["encode_image"] = 1 if len(calls) == 1 else 0
        return encode(images)

    model.encode_image = lacking
    tracker.track(frame(1, SQUARES))
    with pytest.raises(OutOfMemory, match="another image"):
        tracker.track(following)


def test_on_a_processor_nothing_is_encoded_ahead():
    model = ColourModel()
    tracker = Tracker(model)
    tracker.prepare(frame(2, SQUARES))
    tracker.track(frame(1, SQUARES))
    assert model.count("encode_image") == 1 and tracker._finder.ahead.wanted is None


def test_what_is_no_frame_is_refused():
    with pytest.raises(InvalidInput, match="a frame must be a Frame"):
        Tracker(ColourModel()).prepare(np.zeros((4, 4, 3), np.uint8))
