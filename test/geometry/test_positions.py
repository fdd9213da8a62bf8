import numpy as np
import pytest
from geometry.analytic import camera, camera_info, plane, render, sphere

from sam2_ros.errors import InvalidImage
from sam2_ros.geometry.camera import Camera
from sam2_ros.geometry.positions import Positions, measured, seen_labels
from sam2_ros.types import State, Track

SECOND, SIZE = 10**9, (240, 320)
POINTER = np.zeros(4, np.float32)


def track(mask, one=1, occluded=False):
    state = State.OCCLUDED if occluded else State.VISIBLE
    return Track(one, f"object_{one}", state, occluded, mask, -3.0 if occluded else 3.0, 0.9, POINTER, 0, 1)


def scene(x=0.0, z=1.0):
    """The track of a ball, and depth."""
    labels, depth = render([sphere((x, 0, z), 0.06), plane((0, 0, 1), (0, 0, 2.0))])
    return track(labels == 1), depth


def test_what_is_measured_on_an_image_is_of_age_zero():
    ball, depth = scene()
    positions = Positions()
    positions.measure(SECOND, seen_labels([ball], SIZE), depth, camera())
    known = positions.at(SECOND, [ball])[1]
    assert known.age == 0 and known.surface.position[2] == pytest.approx(0.96, abs=0.02) and known.velocity is None


def test_a_hidden_object_keeps_its_last_position_which_grows_older():
    ball, depth = scene()
    hidden = track(np.zeros(SIZE, bool), occluded=True)
    positions = Positions()
    positions.measure(SECOND, seen_labels([ball], SIZE), depth, camera())
    for seconds in (2, 3):
        positions.measure(seconds * SECOND, seen_labels([hidden], SIZE), depth, camera())
        known = positions.at(seconds * SECOND, [hidden])[1]
        assert known.age == pytest.approx(seconds - 1) and known.surface.position[2] < 1
    positions.measure(4 * SECOND, seen_labels([ball], SIZE), depth, camera())
    assert positions.at(4 * SECOND, [ball])[1].age == 0


def test_the_distance_in_words_tells_when_it_is_an_earlier_one():
    ball, depth = scene(0.3)
    positions = Positions()
    positions.measure(SECOND, seen_labels([ball], SIZE), depth, camera())
    assert positions.at(SECOND, [ball])[1].distance == "1.00 m"
    assert positions.at(5 * SECOND // 2, [ball])[1].distance == "1.00 m, 1.5 s ago"


def test_what_is_left_of_the_mask_of_an_occluded_object_is_not_measured():
    ball, depth = scene()
    positions = Positions()
    positions.measure(SECOND, seen_labels([track(ball.mask, occluded=True)], SIZE), depth, camera())
    assert positions.at(SECOND, [ball]) == {}


@pytest.mark.parametrize("occluded", [True, False])
def test_a_correction_takes_back_what_was_measured_on_the_same_image(occluded):
    (ball, depth), gone = scene(), track(np.zeros(SIZE, bool), occluded=occluded)
    positions = Positions(velocity=True)
    positions.measure(SECOND, seen_labels([ball], SIZE), depth, camera())
    positions.measure(SECOND, seen_labels([gone], SIZE), depth, camera())
    assert positions.at(SECOND, [gone]) == {}, "it was never measured"
    undisturbed = Positions(velocity=True)
    for second in (2, 3):
        ball, depth = scene(0.1 * second)
        for one in (positions, undisturbed):
            one.measure(second * SECOND, seen_labels([ball], SIZE), depth, camera())
    positions.measure(3 * SECOND, seen_labels([gone], SIZE), depth, camera())
    known = positions.at(3 * SECOND, [gone])[1]
    assert known.age == 1.0 and known.surface.position[0] == pytest.approx(0.2, abs=0.02)
    positions.measure(3 * SECOND, seen_labels([ball], SIZE), depth, camera())
    known = positions.at(3 * SECOND, [ball])[1]
    assert known.age == 0 and known.velocity[0] > 0.1
    assert np.array_equal(known.velocity, undisturbed.at(3 * SECOND, [ball])[1].velocity)


def test_an_image_without_depth_makes_positions_older():
    ball, depth = scene()
    positions = Positions()
    assert positions.at(SECOND, [ball]) == {}
    positions.measure(SECOND, seen_labels([ball], SIZE), depth, camera())
    assert positions.at(SECOND + SECOND // 2, [ball])[1].age == 0.5


def test_depth_that_comes_late_makes_the_last_position_newer_but_never_older():
    ball, depth = scene()
    positions = Positions()
    positions.measure(2 * SECOND, seen_labels([ball], SIZE), depth, camera())
    positions.measure(SECOND, seen_labels([ball], SIZE), depth + 1, camera())
    assert positions.at(3 * SECOND, [ball])[1].age == 1
    positions.measure(round(2.5 * SECOND), seen_labels([ball], SIZE), depth, camera())
    assert positions.at(3 * SECOND, [ball])[1].age == 0.5


def test_an_object_that_is_not_tracked_any_more_is_forgotten():
    ball, depth = scene()
    positions = Positions()
    positions.measure(SECOND, seen_labels([ball], SIZE), depth, camera())
    assert positions.at(2 * SECOND, []) == {} and positions.at(3 * SECOND, [ball]) == {}


def test_a_bag_that_loops_starts_without_positions():
    ball, depth = scene()
    positions = Positions()
    positions.measure(100 * SECOND, seen_labels([ball], SIZE), depth, camera())
    assert positions.at(100 * SECOND, [ball])
    assert positions.at(SECOND, [ball]) == {}
    positions.measure(2 * SECOND, seen_labels([ball], SIZE), depth, camera())
    assert positions.at(3 * SECOND, [ball])[1].age == 1


def test_depth_that_is_seconds_late_is_not_taken_for_time_that_starts_again():
    ball, depth = scene()
    positions = Positions()
    for image in range(1, 9):
        positions.begin(image * SECOND)
        if image > 3:
            positions.measure((image - 3) * SECOND, seen_labels([ball], SIZE), depth, camera())
        assert [known.age for known in positions.at(image * SECOND, [ball]).values()] == [3] * (image > 3)


def test_velocity_is_estimated_on_request():
    positions = Positions(velocity=True)
    for number in range(20):
        ball, depth = scene(x=0.01 * number)
        positions.measure(SECOND + number * SECOND // 10, seen_labels([ball], SIZE), depth, camera())
    velocity = positions.at(SECOND + 19 * SECOND // 10, [ball])[1].velocity
    assert velocity == pytest.approx((0.1, 0, 0), abs=0.03)


@pytest.mark.parametrize("size", [(120, 160), (480, 640), (120, 161)])
def test_depth_of_another_size_that_shows_the_same_is_used(size):
    ball, depth = scene(x=0.2)
    same = measured(seen_labels([ball], SIZE), depth, camera())[1].position
    _, other = render([sphere((0.2, 0, 1.0), 0.06), plane((0, 0, 1), (0, 0, 2.0))], camera().resized(size))
    found = measured(seen_labels([ball], SIZE), other, camera())[1].position
    assert np.abs(found - same).max() < 0.006


@pytest.mark.parametrize("size", [(240, 424), (200, 320)])
def test_depth_of_other_proportions_is_refused(size):
    ball, _ = scene()
    with pytest.raises(InvalidImage, match=f"depth of {size[1]}x{size[0]} does not show the same.*320x240.*registers"):
        measured(seen_labels([ball], SIZE), np.ones(size, np.float32), camera())


def test_camera_info_of_another_size_is_refused():
    ball, depth = scene()
    with pytest.raises(InvalidImage, match="camera_info is for images of 1280x720, but they are 320x240"):
        measured(seen_labels([ball], SIZE), depth, camera((720, 1280)))


def test_camera_info_without_a_size_is_believed():
    ball, depth = scene()
    unknown = Camera.of(camera_info(width=0, height=0))
    same = measured(seen_labels([ball], SIZE), depth, camera())[1].position
    assert (measured(seen_labels([ball], SIZE), depth, unknown)[1].position == same).all()
    assert measured(seen_labels([ball], SIZE), depth[::2, ::2], unknown)
