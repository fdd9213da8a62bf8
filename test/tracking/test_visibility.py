"""The published state of an object."""

from sam2_ros.tracking.visibility import Visibility
from sam2_ros.types import State


def states(scores, margin=1.0, lost_after=4):
    visibility, seen = Visibility(), []
    for score in scores:
        visibility = visibility.after(score, margin, lost_after)
        seen.append((visibility.state, visibility.frames_since_seen))
    return seen


def test_an_object_that_leaves_is_occluded_then_visible_again():
    assert [state for state, _ in states([6, -5, -5, 6])] == [
        State.VISIBLE,
        State.OCCLUDED,
        State.OCCLUDED,
        State.VISIBLE,
    ]


def test_a_score_that_hovers_around_zero_does_not_make_the_state_flicker():
    assert {state for state, _ in states([0.5, -0.5, 0.5, -0.5])} == {State.VISIBLE}
    assert {state for state, _ in states([-5, 0.5, -0.5, 0.5])} == {State.OCCLUDED}


def test_an_object_not_seen_for_long_is_lost_until_it_is_clearly_back():
    assert states([-5, -5, -5, -5, -5, 0.5, 3]) == [
        (State.OCCLUDED, 1),
        (State.OCCLUDED, 2),
        (State.OCCLUDED, 3),
        (State.LOST, 4),
        (State.LOST, 5),
        (State.LOST, 0),
        (State.VISIBLE, 0),
    ]


def test_an_object_that_fades_below_zero_without_ever_being_clearly_gone_is_lost_in_the_end():
    assert states([-0.5] * 4)[-1] == (State.LOST, 4)
