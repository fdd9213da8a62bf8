"""Where an image belongs, by its stamp, and which image a prompt is for."""

import pytest

from sam2_ros.stamps import OLDER_IN_A_ROW, Place, Timeline, nearest, replaces

SECOND = 10**9
NEWER, SAME, LATE, RESTART = Place.NEWER, Place.SAME, Place.LATE, Place.RESTART


def places(*seconds, timeline=None):
    timeline = timeline or Timeline()
    return [timeline.place(round(stamp * SECOND)) for stamp in seconds]


def test_two_neighbours_in_the_wrong_order_cost_the_older_one_only():
    assert places(5.0, 5.2, 5.1, 5.3) == [NEWER, NEWER, LATE, NEWER]


def test_an_image_that_comes_four_places_late_is_left_out():
    assert places(5.0, 5.1, 5.2, 5.3, 5.4, 4.95, 5.5) == [NEWER] * 5 + [LATE, NEWER]


def test_images_delivered_twice_are_the_same_or_late():
    assert places(5.0, 5.0, 5.1, 5.0, 5.1, 5.2) == [NEWER, SAME, NEWER, LATE, SAME, NEWER]


def test_a_jump_back_of_more_than_a_second_is_a_restart_at_once():
    assert places(20.0, 20.1, 5.0, 5.1) == [NEWER, NEWER, RESTART, NEWER]
    assert places(20.0, 19.0) == [NEWER, LATE]


def test_a_clock_that_jumps_by_years_and_back_restarts_once():
    assert places(20.0, 1.7e9, 20.1, 20.2) == [NEWER, NEWER, RESTART, NEWER]


def test_a_clock_that_is_set_back_a_little_restarts_after_several_older_images():
    timeline = Timeline()
    places(20.0, timeline=timeline)
    assert places(*(19.1 + n / 100 for n in range(OLDER_IN_A_ROW + 1)), timeline=timeline) == (
        [LATE] * (OLDER_IN_A_ROW - 1) + [RESTART, NEWER]
    )


@pytest.mark.parametrize("count", [3, 4, 10])
def test_a_short_bag_that_loops_restarts_late_the_first_time_and_then_at_once(count):
    loop = [5.0 + n / 15 for n in range(count)]
    timeline = Timeline()
    for _ in range(4):
        places(*loop, timeline=timeline)
    assert places(*loop, timeline=timeline) == [RESTART] + [NEWER] * (count - 1)


def test_a_missing_stamp_is_a_new_image_and_no_restart():
    assert places(5.0, 0, 5.1, 0, 0, 5.05) == [NEWER, NEWER, NEWER, NEWER, NEWER, LATE]
    assert places(0, 0, 5.0) == [NEWER] * 3


def test_two_cameras_a_little_apart_on_one_topic_are_one_stream_of_one_of_them():
    assert places(5.0, 4.98, 5.1, 5.08, 5.2, 5.18) == [NEWER, LATE] * 3


@pytest.mark.parametrize(
    "waiting, stamp, wins",
    [(5.0, 5.1, True), (5.1, 5.0, False), (5.0, 5.0, True), (5.0, 3.0, True), (5.0, 0, True), (0, 5.0, True)],
)
def test_an_image_takes_the_place_of_one_that_waits_unless_it_is_a_little_older(waiting, stamp, wins):
    assert replaces(round(waiting * SECOND), round(stamp * SECOND)) == wins


def near(stamps, stamp, tolerance=0.1):
    found = nearest([round(one * SECOND) for one in stamps], round(stamp * SECOND), round(tolerance * SECOND))
    return None if found is None else found / SECOND


def test_a_prompt_is_for_the_nearest_image_within_the_tolerance():
    assert near([1.0], 1.1) == 1.0 and near([1.0], 1.2) is None
    assert near([1.0, 0, 1.05], 1.04) == 1.05
    assert near([], 1.0) is None and near([0, 0], 1.0) is None


def test_where_images_are_rare_a_prompt_reaches_as_far_as_they_are_apart():
    slow = [1.0, 1.25, 1.5]
    assert near(slow, 1.38) == 1.5 and near(slow, 1.75) == 1.5 and near(slow, 0.76) == 1.0
    assert near(slow, 1.8) is None and near(slow, 0.7) is None
    assert near([1.0, 2.5, 2.75, 3.0], 1.75) == 1.0, "five images were dropped"
    assert near([1.0, 1.25, 1.5, 60.0, 60.25], 30.0) is None, "a pause of the camera"
    assert near([1.0, 61.0], 30.0) is None
