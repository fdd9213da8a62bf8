import threading
import weakref

import numpy as np
import pytest
from recordings.bags import stamp
from recordings.script import Script, click, image, removal, truth

from sam2_ros.recordings.moments import LOOK_AHEAD, moments_of, prefetched, with_following
from sam2_ros.recordings.recording import CameraEvent, Event, Truth


def test_each_frame_comes_with_its_truth_though_it_was_recorded_later():
    script = [image(0), image(1), image(2), truth(0), truth(1), image(3), truth(3)]
    moments = list(moments_of(Script(script=script, truth=True)))
    assert [moment.truth is not None for moment in moments] == [True, True, False, True]
    assert [moment.frame.stamp for moment in moments] == [stamp(index) for index in range(4)]


def test_truth_that_comes_before_its_image_is_kept_for_it():
    script = [truth(1, 1), truth(0, 2), image(0), image(1)]
    assert all(moment.truth for moment in moments_of(Script(script=script, truth=True)))


def test_frames_without_truth_do_not_pile_up():
    read = []

    def events():
        for index in range(100):
            read.append(index)
            yield image(index)

    recording = Script(truth=True)
    recording.events = events
    moments = moments_of(recording)
    next(moments)
    assert len(read) <= LOOK_AHEAD + 2


def test_every_image_prompt_and_removal_is_in_exactly_one_moment():
    script = [click(0, arrival=1), image(0), click(0), removal(0, "red"), image(1), click(1)]
    recording = Script(script=[*script, Event(stamp(1), "others", None)])
    moments = list(moments_of(recording))
    assert [event for moment in moments for event in moment.events] == script
    assert len(moments) == 2


def lost(*script):
    recording = Script(script=script, truth=True)
    list(moments_of(recording))
    return recording.lost


def test_truth_that_matches_no_image_is_counted_with_how_far_off_it_is():
    rounded = [Event(stamp(index), "truth", Truth(stamp(index) + 1000 * (index + 1), {})) for index in range(3)]
    (sentence,) = lost(*rounded, *(image(index) for index in range(3)), truth(1))
    assert sentence.startswith(
        "3 of 4 ground truths were not used: 3 have the stamp of no image (the nearest is 0.001 ms off); "
    )


def test_truth_that_comes_too_late_is_counted():
    (sentence,) = lost(*(image(index) for index in range(20)), truth(0), truth(3), truth(19))
    assert sentence.startswith("2 of 3 ground truths were not used: 2 came more than 8 images apart from their own;")


def test_truth_that_comes_twice_is_no_loss():
    assert lost(image(0), truth(0), truth(0), image(1), truth(1), image(2), truth(0), image(2), truth(2)) == []


def test_what_is_no_image_does_not_pile_up_when_the_camera_is_gone():
    held = []

    def events():
        yield image(0)
        for number in range(100):
            event = truth(number + 1)
            held.append(weakref.ref(event.content.masks[1]))
            yield event
            yield Event(stamp(number), "info", CameraEvent(1, (1, 1), np.eye(3), np.zeros(1)))

    recording = Script(truth=True)
    recording.events = events
    (moment,) = moments_of(recording)
    assert len(moment.events) == 1
    assert sum(one() is not None for one in held) <= LOOK_AHEAD + 1


def test_prefetching_keeps_the_order_and_hands_errors_over():
    def numbers():
        yield from range(20)
        raise OSError("the disk is gone")

    drawn = []
    with pytest.raises(OSError, match="the disk is gone"):
        for number in prefetched(numbers()):
            drawn.append(number)
    assert drawn == list(range(20))


def test_prefetching_stops_its_thread_when_nobody_takes_any_more():
    numbers = prefetched(iter(range(10**9)))
    next(numbers)
    numbers.close()
    assert not any(thread.name.startswith("reader") for thread in threading.enumerate())


def test_each_item_comes_with_the_one_after_it():
    assert list(with_following("abc")) == [("a", "b"), ("b", "c"), ("c", None)]
    assert list(with_following("")) == []


def test_what_the_next_item_raises_does_not_cost_the_present_one():
    def letters():
        yield from "ab"
        raise OSError("the disk is gone")

    drawn = []
    with pytest.raises(OSError, match="the disk is gone"):
        for pair in with_following(letters()):
            drawn.append(pair)
    assert drawn == [("a", "b"), ("b", None)]
