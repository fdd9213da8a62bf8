"""The last frames of the stream."""

from types import SimpleNamespace

import pytest

from sam2_ros.errors import UnknownStamp
from sam2_ros.tracking.ring import Ring


def ring(*stamps, capacity=5):
    filled = Ring(capacity)
    for index, stamp in enumerate(stamps):
        filled.push(SimpleNamespace(index=index, stamp=stamp))
    return filled


def test_a_frame_is_found_by_its_stamp_and_zero_is_the_newest():
    frames = ring(10, 20, 30)
    assert frames.at(20).index == 1
    assert frames.at(0).index == 2


def test_the_oldest_frame_makes_room():
    frames = ring(*range(10, 90, 10))
    assert [frame.stamp for frame in frames] == [40, 50, 60, 70, 80]


@pytest.mark.parametrize(
    "stamp, reason",
    [
        (3 * 10**9, r"3\.0{9} s is 7\.0{9} s older than the oldest remembered image; .* remembered_frames \(now 5\)"),
        (15 * 10**9, "never tracked"),
        (40 * 10**9, "newer than the newest image"),
    ],
)
def test_a_stamp_that_is_not_there_is_refused_with_the_reason(stamp, reason):
    with pytest.raises(UnknownStamp, match=reason):
        ring(10 * 10**9, 20 * 10**9, 30 * 10**9).at(stamp)


def test_an_empty_ring_says_that_no_image_has_arrived():
    with pytest.raises(UnknownStamp, match="no image has arrived yet"):
        ring().at(0)


def test_time_that_goes_back_empties_the_ring_but_missing_stamps_do_not():
    assert [frame.stamp for frame in ring(100, 200, 50)] == [50]
    assert [frame.stamp for frame in ring(100, 0, 0)] == [100, 0, 0]


def test_time_that_goes_back_leaves_the_frames_that_are_older_still():
    assert [frame.stamp for frame in ring(10, 20, 900, 30)] == [10, 20, 30]
    assert [frame.stamp for frame in ring(10, 0, 20, 0, 15)] == [10, 15]


def test_the_frames_after_one_are_those_in_the_order_of_arrival():
    frames = ring(10, 20, 30)
    assert [later.stamp for later in frames.after(frames.at(10))] == [20, 30]


def test_a_frame_leaves_after_as_many_frames_as_the_ring_has_places_also_where_time_went_back_between_them():
    frames = ring(1, 20, 5, 20, 5, capacity=5)
    assert [frame.index for frame in frames] == [0, 4]
    frames.push(SimpleNamespace(index=5, stamp=30))
    assert [frame.index for frame in frames] == [4, 5]


def test_a_camera_without_stamps_is_named_as_the_reason():
    ring = Ring(3)
    ring.push(SimpleNamespace(index=0, stamp=0))
    with pytest.raises(UnknownStamp, match="the images have no stamps.*send the prompt with stamp 0"):
        ring.at(5_000_000_000)
