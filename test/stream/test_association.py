import pytest

from sam2_ros.stream.association import associate, intersection_over_union

CUP, PLATE = (10.0, 10.0, 29.0, 29.0), (50.0, 10.0, 89.0, 49.0)


def test_equal_boxes_overlap_fully_and_distant_ones_not_at_all():
    assert intersection_over_union(CUP, CUP) == 1.0
    assert intersection_over_union(CUP, PLATE) == 0.0


def test_both_corners_of_a_box_are_inside():
    assert intersection_over_union((0, 0, 1, 0), (1, 0, 2, 0)) == pytest.approx(1 / 3)
    assert intersection_over_union((3, 3, 3, 3), (3, 3, 3, 3)) == 1.0


def test_a_box_belongs_to_the_object_it_overlaps_most():
    tracked = {"cup": CUP, "plate": PLATE}
    assert associate([(52, 12, 90, 50), (11, 11, 30, 30)], tracked) == ["plate", "cup"]


def test_a_box_where_nothing_is_tracked_is_a_new_object():
    assert associate([(100, 100, 120, 120)], {"cup": CUP}) == [None]
    assert associate([CUP], {}) == [None]
    assert associate([], {"cup": CUP}) == []


def test_a_box_that_overlaps_less_than_the_threshold_is_a_new_object():
    half = (10.0, 10.0, 29.0, 19.0)  # IoU 0.5 with the cup
    assert associate([half], {"cup": CUP}, threshold=0.5) == ["cup"]
    assert associate([half], {"cup": CUP}, threshold=0.51) == [None]


def test_two_overlapping_objects_each_get_their_own_box():
    front, behind = (0.0, 0.0, 20.0, 20.0), (4.0, 0.0, 24.0, 20.0)
    # Both boxes overlap "front" most; the better pair takes it and the other box goes to "behind".
    assert associate([(1, 0, 21, 20), (0, 0, 20, 20)], {"front": front, "behind": behind}) == ["behind", "front"]


def test_a_duplicate_box_belongs_to_the_same_object():
    assert associate([CUP, (11, 11, 30, 30)], {"cup": CUP}) == ["cup", "cup"]
